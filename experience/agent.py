"""What the training loop, the parity probes and the benchmarks expect of an agent, in numpy terms.

Both frameworks' agents fulfil it; nothing in here knows either. Randomness comes in as arguments: the caller owns
the generator, and noise that must be equal on both sides (dropout masks) is handed in as arrays.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

Noise = Mapping[str, NDArray[np.floating]]
"""Noise arrays by layer name. A dropout mask has the layer's input shape and holds 0 or 1/(1 - rate)."""


class Batch(NamedTuple):
    """Transitions, the first axis of every field is `batch`.

    `terminated` is true only for real ends; a time limit (`truncated`) still bootstraps and is not stored here.
    """

    observation: NDArray[np.floating]  # (batch, *observation)
    action: NDArray[np.int64] | NDArray[np.floating]  # (batch,) index, or (batch, action)
    reward: NDArray[np.floating]  # (batch,), as the environment gave it
    next_observation: NDArray[np.floating]  # (batch, *observation)
    terminated: NDArray[np.bool_]  # (batch,)


class Agent(Protocol):
    """An agent of either framework."""

    def act(
        self, observation: NDArray[np.floating], rng: np.random.Generator, *, explore: bool
    ) -> NDArray[np.int64]:
        """Return the action for every row of (batch, *observation); one observation gives a 0-d array."""
        ...

    def update(self, batch: Batch, noise: Noise | None = None) -> dict[str, float]:
        """Take one gradient step on `batch` and return its figures by name: "loss", or a loss of each network."""
        ...

    def save(self, path: Path) -> None:
        """Write everything that training needs to go on (not the replay memory)."""
        ...

    @classmethod
    def load(cls, path: Path) -> Self:
        """Return the agent that `save` wrote."""
        ...
