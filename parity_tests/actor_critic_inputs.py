"""Input recipes and arguments of the actor-critic pairs: transitions with continuous actions, and normal noise."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import cast

import numpy as np

from experience.agent import Batch
from parity_tests.inputs import Draw, Recipe, spread

SMALL_BATCH = 11


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
    }
    return SimpleNamespace(**{**flags, **changes})


def continuous_transitions(*noise: str) -> Recipe:
    """Return the recipe of transitions with actions in [-1, 1] and of standard normal noise.

    Args:
        noise: names of the noise arrays, (batch, action) each.
    """

    def draw(configuration: Mapping[str, object], rng: np.random.Generator) -> Draw:
        args = cast("SimpleNamespace", configuration["args"])
        size = int(cast("int", configuration.get("batch_size", SMALL_BATCH)))
        actions = (size, *args.acts_dims)
        reward = rng.standard_normal(size) * 10.0 ** rng.uniform(-2.0, 0.5)
        reward[rng.random(size) < 0.2] = 0.0
        batch = Batch(
            observation=spread(rng, (size, *args.obs_dims)),
            action=rng.uniform(-1.0, 1.0, actions),
            reward=reward,
            next_observation=spread(rng, (size, *args.obs_dims)),
            terminated=rng.random(size) < 0.25,
        )
        return Draw(batch, {name: rng.standard_normal(actions) for name in noise})

    draw.__name__ = "_".join(("continuous_transitions", *noise))
    return draw
