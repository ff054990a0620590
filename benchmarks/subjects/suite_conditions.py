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
DQN_WARMUP = 512
"""Environment steps before the first measurement."""


class DqnRhythm(NamedTuple):
    """Network, batch and rhythm of a DQN on CartPole."""

    hidden_sizes: tuple[int, ...]
    batch_size: int
    train_every: int  # environment steps between two bursts of updates
    updates: int  # of a burst
    steps_a_call: int  # of a measurement: so many that the bursts at its two ends do not matter


DQN_RHYTHMS = {
    "dqn-training": DqnRhythm((64, 64), 32, 1, 1, 1_000),
    "dqn-bursts": DqnRhythm(HIDDEN_SIZES, 64, 256, 128, 2_560),
}
"""By task: network and batch of stable-baselines3's defaults with an update a step, as SAC's; and as its zoo has tuned DQN on
CartPole."""
DQN_LEARNING_RATE, DQN_MEMORY, DQN_TARGET_EVERY, DQN_EPSILON = 2.3e-3, 50_000, 256, 0.04


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
