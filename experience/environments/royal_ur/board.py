"""The board in numbers: paths, rosettes, dice, sizes. No code, and nothing to compile.

Squares are those of the original: -1 at the start, 0 to 19 on the board, 20 finished. A step counts along a player's
own path from 0; the start is step -1, and step 14 leaves the board.

Source: rgilks/rgou-cloudflare at commit 517974e, worker/rust_ai_core/src/lib.rs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PIECES = 7
"""Of each player."""
START, FINISHED = -1, 20
SQUARES = 20
ROLLS = 5
"""Rolls are 0 to 4: the marked corners of four dice that show a marked one in half of the throws."""
ROLL_WEIGHTS = (1, 4, 6, 4, 1)
"""Sixteenths."""
PATH_STEPS = 14
PATHS: NDArray[np.int8] = np.array(
    [
        [3, 2, 1, 0, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13],
        [19, 18, 17, 16, 4, 5, 6, 7, 8, 9, 10, 11, 14, 15],
    ],
    np.int8,
)
"""(player - 1, step): the square."""
ROSETTES = (0, 7, 13, 15, 16)
LANE = (4, 11)
"""First and last square (and step) of the part that both players walk; only there pieces meet."""
PLAYERS = (1, 2)

STATE_SIZE = 16
"""Numbers of a state: 0-6 squares of player 1, 7-13 of player 2, 14 the player to move (1, 2), 15 the roll."""
TURN, ROLL = 14, 15
"""Where a state keeps the player to move, and the roll."""
FEATURES = 150
"""Numbers of an encoded position; 78 of them are used, the others are always 0."""
FEATURE_LIMIT = 10.0
"""The original clips at it."""


def _invert_paths() -> NDArray[np.int8]:
    steps = np.full((2, SQUARES + 1), -1, np.int8)
    for player, path in enumerate(PATHS):
        steps[player, path] = np.arange(PATH_STEPS)
    return steps


STEPS: NDArray[np.int8] = _invert_paths()
"""(player - 1, square): the step, -1 for squares that are not on the player's path."""
IS_ROSETTE: NDArray[np.bool_] = np.isin(np.arange(SQUARES + 1), ROSETTES)
"""(square): 20 is none."""
