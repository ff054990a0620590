"""Input recipes and arguments of the actor-critic pairs: transitions with continuous actions, and normal noise."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType, SimpleNamespace
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from experience.agent import Batch
from parity_tests.inputs import Draw, Recipe, spread

SMALL_BATCH = 11
EPISODES = 3
"""Sub-sequences in a batch of return decomposition."""

MODERATE = 1.0
"""Largest observation and noise of agents with squashed normal policies.

log(1 - tanh(x)^2 + 1e-6) magnifies the last bit of tanh, which the frameworks round differently, by 2 / (1 - tanh(x)^2 + 1e-6):
2e6 where tanh is near 1. A wrong formula shows where it is not.
"""

BASIS_NOISE: Mapping[str, tuple[str, ...]] = {
    "ddpg": (),
    "td3": ("target",),
    "sac": ("policy", "next_policy"),
}
"""Names of the noise arrays of every algorithm."""


NUMBERED: Mapping[str, object] = MappingProxyType(
    {
        "double": False,
        "dueling": False,
        "optimizer": "adam",
        "Adam_eps": 1.5e-4,
        "RMSProp_decay": 0.95,
        "RMSProp_eps": 1e-2,
        "eps_l": 0.4,
        "eps_r": 0.1,
        "eps_decay": 50,
    }
)
"""Flags of agents with numbered actions."""
IMAGES: Mapping[str, object] = MappingProxyType(
    {**NUMBERED, "obs_dims": [21, 18, 2], "conv_filters": [5, 3, 4], "conv_units": 6}
)
"""Flags of such agents on small images."""


class SequenceBatch(NamedTuple):
    """Transitions as in `Batch`, and sub-sequences of episodes for return decomposition."""

    observation: NDArray[np.floating]
    action: NDArray[Any]  # Any: numbers of actions as well
    reward: NDArray[np.floating]
    next_observation: NDArray[np.floating]
    terminated: NDArray[np.bool_]
    rrd_obs: NDArray[np.floating]  # (episodes, steps, observation)
    rrd_obs_next: NDArray[np.floating]  # (episodes, steps, observation)
    rrd_acts: NDArray[Any]  # (episodes, steps, action), or numbers (episodes, steps)
    rrd_rews: NDArray[np.floating]  # (episodes, 1), return over length
    rrd_var_coef: NDArray[np.floating]  # (episodes, 1), 1 - steps / length


def small_arguments(**changes: object) -> SimpleNamespace:
    """Return flags of a small agent: no two sizes are equal, learning rates are large enough to see a difference.

    Args:
        changes: laid over the flags.
    """
    flags: dict[str, object] = {
        "obs_dims": [4],
        "acts_dims": [3],
        "hidden_sizes": [7, 5],
        "gamma": 0.99,
        "polyak": 0.95,
        "obs_normalization": False,
        "pi_lr": 1e-3,
        "q_lr": 2e-3,
        "q_reg": 1e-2,
        "std_act": 0.1,
        "pi_t_std": 0.2,
        "pi_t_clip": 0.5,
        "alpha_lr": 1e-3,
        "alpha_init": 0.5,
        "r_lr": 3e-3,
        "rrd_sample_size": 6,
        "rrd_bias_correction": False,
    }
    return SimpleNamespace(**{**flags, **changes})


def continuous_transitions(*noise: str, largest: float = np.inf) -> Recipe:
    """Return the recipe of transitions with actions in [-1, 1] and of standard normal noise.

    Args:
        noise: names of the noise arrays, (batch, action) each.
        largest: magnitude that observations and noise are clipped to.
    """

    def draw(configuration: Mapping[str, object], rng: np.random.Generator) -> Draw:
        args = cast("SimpleNamespace", configuration["args"])
        size = int(cast("int", configuration.get("batch_size", SMALL_BATCH)))
        actions = (size, *args.acts_dims)
        reward = rng.standard_normal(size) * 10.0 ** rng.uniform(-2.0, 0.5)
        reward[rng.random(size) < 0.2] = 0.0
        batch = Batch(
            observation=_observations(rng, (size, *args.obs_dims), largest),
            action=rng.uniform(-1.0, 1.0, actions),
            reward=reward,
            next_observation=_observations(rng, (size, *args.obs_dims), largest),
            terminated=rng.random(size) < 0.25,
        )
        drawn = {name: rng.standard_normal(actions).clip(-largest, largest) for name in noise}
        return Draw(batch, drawn)

    draw.__name__ = "_".join(("continuous_transitions", *noise))
    return draw


def sub_sequences(configuration: Mapping[str, object], rng: np.random.Generator) -> Draw:
    """Return transitions, sub-sequences of episodes, and the noise of the basis algorithm.

    Args:
        configuration: "args" with the flags, "batch_size".
        rng: every call draws the same number of values from it.
    """
    args = cast("SimpleNamespace", configuration["args"])
    largest = largest_input(args.basis_alg)
    recipe = continuous_transitions(*BASIS_NOISE[args.basis_alg], largest=largest)
    transitions, noise = recipe(configuration, rng)
    steps = (EPISODES, args.rrd_sample_size)
    lengths = rng.integers(args.rrd_sample_size, 50, (EPISODES, 1))
    batch = SequenceBatch(
        **transitions._asdict(),
        rrd_obs=_observations(rng, (*steps, *args.obs_dims), largest),
        rrd_obs_next=_observations(rng, (*steps, *args.obs_dims), largest),
        rrd_acts=rng.uniform(-1.0, 1.0, (*steps, *args.acts_dims)),
        rrd_rews=rng.standard_normal((EPISODES, 1)),
        rrd_var_coef=1.0 - args.rrd_sample_size / lengths,
    )
    return Draw(batch, noise)


def basis_transitions(configuration: Mapping[str, object], rng: np.random.Generator) -> Draw:
    """Return transitions and the noise of the basis algorithm that the flags name."""
    args = cast("SimpleNamespace", configuration["args"])
    largest = largest_input(args.basis_alg)
    return continuous_transitions(*BASIS_NOISE[args.basis_alg], largest=largest)(configuration, rng)


def largest_input(algorithm: str) -> float:
    """Return the magnitude that an algorithm's observations and noise are clipped to."""
    return MODERATE if algorithm == "sac" else np.inf


def _observations(
    rng: np.random.Generator, shape: tuple[Any, ...], largest: float
) -> NDArray[np.float64]:
    return spread(rng, shape).clip(-largest, largest)


def numbered_transitions(configuration: Mapping[str, object], rng: np.random.Generator) -> Draw:
    """Return transitions with numbered actions, of images in [0, 1] if observations have three axes.

    With `basis_alg` among the flags there are sub-sequences of episodes as well.

    Args:
        configuration: "args" with the flags, "batch_size".
        rng: every call draws the same number of values from it.
    """
    args = cast("SimpleNamespace", configuration["args"])
    size = int(cast("int", configuration.get("batch_size", SMALL_BATCH)))
    [count] = args.acts_dims
    transitions = Batch(
        observation=_pixels(rng, (size, *args.obs_dims)),
        action=rng.integers(count, size=size),
        reward=rng.standard_normal(size) * 10.0 ** rng.uniform(-2.0, 0.5),
        next_observation=_pixels(rng, (size, *args.obs_dims)),
        terminated=rng.random(size) < 0.25,
    )
    if not hasattr(args, "basis_alg"):
        return Draw(transitions, {})
    steps = (EPISODES, args.rrd_sample_size)
    sequences = SequenceBatch(
        **transitions._asdict(),
        rrd_obs=_pixels(rng, (*steps, *args.obs_dims)),
        rrd_obs_next=_pixels(rng, (*steps, *args.obs_dims)),
        rrd_acts=rng.integers(count, size=steps),
        rrd_rews=rng.standard_normal((EPISODES, 1)),
        rrd_var_coef=rng.random((EPISODES, 1)),
    )
    return Draw(sequences, {})


def _pixels(rng: np.random.Generator, shape: tuple[Any, ...]) -> NDArray[np.float64]:
    # Of vectors the last axis is the only one beside batch and steps.
    return rng.random(shape) if len(shape) >= 4 else spread(rng, shape)
