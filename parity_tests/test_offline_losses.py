"""Every formula of the offline agents, on both sides, against numpy written from the papers and scipy-free textbooks."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

SIDES = [pytest.param("legacy", marks=pytest.mark.tf), "torch"]
LIMIT = 1e-13


@pytest.fixture(params=SIDES)
def call(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Return a function that calls a loss of one side with numpy arrays and gives numpy back."""
    if request.param == "legacy":
        tf = pytest.importorskip("tensorflow")
        module = importlib.import_module("legacy_tf.offline_losses")
        convert, back = tf.convert_to_tensor, lambda x: x.numpy()
    else:
        torch = pytest.importorskip("torch")
        module = importlib.import_module("torch_impl.offline_losses")
        convert, back = torch.as_tensor, lambda x: x.numpy()

    def run(name: str, *arrays: Any, **settings: Any) -> Any:
        return back(getattr(module, name)(*(convert(np.asarray(a)) for a in arrays), **settings))

    return run


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(4)


def close(found: Any, needed: Any) -> bool:
    scale = max(1.0, float(np.max(np.abs(needed))))
    return float(np.max(np.abs(np.asarray(found) - needed))) <= LIMIT * scale


def log_softmax(rows: np.ndarray) -> np.ndarray:
    return rows - np.log(np.exp(rows).sum(axis=1, keepdims=True))


def test_target_bootstraps_unless_terminated(call: Callable[..., Any]) -> None:
    target = call("td_target", [1.0, 1.0], [0.0, 1.0], [10.0, 10.0], gamma=0.9)

    assert target.tolist() == [10.0, 1.0]


def test_huber_loss_is_square_within_one_and_linear_beyond(call: Callable[..., Any]) -> None:
    # errors 0.5, -1, 3: 0.125, 0.5, 2.5
    found = call("td_loss", [0.0, 1.0, -3.0], [0.5, 0.0, 0.0], loss="huber")

    assert close(found, (0.125 + 0.5 + 2.5) / 3)
    assert close(call("td_loss", [0.0, 1.0], [3.0, 0.0], loss="mse"), 5.0)


def test_conservative_term_is_logsumexp_less_the_datas_value(
    call: Callable[..., Any], rng: np.random.Generator
) -> None:
    values, action = rng.standard_normal((7, 3)) * 5, rng.integers(3, size=7)

    found = call("conservative_loss", values, action)

    per_row = [
        math.log(sum(math.exp(q) for q in row)) - row[a]
        for row, a in zip(values, action, strict=True)
    ]
    assert close(found, sum(per_row) / 7)
    assert found > 0


def test_conservative_term_survives_large_values(call: Callable[..., Any]) -> None:
    assert close(call("conservative_loss", [[2_000.0, 0.0]], [1]), 2_000.0)


@pytest.mark.parametrize("beta", [0.0, 0.5], ids=["guide", "d3rlpy"])
def test_imitation_is_cross_entropy_plus_penalty(
    call: Callable[..., Any], rng: np.random.Generator, beta: float
) -> None:
    logits, action = rng.standard_normal((6, 4)), rng.integers(4, size=6)

    found = call("imitation_loss", logits, action, beta=beta)

    entropy = -log_softmax(logits)[np.arange(6), action].mean()
    # the logits of d3rlpy's distribution are normalised: log probabilities
    assert close(found, entropy + beta * (log_softmax(logits) ** 2).mean())


def test_allowed_actions_are_those_of_enough_relative_probability(
    call: Callable[..., Any],
) -> None:
    logits = np.log([[0.6, 0.3, 0.1], [0.2, 0.2, 0.6]])

    allowed = call("allowed_actions", logits, flexibility=0.3)

    # 0.3 / 0.6 is 0.5, 0.1 / 0.6 is 0.17; 0.2 / 0.6 is 0.33
    assert allowed.tolist() == [[True, True, False], [True, True, True]]


@pytest.mark.parametrize(("flexibility", "count"), [(0.0, 3), (1.0, 1)], ids=["all", "best"])
def test_flexibility_goes_from_all_actions_to_the_best_alone(
    call: Callable[..., Any], flexibility: float, count: int
) -> None:
    assert call("allowed_actions", [[1.0, 2.0, -5.0]], flexibility=flexibility).sum() == count


def test_expectile_weights_the_upper_side(call: Callable[..., Any]) -> None:
    # 0.7 * 4 above, 0.3 * 4 below
    assert close(call("expectile_loss", [2.0], expectile=0.7), 2.8)
    assert close(call("expectile_loss", [-2.0], expectile=0.7), 1.2)


def test_exponential_weight_is_clipped(call: Callable[..., Any]) -> None:
    found = call("exponential_weight", [0.5, 10.0], weight_temp=3.0, max_weight=100.0)

    assert close(found, [math.exp(1.5), 100.0])


def test_softmax_weights_have_mean_one(call: Callable[..., Any], rng: np.random.Generator) -> None:
    advantage = rng.standard_normal(9)

    found = call("softmax_weight", advantage, lam=0.5)

    exponentials = np.exp(advantage / 0.5)
    assert close(found, exponentials / exponentials.sum() * 9)
    assert close(found.mean(), 1.0)


def test_gaussian_density_is_the_textbooks(call: Callable[..., Any]) -> None:
    found = call("gaussian_log_density", [[1.0, 0.0]], [[0.0, math.log(2.0)]], [[2.0, 1.0]])

    first = math.log(math.exp(-0.5) / math.sqrt(2 * math.pi))
    second = math.log(math.exp(-0.125) / (2 * math.sqrt(2 * math.pi)))
    assert close(found, [first + second])


def test_squashed_density_integrates_to_one(call: Callable[..., Any]) -> None:
    raw = np.linspace(-12.0, 12.0, 200_001)[:, None]
    mean, log_std = np.full_like(raw, 0.3), np.full_like(raw, -0.2)

    density = np.exp(call("squashed_log_density", mean, log_std, raw))

    # over the action, not over raw: da = (1 - tanh(raw)**2) d raw, written so that nothing cancels
    width = (1.0 / np.cosh(raw[:, 0]) ** 2) * (raw[1, 0] - raw[0, 0])
    assert abs((density * width).sum() - 1.0) < 1e-10


def test_squashed_density_is_exact_where_tanh_is_one(call: Callable[..., Any]) -> None:
    raw = 30.0

    found = call("squashed_log_density", [[0.0]], [[3.0]], [[raw]])

    gaussian = -0.5 * (raw / math.exp(3.0)) ** 2 - 3.0 - 0.5 * math.log(2 * math.pi)
    # log(1 - tanh(x)**2) tends to log 4 - 2 x
    assert close(found, [gaussian - (math.log(4.0) - 2 * raw)])
