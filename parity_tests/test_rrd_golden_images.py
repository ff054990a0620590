"""Both sides give the numbers that the original code gave for networks on images, under TensorFlow 1.12.

With symmetric padding, or with dense layers that get channels first, they are off by orders of magnitude.
"""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from parity_tests.rrd_golden import ARGUMENTS, NUMBERED, SIDES, recorded
from torch_impl.keras_compat.padding import pad_same

pytestmark = pytest.mark.slow

LIMIT = 1e-6
CASES: dict[str, tuple[str, str, dict[str, object]]] = {
    "dqn_conv": ("value_dqn", "ValueDQN", {}),
    "dqn_conv_dueling": ("value_dqn", "ValueDQN", {"dueling": True}),
    "rrd_conv_dqn": ("rrd", "RRD", {"basis_alg": "dqn", "rrd_sample_size": 2}),
}

Arrays = dict[str, NDArray[Any]]


@pytest.fixture(
    params=[
        pytest.param(
            (side, name), marks=[pytest.mark.tf] * (side == "legacy_tf"), id=f"{side}-{name}"
        )
        for side in SIDES
        for name in CASES
    ]
)
def case(request: pytest.FixtureRequest) -> tuple[str, str]:
    found: tuple[str, str] = request.param
    return found


def build(side: str, name: str) -> Any:
    if side == "legacy_tf":
        pytest.importorskip("tensorflow")
    module, class_name, flags = CASES[name]
    loaded = __import__(f"{side}.{module}", fromlist=[class_name])
    args = {**ARGUMENTS, **NUMBERED, "obs_dims": [84, 84, 4], "acts_dims": [7], **flags}
    settings = {"device": "cpu"} if side == "torch_impl" else {}
    agent = getattr(loaded, class_name)(SimpleNamespace(**args), **settings)
    agent.write_variables(weights(name))
    return agent


def weights(name: str) -> Arrays:
    """Return the recorded weights; targets are not listed, but numbered between the main and the reward networks."""
    shapes = {
        variable.removesuffix(":0"): tuple(shape) for variable, shape in recorded(name)["variables"]
    }
    main = {variable: shape for variable, shape in shapes.items() if variable.startswith("main/")}
    targets = {variable.replace("main/", "target/"): shape for variable, shape in main.items()}
    rewards = {variable: shape for variable, shape in shapes.items() if variable not in main}
    numbered = enumerate({**main, **targets, **rewards}.items())
    return {variable: weight(shape, number) for number, (variable, shape) in numbered}


def weight(shape: tuple[int, ...], number: int) -> NDArray[np.float32]:
    k = np.arange(math.prod(shape), dtype=np.float64)
    if len(shape) == 1:
        values = 0.01 * np.cos(k + number)
    else:
        values = np.sin(0.7 * k + number) / math.sqrt(math.prod(shape[:-1]))
    return values.reshape(shape).astype(np.float32)


def images(phase: float) -> NDArray[np.float32]:
    k = np.arange(2 * 84 * 84 * 4, dtype=np.float64)
    return (0.5 + 0.5 * np.sin(0.013 * k + phase)).reshape(2, 84, 84, 4).astype(np.float32)


def batch(name: str) -> Arrays:
    found = {
        "obs": images(0),
        "obs_next": images(1),
        "acts": np.array([3, 6]),
        "rews": np.array([[0.5], [-0.25]], np.float32),
        "done": np.array([[0.0], [1.0]], np.float32),
    }
    if name.startswith("rrd"):
        found["rrd_obs"] = np.stack([images(2), images(3)])
        found["rrd_obs_next"] = np.stack([images(4), images(5)])
        found["rrd_acts"] = np.array([[0, 1], [2, 6]])
        found["rrd_rews"] = np.array([[0.5], [-0.25]], np.float32)
        found["rrd_var_coef"] = np.zeros((2, 1), np.float32)
    return found


def test_values_rewards_losses_and_sizes_are_those_of_the_original(case: tuple[str, str]) -> None:
    side, name = case
    agent, expected = build(side, name), recorded(name)

    q = agent.get_q_values(images(0) * 255)
    losses = agent.losses(batch(name))

    assert np.abs(q - expected["q"]).max() <= LIMIT
    assert losses == pytest.approx(expected["info"], abs=LIMIT)
    sizes = {key: array.size for key, array in agent.read_variables().items()}
    count = sum(size for key, size in sizes.items() if key.startswith("main/"))
    assert count == expected["parameters_main"]
    if "rews_pred" in expected:
        rewards = agent.get_rewards(images(0), np.array([3, 6]), images(1))
        assert np.abs(rewards[:, 0] - expected["rews_pred"]).max() <= LIMIT
        count = sum(size for key, size in sizes.items() if key.startswith("rrd/"))
        assert count == expected["parameters_rrd"]


@pytest.mark.parametrize("fault", ["padding", "order of features"])
def test_planted_fault_is_seen(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = build("torch_impl", "dqn_conv")
    if fault == "padding":

        def mirrored(x: torch.Tensor, **where: tuple[int, ...]) -> torch.Tensor:
            return pad_same(x.flip(-1), **where).flip(-1)

        monkeypatch.setattr("torch_impl.image_networks.pad_same", mirrored)
    else:
        dense = agent.networks["value"].q_dense_act
        order = torch.arange(7744).reshape(121, 64).T.flatten()
        with torch.no_grad():
            dense.weight.copy_(dense.weight[:, order])

    q = agent.get_q_values(images(0) * 255)

    assert np.abs(q - recorded("dqn_conv")["q"]).max() > 100 * LIMIT
