"""A position as text: the board as it lies on the table, the pieces beside it, the roll."""

from __future__ import annotations

import numpy as np

from experience.environments.royal_ur.board import (
    FINISHED,
    PIECES,
    ROLL,
    ROSETTES,
    SQUARES,
    START,
    TURN,
)
from experience.environments.royal_ur.rules import State, find_winner

ROWS = (
    (0, 1, 2, 3, None, None, 13, 12),
    (4, 5, 6, 7, 8, 9, 10, 11),
    (16, 17, 18, 19, None, None, 15, 14),
)
"""Squares of the board from left to right; player 1 walks the first row, player 2 the last, both the middle one."""
MARKS = {1: "1", 2: "2"}
EMPTY, ROSETTE, GAP = ".", "*", " "


def format_board(state: State) -> str:
    """Return the board: 1 and 2 are pieces, * is an empty rosette, . another empty square."""
    owners = find_owners(state)
    lines = []
    for row in ROWS:
        cells = [GAP if square is None else _mark(square, int(owners[square])) for square in row]
        lines.append("  " + " ".join(cells).rstrip())
    return "\n".join(lines)


def format_state(state: State) -> str:
    """Return the board with both players' pieces off it, and whose turn it is with which roll, or who has won."""
    lines = [_describe_player(state, 1), format_board(state), _describe_player(state, 2)]
    winner = find_winner(state)
    if winner:
        lines.append(f"player {winner} has won")
    else:
        lines.append(f"player {int(state[TURN])} to move, roll {int(state[ROLL])}")
    return "\n".join(lines)


def find_owners(state: State) -> np.ndarray[tuple[int], np.dtype[np.int8]]:
    """Return who stands on each square, (20,): 1, 2 or 0."""
    owners = np.zeros(SQUARES, np.int8)
    for k, square in enumerate(state[: 2 * PIECES].tolist()):
        if START < square < FINISHED:
            owners[square] = 1 + k // PIECES
    return owners


def _mark(square: int, owner: int) -> str:
    return MARKS.get(owner) or (ROSETTE if square in ROSETTES else EMPTY)


def _describe_player(state: State, player: int) -> str:
    squares = state[(player - 1) * PIECES : player * PIECES].tolist()
    waiting, done = squares.count(START), squares.count(FINISHED)
    return f"player {player}: {waiting} to start, {done} finished"
