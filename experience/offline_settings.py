"""Hyper-parameters of the offline algorithms as one table, and what both frameworks share of them in numpy.

An algorithm is a class of `legacy_tf/offline_*.py` and `torch_impl/offline_*.py`; its settings are what its row of the
table has, by preset. Adding one is a row here, a class on both sides and a pair.
"""

from __future__ import annotations

import difflib
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Settings = dict[str, Any]
"""Name to number, text, flag or list: plain data, as files have it. Any: read back as several types."""

_NETWORK: Settings = {"hidden_sizes": [256, 256], "gamma": 0.99}
_GUIDE: Settings = {**_NETWORK, "lr": 3e-4, "batch_size": 256}
_DISCRETE: Settings = {**_NETWORK, "lr": 6.25e-5, "batch_size": 32, "target_update_freq": 8_000}
_CONTINUOUS: Settings = {
    **_NETWORK,
    "actor_lr": 3e-4,
    "critic_lr": 3e-4,
    "batch_size": 256,
    "tau": 0.005,
    # Bounds of the data's actions, one number an axis; the networks see them as [-1, 1]. None: they are that already.
    "action_low": None,
    "action_high": None,
}
_CLONING: Settings = {
    "hidden_sizes": [256, 256],
    "lr": 1e-3,
    "batch_size": 100,
    "action_low": None,
    "action_high": None,
    "policy": "deterministic",
}

PRESETS: Mapping[str, Mapping[str, Settings]] = MappingProxyType(
    {
        "OfflineDQN": {
            "guide": {**_GUIDE, "target_update_freq": 100, "double": False, "loss": "mse"},
            "d3rlpy": {**_DISCRETE, "double": False, "loss": "huber"},
        },
        "OfflineDoubleDQN": {
            "guide": {**_GUIDE, "target_update_freq": 100, "double": True, "loss": "mse"},
            "d3rlpy": {**_DISCRETE, "double": True, "loss": "huber"},
        },
        "BehavioralCloning": {
            "guide": {**_GUIDE, "beta": 0.0},
            "d3rlpy": {**_NETWORK, "lr": 1e-3, "batch_size": 100, "beta": 0.5},
        },
        "DiscreteCQL": {
            "d3rlpy": {**_DISCRETE, "double": True, "loss": "huber", "alpha": 1.0},
        },
        "DiscreteBCQ": {
            "d3rlpy": {
                **_DISCRETE,
                "double": True,
                "loss": "huber",
                "beta": 0.5,
                "action_flexibility": 0.3,
            },
        },
        "ContinuousBC": {"d3rlpy": _CLONING},
        "TD3PlusBC": {
            "d3rlpy": {
                **_CONTINUOUS,
                "alpha": 2.5,
                "target_smoothing_sigma": 0.2,
                "target_smoothing_clip": 0.5,
                "update_actor_interval": 2,
            },
        },
        "IQL": {
            "d3rlpy": {**_CONTINUOUS, "expectile": 0.7, "weight_temp": 3.0, "max_weight": 100.0},
        },
        "CQL": {
            "d3rlpy": {
                **_CONTINUOUS,
                "actor_lr": 1e-4,
                "temperature_lr": 1e-4,
                "alpha_lr": 1e-4,
                "initial_temperature": 1.0,
                "initial_alpha": 1.0,
                "alpha_threshold": 10.0,
                "conservative_weight": 5.0,
                "n_action_samples": 10,
                "soft_q_backup": False,
            },
        },
        "AWAC": {
            "d3rlpy": {
                **_CONTINUOUS,
                "batch_size": 1_024,
                "lam": 1.0,
                "n_action_samples": 1,
                # Of the entropy in the target. The paper has none (0); d3rlpy 2.8.1 inherits SAC's target and hands
                # it a log temperature of 0 (algos/qlearning/awac.py, dummy_log_temp).
                "temperature": 1.0,
            },
        },
    }
)
"""Class to preset to settings. "guide" is the migration guide's own, "d3rlpy" the defaults of d3rlpy 2.8.1; the first
one of a class is its default. DiscreteBCQ shares the hidden layers between values and imitator, as `share_encoder`."""


@dataclass(frozen=True, slots=True)
class D3rlpyAlgorithm:
    """What an algorithm of d3rlpy is here.

    Attributes:
        module: of `legacy_tf` and `torch_impl`.
        name: of the class in it.
    """

    module: str
    name: str


D3RLPY_ALGORITHMS: Mapping[str, D3rlpyAlgorithm] = MappingProxyType(
    {
        "DQN": D3rlpyAlgorithm("offline_dqn", "OfflineDQN"),
        "DoubleDQN": D3rlpyAlgorithm("offline_dqn", "OfflineDoubleDQN"),
        "DiscreteBC": D3rlpyAlgorithm("offline_cloning", "BehavioralCloning"),
        "DiscreteCQL": D3rlpyAlgorithm("offline_dqn", "DiscreteCQL"),
        "DiscreteBCQ": D3rlpyAlgorithm("offline_dqn", "DiscreteBCQ"),
        "BC": D3rlpyAlgorithm("offline_cloning", "ContinuousBC"),
        "TD3PlusBC": D3rlpyAlgorithm("offline_actor_critics", "TD3PlusBC"),
        "IQL": D3rlpyAlgorithm("offline_actor_critics", "IQL"),
        "CQL": D3rlpyAlgorithm("offline_cql", "CQL"),
        "AWAC": D3rlpyAlgorithm("offline_actor_critics", "AWAC"),
    }
)
"""d3rlpy's name, without "Config", to ours."""


def d3rlpy_defaults(name: str) -> Settings:
    """Return the defaults of d3rlpy 2.8.1 as settings of our class.

    Args:
        name: d3rlpy's ("DQN", "DiscreteCQL", with or without "Config") or ours ("OfflineDQN").

    Raises:
        ValueError: There is no such algorithm; the message has the nearest names.
    """
    short = name.removesuffix("Config")
    ours = D3RLPY_ALGORITHMS[short].name if short in D3RLPY_ALGORITHMS else short
    if ours not in PRESETS:
        raise ValueError(_unknown("algorithm", name, [*D3RLPY_ALGORITHMS, *PRESETS]))
    return dict(PRESETS[ours]["d3rlpy"])


def choose_settings(algorithm: str, preset: str | None, given: Mapping[str, object]) -> Settings:
    """Return all settings of an algorithm: those of the preset, with the given ones laid over.

    Args:
        algorithm: name of the class.
        preset: None: the class's first one.
        given: by name; None stands for what the preset says. "lr" sets every learning rate of an algorithm that has
            several.

    Raises:
        ValueError: A name is not known, or a value is out of range; the message names all of them.
    """
    presets = PRESETS[algorithm]
    chosen = next(iter(presets)) if preset is None else preset
    if chosen not in presets:
        raise ValueError(_unknown(f"preset of {algorithm}", chosen, list(presets)))
    settings = dict(presets[chosen])
    named = {name: value for name, value in given.items() if value is not None}
    rates = [name for name in settings if name.endswith("_lr")]
    if rates and "lr" in named:
        rate = named.pop("lr")
        named = {**dict.fromkeys(rates, rate), **named}
    for name in named:
        if name not in settings:
            raise ValueError(_unknown(f"setting of {algorithm}", name, list(settings)))
    settings |= {name: _plain(value) for name, value in named.items()}
    _check(algorithm, settings)
    return settings


def dense_layers(
    inputs: int, hidden_sizes: Sequence[int], outputs: Mapping[str, int]
) -> dict[str, tuple[int, int]]:
    """Return name and (in, out) of every layer of a network: fc1, fc2, ... and one layer for every output."""
    sizes = [inputs, *hidden_sizes]
    hidden = {f"fc{index}": (sizes[index - 1], sizes[index]) for index in range(1, len(sizes))}
    return hidden | {name: (sizes[-1], size) for name, size in outputs.items()}


def initial_weights(
    network: str, layers: Mapping[str, tuple[int, int]], seed: int
) -> dict[str, NDArray[np.float64]]:
    """Return first weights as torch's nn.Linear draws them: "fc1/kernel" (in, out), "fc1/bias" (out,), ...

        uniform(-limit, limit), limit = 1 / sqrt(in)

    They are float32 numbers, so that both frameworks and both dtypes begin at the same place.

    Args:
        network: its name; part of the seed.
        layers: of `dense_layers`.
        seed: of the agent.
    """
    weights = {}
    for layer, (fan_in, units) in layers.items():
        for kind, shape in (("kernel", (fan_in, units)), ("bias", (units,))):
            name = f"{layer}/{kind}"
            rng = np.random.default_rng([seed, zlib.crc32(f"{network}/{name}".encode())])
            limit = 1.0 / math.sqrt(fan_in)
            drawn = rng.uniform(-limit, limit, shape).astype(np.float32)
            weights[name] = drawn.astype(np.float64)
    return weights


class ActionScaling:
    """Takes the actions of the data to [-1, 1], where the policies live, and back.

    Args:
        low: least number of every axis, or of all; None: actions are in [-1, 1] already.
        high: largest number, likewise.
        size: axes of an action.

    Raises:
        ValueError: One bound is there without the other, they do not fit `size`, or are not in order.
    """

    def __init__(self, low: ArrayLike | None, high: ArrayLike | None, size: int) -> None:
        self.given = low is not None and high is not None
        if (low is None) != (high is None):
            msg = f"action_low {low!r} and action_high {high!r}; give both or none"
            raise ValueError(msg)
        bounds = (-1.0, 1.0) if low is None or high is None else (low, high)
        lowest, highest = (
            np.broadcast_to(np.asarray(bound, np.float64), (size,)) for bound in bounds
        )
        if not (lowest < highest).all():
            msg = f"action_low {lowest.tolist()} is not below action_high {highest.tolist()}"
            raise ValueError(msg)
        self._middle, self._half = (highest + lowest) / 2.0, (highest - lowest) / 2.0

    def to_unit(self, actions: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return actions of the data as the networks see them."""
        return (actions - self._middle) / self._half if self.given else actions

    def from_unit(self, actions: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return what a policy gave as actions of the environment, of the same dtype."""
        if not self.given:
            return actions
        return (actions * self._half + self._middle).astype(actions.dtype)


def check_actions(actions: NDArray[Any], action_dim: int) -> None:
    """Raise ValueError for numbers of actions that are not in [0, action_dim)."""
    if len(actions) and not 0 <= actions.min() <= actions.max() < action_dim:
        msg = f"actions from {actions.min()} to {actions.max()}; needed 0 to {action_dim - 1} for action_dim={action_dim}"
        raise ValueError(msg)


_POSITIVE = ("lr", "actor_lr", "critic_lr", "batch_size", "target_update_freq", "lam",
             "update_actor_interval", "n_action_samples", "max_weight", "initial_temperature",
             "initial_alpha")  # fmt: skip
_NOT_NEGATIVE = ("beta", "alpha", "temperature_lr", "alpha_lr", "conservative_weight",
                 "target_smoothing_sigma", "target_smoothing_clip", "temperature")  # fmt: skip
_IN_UNIT = ("gamma", "tau", "expectile", "action_flexibility")
_CHOICES = {"loss": ("mse", "huber"), "policy": ("deterministic", "stochastic")}


def _check(algorithm: str, settings: Settings) -> None:
    problems = [f"{name}={settings[name]!r}, needed above 0" for name in _POSITIVE
                if name in settings and not settings[name] > 0]  # fmt: skip
    problems += [f"{name}={settings[name]!r}, needed 0 or more" for name in _NOT_NEGATIVE
                 if name in settings and not settings[name] >= 0]  # fmt: skip
    problems += [f"{name}={settings[name]!r}, needed 0 to 1" for name in _IN_UNIT
                 if name in settings and not 0 <= settings[name] <= 1]  # fmt: skip
    problems += [f"{name}={settings[name]!r}, needed {' or '.join(choices)}"
                 for name, choices in _CHOICES.items()
                 if name in settings and settings[name] not in choices]  # fmt: skip
    sizes = settings["hidden_sizes"]
    if not sizes or min(sizes) < 1:
        problems.append(f"hidden_sizes={sizes}, needed one or more positive numbers")
    if problems:
        msg = f"{algorithm}: {'; '.join(problems)}"
        raise ValueError(msg)


def _plain(value: object) -> Any:  # noqa: ANN401  see `Settings`
    if isinstance(value, np.ndarray):
        return value.tolist()
    return list(value) if isinstance(value, tuple) else value


def _unknown(kind: str, name: str, known: Sequence[str]) -> str:
    nearest = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"; nearest: {', '.join(nearest)}" if nearest else ""
    return f"no {kind} named {name!r}{hint}. There are: {', '.join(known)}"
