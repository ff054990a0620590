"""A position as a picture, (height, width, 3) in 8 bits, drawn with numpy alone."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from experience.environments.royal_ur.board import (
    FINISHED,
    PIECES,
    ROLL,
    ROLLS,
    ROSETTES,
    START,
    TURN,
)
from experience.environments.royal_ur.rules import State
from experience.environments.royal_ur.text_board import ROWS, find_owners

CELL = 32
"""Pixels of a square's side."""
BACKGROUND, WOOD, FLOWER, LINE = (120, 128, 140), (222, 196, 150), (196, 98, 72), (96, 72, 48)
COLORS = {1: (250, 250, 245), 2: (28, 32, 40)}
OFF, LIT = (95, 100, 112), (240, 200, 80)
SIZE = (7 * CELL, 8 * CELL, 3)
"""Two rows of pieces off the board above and below it, and the roll in the last row."""
_FIRST_BOARD_ROW, _ROLL_ROW = 2, 6
_PIECE_RADIUS, _SMALL_RADIUS = 0.36, 0.2
_Picture = NDArray[np.uint8]


def draw_state(state: State) -> _Picture:
    """Return the picture of a state: pieces to start left and finished right of each player's row, dice lit below."""
    picture = np.empty(SIZE, np.uint8)
    picture[:] = BACKGROUND
    owners = find_owners(state)
    for row, squares in enumerate(ROWS):
        for column, square in enumerate(squares):
            if square is not None:
                cell = _cell(picture, _FIRST_BOARD_ROW + row, column)
                cell[:] = LINE
                cell[1:-1, 1:-1] = FLOWER if square in ROSETTES else WOOD
                if owners[square]:
                    _draw_disc(cell, COLORS[int(owners[square])], _PIECE_RADIUS)
    for player, row in ((1, 0), (2, _FIRST_BOARD_ROW + len(ROWS))):
        _draw_off_board(picture, state, player, row)
    for die in range(ROLLS - 1):
        lit = die < int(state[ROLL])
        _draw_disc(_cell(picture, _ROLL_ROW, die), LIT if lit else OFF, _SMALL_RADIUS)
    mover = _cell(picture, _ROLL_ROW, len(ROWS[0]) - 1)
    _draw_disc(mover, COLORS[int(state[TURN])], _PIECE_RADIUS)
    return picture


def _draw_off_board(picture: _Picture, state: State, player: int, row: int) -> None:
    """Draw a player's waiting pieces from the left, small, and the finished ones from the right."""
    squares = state[(player - 1) * PIECES : player * PIECES].tolist()
    for k in range(squares.count(START)):
        _draw_disc(_cell(picture, row, k), COLORS[player], _SMALL_RADIUS)
    for k in range(squares.count(FINISHED)):
        _draw_disc(_cell(picture, row, len(ROWS[0]) - 1 - k), COLORS[player], _PIECE_RADIUS)


def _cell(picture: _Picture, row: int, column: int) -> _Picture:
    return picture[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL]


def _draw_disc(cell: _Picture, color: tuple[int, int, int], radius: float) -> None:
    cell[_disc(radius)] = color


@cache
def _disc(radius: float) -> NDArray[np.bool_]:
    """Return which pixels of a cell lie in a circle round its middle; the radius is in cells."""
    across = (np.arange(CELL) + 0.5) / CELL - 0.5
    inside: NDArray[np.bool_] = across[:, None] ** 2 + across**2 <= radius**2
    return inside
