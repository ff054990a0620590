"""Pairs of offline agents, and the recipes of their batches; `pairs.py` takes them in."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from experience.agent import Batch
from experience.offline_settings import D3RLPY_ALGORITHMS
from parity_tests.inputs import Draw, Recipe, spread

SMALL_BATCH = 11
# No two sizes are equal and none fits the other axis, so a transposition cannot hide.
_SMALL: Mapping[str, object] = MappingProxyType(
    {"obs_dim": 4, "action_dim": 3, "hidden_sizes": (7, 5), "batch_size": SMALL_BATCH}
)
_FAST: Mapping[str, object] = MappingProxyType({**_SMALL, "lr": 1e-3})
"""Learning rates at which 100 updates show a difference; d3rlpy's discrete algorithms have 6e-5."""

NOISE: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "TD3PlusBC": ("target",),
        "AWAC": ("next", "value"),
        "CQL": ("policy", "here", "there", "uniform"),
    }
)
"""Noise arrays of an update by class; those of `_SEVERAL` have an axis of samples."""
_SEVERAL = {"value", "here", "there", "uniform"}


def offline_transitions(*noise: str, discrete: bool, samples: int = 1) -> Recipe:
    """Return the recipe of recorded transitions and of the noise of one update.

    Args:
        noise: names; "uniform..." is uniform in [-1, 1), others standard normal.
        discrete: actions are numbers of actions, else numbers in [-1, 1].
        samples: length of the axis of samples of noise that has one.
    """

    def draw(configuration: Mapping[str, object], rng: np.random.Generator) -> Draw:
        numbers = [configuration[name] for name in ("obs_dim", "action_dim", "batch_size")]
        state, actions, size = (int(str(number)) for number in numbers)
        reward = rng.standard_normal(size) * 10.0 ** rng.uniform(-2.0, 0.5)
        reward[rng.random(size) < 0.2] = 0.0
        batch = Batch(
            observation=spread(rng, (size, state)),
            action=rng.integers(actions, size=size)
            if discrete
            else rng.uniform(-1.0, 1.0, (size, actions)),
            reward=reward,
            next_observation=spread(rng, (size, state)),
            terminated=rng.random(size) < 0.25,
        )
        drawn = {}
        for name in noise:
            shape = (size, samples, actions) if name in _SEVERAL else (size, actions)
            uniform = name.startswith("uniform")
            drawn[name] = rng.uniform(-1.0, 1.0, shape) if uniform else rng.standard_normal(shape)
        return Draw(batch, drawn)

    kind = "numbered" if discrete else "continuous"
    draw.__name__ = "_".join(("offline", kind, *noise))
    return draw


Names = Mapping[str, object]
_GUIDE: Names = MappingProxyType({**_SMALL, "preset": "guide"})
_D3RLPY: Names = MappingProxyType({**_FAST, "preset": "d3rlpy"})
_BOUNDS: Names = MappingProxyType({"action_low": [-1, -2, -3], "action_high": [1, 3, 2]})

CONFIGS: Mapping[str, Mapping[str, Names]] = MappingProxyType(
    {
        "OfflineDQN": {"guide": _GUIDE, "d3rlpy": _D3RLPY},
        "OfflineDoubleDQN": {"guide": _GUIDE},
        "BehavioralCloning": {"guide": _GUIDE, "d3rlpy": _D3RLPY},
        "DiscreteCQL": {"d3rlpy": _FAST},
        "DiscreteBCQ": {"d3rlpy": _FAST},
        "ContinuousBC": {"deterministic": {**_SMALL, **_BOUNDS}},
        "TD3PlusBC": {"d3rlpy": _SMALL},
        "IQL": {"d3rlpy": {**_SMALL, **_BOUNDS}},
        "CQL": {"d3rlpy": {**_SMALL, "n_action_samples": 2}},
        "AWAC": {"d3rlpy": {**_SMALL, "n_action_samples": 2}},
    }
)
"""Class to the configurations of its pair; the first one is that of short runs."""

PAIR_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "offline_dqn": "DQN",
        "offline_double_dqn": "DoubleDQN",
        "behavioral_cloning": "DiscreteBC",
        "discrete_cql": "DiscreteCQL",
        "discrete_bcq": "DiscreteBCQ",
        "continuous_bc": "BC",
        "td3_bc": "TD3PlusBC",
        "iql": "IQL",
        "cql": "CQL",
        "awac": "AWAC",
    }
)
"""Name of a pair to d3rlpy's name of the algorithm."""
DISCRETE = tuple(PAIR_NAMES)[:5]
_WITHOUT_RESUME = "the legacy agent writes checkpoints of TensorFlow 2, no Keras file"
_WITHOUT_TARGET = {
    "behavioral_cloning": "a cloned policy has no target network",
    "continuous_bc": "a cloned policy has no target network",
}
_SOFT = "targets follow within every update; test_offline_pairs.py compares them"


def without(pair: str) -> dict[str, str]:
    """Return probe name to the reason why it does not apply to a pair."""
    reasons = {"resume": _WITHOUT_RESUME}
    if pair in _WITHOUT_TARGET:
        reasons["target_sync"] = _WITHOUT_TARGET[pair]
    elif pair not in DISCRETE:
        reasons["target_sync"] = _SOFT
    if pair not in DISCRETE:
        reasons["action"] = "actions are numbers, not choices: the forward probe compares them"
    return reasons


def networks(pair: str) -> dict[str, str]:
    """Return network name to the method of both agents that evaluates it."""
    if pair == "behavioral_cloning":
        return {"policy": "get_logits"}
    if pair in DISCRETE:
        return {"q_network": "get_q_values"}
    return {"policy": "get_actions"} if pair == "continuous_bc" else {
        "policy": "get_actions",
        "critic": "get_values",
    }  # fmt: skip


def specification(side: str, pair: str) -> str:
    """Return "module:Class" of one side."""
    ours = D3RLPY_ALGORITHMS[PAIR_NAMES[pair]]
    return f"{side}.{ours.module}:{ours.name}"


def recipe(pair: str) -> Recipe:
    """Return the recipe of a pair's inputs."""
    name = D3RLPY_ALGORITHMS[PAIR_NAMES[pair]].name
    return offline_transitions(*NOISE.get(name, ()), discrete=pair in DISCRETE, samples=2)
