"""The recorded numbers of the original return decomposition code under TensorFlow 1.12, and the inputs they belong to.

`fixtures/rrd_golden.json` has the recipe of the inputs in words; here it is as code. A new case is one entry of
`GOLDEN_CASES`; `test_rrd_golden.py` runs every entry on both sides.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType, SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parity_tests import FIXTURES

Arrays = dict[str, NDArray[Any]]

ROWS = 4
SIDES = ("legacy_tf", "torch_impl")


@dataclass(frozen=True, slots=True)
class GoldenCase:
    """How the agent of a recorded case is built and fed.

    Attributes:
        spec: "module:Class" inside `legacy_tf` and `torch_impl`.
        arguments: flags beside `ARGUMENTS`.
        batch: returns the recorded batch.
        noise: returns the recorded noise.
        observation: of the recorded action.
        batch_for_normalizer: whether the normaliser sees the batch before anything else.
    """

    spec: str
    arguments: Mapping[str, object] = field(default_factory=dict)
    batch: Callable[[], Arrays] = lambda: transitions()
    noise: Callable[[], Arrays] = dict
    observation: tuple[float, ...] = (0.5, 0.1, -0.5)
    batch_for_normalizer: bool = False


ARGUMENTS: Mapping[str, object] = MappingProxyType(
    {
        "obs_dims": [3],
        "acts_dims": [2],
        "gamma": 0.99,
        "pi_lr": 3e-4,
        "q_lr": 3e-4,
        "r_lr": 3e-4,
        "alpha_lr": 3e-4,
        "alpha_init": 1.0,
        "polyak": 0.995,
        "q_reg": 0.01,
        "std_act": 0.1,
        "pi_t_std": 0.2,
        "pi_t_clip": 0.5,
        "obs_normalization": False,
        "rrd_sample_size": 4,
        "rrd_bias_correction": False,
        "env_category": "mujoco",
    }
)
"""Flags of all recorded cases."""

NUMBERED: Mapping[str, object] = MappingProxyType(
    {
        "acts_dims": [3],
        "optimizer": "adam",
        "Adam_eps": 1.5e-4,
        "RMSProp_decay": 0.95,
        "RMSProp_eps": 1e-2,
        "double": False,
        "dueling": False,
    }
)
"""Flags of the cases with numbered actions, beside `ARGUMENTS`."""
PIXELS = (127.5, 25.5, -127.5)
"""Observation of their recorded action; the agent divides it by 255."""


def wave(phase: float, size: int) -> NDArray[np.float32]:
    """Return sin(0.9 * row + 0.5 * column + phase), (4, size)."""
    rows, columns = np.arange(ROWS)[:, None], np.arange(size)
    values: NDArray[np.float64] = np.sin(rows * 0.9 + columns * 0.5 + phase)
    return values.astype(np.float32)


def transitions() -> Arrays:
    """Return the recorded batch of four transitions: 3 numbers in an observation, 2 in an action."""
    return {
        "obs": wave(0, 3),
        "obs_next": wave(1, 3),
        "acts": (0.8 * wave(2, 2)).astype(np.float32),
        "rews": wave(3, 1),
        "done": np.array([[0.0], [0.0], [1.0], [0.0]], np.float32),
    }


def sequences() -> Arrays:
    """Return the recorded batch with two sub-sampled trajectories of four steps."""
    steps = np.arange(4)[None, :, None] * 0.4 + np.arange(2)[:, None, None] * 1.3

    def waves(phase: float, size: int) -> NDArray[np.float32]:
        values: NDArray[np.float64] = np.sin(steps + np.arange(size) * 0.5 + phase)
        return values.astype(np.float32)

    return {
        **transitions(),
        "rrd_obs": waves(0, 3),
        "rrd_obs_next": waves(1, 3),
        "rrd_acts": (0.8 * waves(2, 2)).astype(np.float32),
        "rrd_rews": np.array([[0.5], [-0.25]], np.float32),
        "rrd_var_coef": np.array([[0.6], [0.9]], np.float32),
    }


def target_noise() -> Arrays:
    """Return the recorded noise of TD3's target action, before its factor pi_t_std of 0.2."""
    return {"target": 0.3 * wave(4, 2) / 0.2}


def policy_noise() -> Arrays:
    """Return the recorded noise of SAC's two actions."""
    return {"policy": wave(4, 2), "next_policy": wave(5, 2)}


def numbered_transitions() -> Arrays:
    """Return the recorded batch with numbered actions, 3 of them."""
    return {**transitions(), "acts": np.array([0, 2, 1, 2])}


GOLDEN_CASES: dict[str, GoldenCase] = {
    "ddpg": GoldenCase("ddpg:DDPG"),
    "ddpg_norm": GoldenCase(
        "ddpg:DDPG", arguments={"obs_normalization": True}, batch_for_normalizer=True
    ),
    "td3": GoldenCase("td3:TD3", noise=target_noise),
    "sac": GoldenCase("sac:SAC", noise=policy_noise),
    "rrd_sac": GoldenCase(
        "rrd:RRD", arguments={"basis_alg": "sac"}, batch=sequences, noise=policy_noise
    ),
    "rrd_sac_bc": GoldenCase(
        "rrd:RRD",
        arguments={"basis_alg": "sac", "rrd_bias_correction": True},
        batch=sequences,
        noise=policy_noise,
    ),
    "rrd_ddpg": GoldenCase("rrd:RRD", arguments={"basis_alg": "ddpg"}, batch=sequences),
    "rrd_td3": GoldenCase(
        "rrd:RRD", arguments={"basis_alg": "td3"}, batch=sequences, noise=target_noise
    ),
    "dqn": GoldenCase(
        "value_dqn:ValueDQN", arguments=NUMBERED, batch=numbered_transitions, observation=PIXELS
    ),
    "dqn_double": GoldenCase(
        "value_dqn:ValueDQN",
        arguments={**NUMBERED, "double": True},
        batch=numbered_transitions,
        observation=PIXELS,
    ),
    "dqn_rmsprop": GoldenCase(
        "value_dqn:ValueDQN",
        arguments={**NUMBERED, "optimizer": "rmsprop"},
        batch=numbered_transitions,
        observation=PIXELS,
    ),
}
"""Recorded case to how it is run."""


@cache
def recorded(name: str) -> Mapping[str, Any]:  # Any: numbers, lists and dictionaries
    """Return what the original computed in a case."""
    path = FIXTURES / "rrd_golden.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    found: Mapping[str, Any] = {**content["cases"], **content["conv_cases"]}[name]
    return found


def build_golden(side: str, name: str) -> Any:  # noqa: ANN401  an agent of either framework
    """Return the agent of a case with the recorded weights; its normaliser has seen nothing yet.

    Args:
        side: "legacy_tf" or "torch_impl".
        name: of the case.
    """
    case = GOLDEN_CASES[name]
    agent_class = _find(side, case.spec)
    settings = {"device": "cpu"} if side == "torch_impl" else {}
    agent = agent_class(SimpleNamespace(**{**ARGUMENTS, **case.arguments}), **settings)
    weights = {
        variable.removesuffix(":0"): golden_weight(tuple(shape), index)
        for index, (variable, shape) in enumerate(recorded(name)["variables"])
        if shape
    }
    agent.write_variables(weights)
    return agent


def golden_weight(shape: tuple[int, ...], index: int) -> NDArray[np.float32]:
    """Return the recorded weight number `index`: matrices 0.1 sin(0.7 k + index), vectors 0.01 cos(k + index)."""
    k = np.arange(np.prod(shape), dtype=np.float64)
    values = 0.1 * np.sin(k * 0.7 + index) if len(shape) > 1 else 0.01 * np.cos(k + index)
    return values.reshape(shape).astype(np.float32)


def _find(side: str, spec: str) -> Any:  # noqa: ANN401  a class, known at run time only
    module, _, name = spec.partition(":")
    return getattr(importlib.import_module(f"{side}.{module}"), name)
