"""A small DQN agent and what several tests do with one."""

from __future__ import annotations

from typing import Any

import numpy as np

from experience.agent import Batch
from torch_impl.dqn import DQNAgent

SMALL: dict[str, Any] = {
    "state_size": 4,
    "action_size": 3,
    "hidden_sizes": (7, 5, 6),
    "batch_size": 8,
    "memory_size": 20,
    "device": "cpu",
}


def make_agent(**settings: Any) -> DQNAgent:
    return DQNAgent(**{**SMALL, **settings})


def make_batch(seed: int = 0, *, rows: int = 8) -> Batch:
    rng = np.random.default_rng(seed)
    return Batch(
        rng.normal(size=(rows, 4)),
        rng.integers(3, size=rows),
        rng.normal(size=rows),
        rng.normal(size=(rows, 4)),
        rng.random(rows) < 0.3,
    )


def same_weights(left: DQNAgent, right: DQNAgent) -> bool:
    found, needed = left.get_weights(), right.get_weights()
    return all(np.array_equal(found[name], needed[name]) for name in needed)
