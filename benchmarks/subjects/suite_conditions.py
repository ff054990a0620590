"""What the agents of the RRD suite and their counterparts elsewhere are measured on: sizes, transitions, training settings.

Numpy only: libraries with environments of their own import it, too.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SEED = 0
OBSERVATION_SIZE, ACTION_SIZE = 17, 6
"""Those of HalfCheetah and Walker2d."""
HIDDEN_SIZES = (256, 256)
BATCH_SIZE = 256
STORED = 20_000
"""Transitions in the replay buffer: 3 MB, more than a cache near the core holds."""
EPISODE_LENGTH = 1_000

PENDULUM, CARTPOLE = "Pendulum-v1", "CartPole-v1"
SAC_WARMUP = 300
"""Environment steps before SAC's first update."""
DQN_BATCH_SIZE = 64
DQN_TRAIN_EVERY, DQN_UPDATES = 256, 128
"""Environment steps between two bursts of updates and updates of a burst: as DQN is tuned on CartPole for
stable-baselines3 (its zoo), whose network has 2 x 256 units as well."""
DQN_LEARNING_RATE, DQN_MEMORY, DQN_TARGET_EVERY, DQN_EPSILON = 2.3e-3, 50_000, 256, 0.04
DQN_STEPS_A_CALL = 10 * DQN_TRAIN_EVERY
"""So many that the bursts at a call's two ends do not matter."""


class Transitions(NamedTuple):
    """Random transitions with continuous actions, float32."""

    observation: NDArray[np.float32]  # (STORED, OBSERVATION_SIZE)
    action: NDArray[np.float32]  # (STORED, ACTION_SIZE), in -1..1
    reward: NDArray[np.float32]  # (STORED,)
    next_observation: NDArray[np.float32]  # (STORED, OBSERVATION_SIZE)


def make_continuous_transitions() -> Transitions:
    """Return the same transitions every time; none is an end."""
    rng = np.random.default_rng(SEED)
    shape = (STORED, OBSERVATION_SIZE)
    return Transitions(
        rng.standard_normal(shape).astype(np.float32),
        rng.uniform(-1.0, 1.0, (STORED, ACTION_SIZE)).astype(np.float32),
        rng.standard_normal(STORED).astype(np.float32),
        rng.standard_normal(shape).astype(np.float32),
    )
