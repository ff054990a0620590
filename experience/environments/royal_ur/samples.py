"""What a trainer learns from: features, a value, the expert's piece, and the game each sample comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from experience.environments.royal_ur.board import FEATURES, PIECES


@dataclass(frozen=True, slots=True)
class Samples:
    """Samples of whole games, game after game in the order of play.

    Attributes:
        features: (samples, 150).
        value_target: (samples,), in [-1, 1], positive is good for player 2: the expert's score / 10000, clipped.
        policy_target: (samples, 7), 1 at the expert's piece.
        game: (samples,), rising numbers of games from 0.
    """

    features: NDArray[np.float32]
    value_target: NDArray[np.float32]
    policy_target: NDArray[np.float32]
    game: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.value_target)

    @property
    def games(self) -> int:
        """How many games the samples come from."""
        return len(np.unique(self.game))


def join_samples(parts: Sequence[Samples]) -> Samples:
    """Return the samples of all parts in their order; games are numbered anew."""
    games, offset = [np.empty(0, np.int32)], 0
    for part in parts:
        _, numbers = np.unique(part.game, return_inverse=True)
        games.append((numbers + offset).astype(np.int32))
        offset += part.games
    return Samples(
        np.concatenate([np.empty((0, FEATURES), np.float32), *(p.features for p in parts)]),
        np.concatenate([np.empty(0, np.float32), *(p.value_target for p in parts)]),
        np.concatenate([np.empty((0, PIECES), np.float32), *(p.policy_target for p in parts)]),
        np.concatenate(games),
    )
