"""Both sides give the numbers that the original return decomposition code gave under TensorFlow 1.12."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from parity_tests.rrd_golden import GOLDEN_CASES, SIDES, build_golden, recorded

# Recorded numbers have nine digits; float32 sums differ by their order.
VALUE_LIMIT = 1e-6
# Mean error of a weight after one Adam step; one step moves it by up to 3e-4.
STEP_LIMIT = 2e-9


def cases(*names: str) -> list[Any]:
    """Return (side, name) for every case, or those named; the legacy side needs TensorFlow."""
    marks = {"legacy_tf": [pytest.mark.tf], "torch_impl": []}
    return [
        pytest.param(side, name, marks=marks[side], id=f"{side}-{name}")
        for side in SIDES
        for name in names or GOLDEN_CASES
    ]


def build(side: str, name: str) -> Any:
    if side == "legacy_tf":
        pytest.importorskip("tensorflow")
    agent = build_golden(side, name)
    if GOLDEN_CASES[name].batch_for_normalizer:
        agent.normalizer_update(GOLDEN_CASES[name].batch())
    return agent


def inputs(name: str) -> tuple[Any, Any]:
    return GOLDEN_CASES[name].batch(), GOLDEN_CASES[name].noise()


def differing(
    found: Mapping[str, Any], expected: Mapping[str, list[float]], limit: float
) -> list[str]:
    """Return the variables whose sum or sum of magnitudes is off by more than `limit` per element."""
    names = []
    for variable, sums in expected.items():
        array = found[variable.removesuffix(":0")].astype(np.float64)
        errors = np.abs([array.sum(), np.abs(array).sum()] - np.array(sums))
        if not np.all(errors <= limit * array.size + 5e-9 * np.abs(sums)):
            names.append(variable)
    return names


@pytest.mark.parametrize(("side", "name"), cases())
def test_figures_before_any_update_are_those_of_the_original(side: str, name: str) -> None:
    agent = build(side, name)

    found = agent.losses(*inputs(name))

    expected = recorded(name)["train_info_before"]
    assert {key: found[key] for key in expected} == pytest.approx(
        expected, abs=VALUE_LIMIT, rel=VALUE_LIMIT
    )


@pytest.mark.parametrize(("side", "name"), cases())
def test_greedy_action_is_that_of_the_original(side: str, name: str) -> None:
    agent = build(side, name)

    action = agent.step(np.array(GOLDEN_CASES[name].observation))

    assert np.allclose(action, recorded(name)["act_eval"], rtol=0, atol=VALUE_LIMIT)


@pytest.mark.parametrize(("side", "name"), cases())
def test_one_critic_step_ends_where_that_of_the_original_did(side: str, name: str) -> None:
    agent, expected = build(side, name), recorded(name)["after_q"]
    batch, noise = inputs(name)

    agent.train_q(batch, noise)

    # With return decomposition the original's critic sees the rewards before or after their own step, as it happens.
    rewards = {key: sums for key, sums in expected.items() if key.startswith("rrd/")}
    found = agent.read_variables()
    assert differing(found, rewards or expected, STEP_LIMIT) == []
    assert differing(found, expected, 2 * 3e-4 if rewards else STEP_LIMIT) == []


@pytest.mark.parametrize(
    ("side", "name"), cases(*(name for name in GOLDEN_CASES if "after_pi" in recorded(name)))
)
def test_one_policy_step_and_target_update_end_where_those_of_the_original_did(
    side: str, name: str
) -> None:
    agent, expected = build(side, name), recorded(name)
    batch, noise = inputs(name)

    agent.train_pi(batch, noise)
    after_pi = agent.read_variables()
    agent.target_update()

    assert differing(after_pi, expected["after_pi"], STEP_LIMIT) == []
    found = agent.read_variables()
    assert differing(found, expected["after_pi_target_update"], STEP_LIMIT) == []


@pytest.mark.parametrize(("side", "name"), cases("ddpg_norm"))
def test_normalizer_has_the_statistics_of_the_original(side: str, name: str) -> None:
    found = build(side, name).read_variables()

    for statistic in ("mean", "std"):
        array = found[f"normalizer/normalizer_variables/{statistic}"]
        assert np.allclose(array, recorded(name)[f"norm_{statistic}"], rtol=0, atol=VALUE_LIMIT)


@pytest.mark.parametrize(("side", "name"), cases("ddpg_norm"))
def test_zero_component_gives_nan_before_the_first_normalizer_update(side: str, name: str) -> None:
    if side == "legacy_tf":
        pytest.importorskip("tensorflow")
    agent = build_golden(side, name)

    nothing = agent.step(np.array([0.5, 0.0, -0.5]))
    action = agent.step(np.array([0.5, 0.1, -0.5]))

    assert np.isnan(nothing).all()
    expected = recorded(name)["action_before_update_obs(0.5,0.1,-0.5)"]
    assert np.allclose(action, expected, rtol=0, atol=VALUE_LIMIT)


@pytest.mark.parametrize("fault", ["regulariser", "learning rate", "discount", "smoothing"])
def test_planted_fault_is_seen(fault: str) -> None:
    name = "td3" if fault == "smoothing" else "ddpg"
    agent = build("torch_impl", name)
    wrong = {
        "regulariser": ("q_reg", 0.12),
        "learning rate": ("q_lr", 3.01e-4),
        "discount": ("gamma", 0.98),
        "smoothing": ("pi_t_clip", 0.2),
    }
    setattr(agent.args, *wrong[fault])
    agent.create_optimizers()

    figures = agent.train_q(*inputs(name))

    expected = recorded(name)
    wrong_figures = [
        key
        for key, value in figures.items()
        if value != pytest.approx(expected["train_info_before"][key], abs=VALUE_LIMIT)
    ]
    wrong_weights = differing(agent.read_variables(), expected["after_q"], STEP_LIMIT)
    assert wrong_figures or wrong_weights
