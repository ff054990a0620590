"""The transitions that every measured agent learns from: the same arrays for all of them."""

from __future__ import annotations

import numpy as np

from experience.agent import Batch

OBSERVATION_SIZE = 12
ACTIONS = 5
MEMORY_SIZE = 10_000
BATCH_SIZE = 64
SEED = 0


def make_transitions(count: int = MEMORY_SIZE) -> Batch:
    """Return `count` transitions in the shape of the vocabulary environment, in float32.

    Values only have to be of a sensible size: what is timed does not depend on them.
    """
    rng = np.random.default_rng(SEED)
    return Batch(
        observation=rng.random((count, OBSERVATION_SIZE), dtype=np.float32),
        action=rng.integers(0, ACTIONS, count),
        reward=rng.normal(0.5, 0.5, count).astype(np.float32),
        next_observation=rng.random((count, OBSERVATION_SIZE), dtype=np.float32),
        terminated=rng.random(count) < 1 / 20,  # an episode of the guide has 20 steps
    )
