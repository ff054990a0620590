"""The rules on a state of 16 small integers (`board.STATE_SIZE`): moves, captures, turns, the end, dice.

Compiled by Numba where it is installed. A state is changed in place by `apply_move` and `pass_turn`; everything else
only reads it. As in the original, nobody is asked to pass: whoever has no move calls `pass_turn`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from experience.environments.royal_ur.board import (
    FINISHED,
    IS_ROSETTE,
    PATH_STEPS,
    PATHS,
    PIECES,
    PLAYERS,
    ROLL,
    ROLLS,
    START,
    STEPS,
    TURN,
)
from experience.environments.royal_ur.compilation import compiled

State = NDArray[np.int8]

BLOCKED = -2
"""In place of a square: the piece cannot move."""
NOBODY = 0
"""In place of a winner."""


def make_state(
    first: Sequence[int] = (START,) * PIECES,
    second: Sequence[int] = (START,) * PIECES,
    *,
    player: int = 1,
    roll: int = 0,
) -> State:
    """Return a state, by default the start of a game.

    Args:
        first: squares of the seven pieces of player 1.
        second: squares of the seven pieces of player 2.
        player: who is to move, 1 or 2.
        roll: 0 to 4.

    Raises:
        ValueError: Not seven pieces, a square off the player's path, two pieces on one square, or no such player or
            roll.
    """
    if player not in PLAYERS or not 0 <= roll < ROLLS:
        msg = f"a player is 1 or 2 and a roll 0 to 4; got player {player}, roll {roll}"
        raise ValueError(msg)
    for owner, squares in zip(PLAYERS, (first, second), strict=True):
        _check_squares(owner, squares)
    common = set(first) & set(second) - {START, FINISHED}
    if common:
        msg = f"both players have a piece on square {min(common)}"
        raise ValueError(msg)
    return np.array([*first, *second, player, roll], np.int8)


def _check_squares(owner: int, squares: Sequence[int]) -> None:
    allowed = {START, FINISHED, *PATHS[owner - 1].tolist()}
    on_board = [square for square in squares if square not in (START, FINISHED)]
    wrong = sorted(set(squares) - allowed)
    if len(squares) != PIECES or wrong or len(set(on_board)) != len(on_board):
        msg = (
            f"player {owner} has seven pieces on -1 (start), 20 (finished) or different squares of the path "
            f"{PATHS[owner - 1].tolist()}; got {list(squares)}"
        )
        raise ValueError(msg)


def roll_dice(generator: np.random.Generator, count: int) -> NDArray[np.int8]:
    """Return that many rolls, 0 to 4 with the odds 1:4:6:4:1."""
    return generator.binomial(4, 0.5, count).astype(np.int8)


@compiled
def find_square(state: State, piece: int) -> int:
    """Return where a piece of the player to move would go with the roll, or `BLOCKED`.

    Args:
        state: (16,).
        piece: 0 to 6.
    """
    player = state[TURN] - 1
    square, roll = state[player * PIECES + piece], state[ROLL]
    if roll == 0 or square == FINISHED:
        return BLOCKED
    step = (STEPS[player, square] if square >= 0 else -1) + roll
    if step > PATH_STEPS:
        return BLOCKED
    if step == PATH_STEPS:
        return FINISHED
    target = PATHS[player, step]
    own, other = player * PIECES, (1 - player) * PIECES
    for k in range(PIECES):
        if state[own + k] == target or (state[other + k] == target and IS_ROSETTE[target]):
            return BLOCKED
    return int(target)


@compiled
def count_moves(state: State) -> int:
    """Return how many pieces can move; each unstarted piece counts."""
    moves = 0
    for piece in range(PIECES):
        if find_square(state, piece) != BLOCKED:
            moves += 1
    return moves


@compiled
def find_moves(state: State) -> NDArray[np.int64]:
    """Return the pieces that can move, in rising order."""
    found = np.empty(PIECES, np.int64)
    moves = 0
    for piece in range(PIECES):
        if find_square(state, piece) != BLOCKED:
            found[moves] = piece
            moves += 1
    return found[:moves]


@compiled
def find_distinct_moves(state: State) -> NDArray[np.int64]:
    """Return the pieces that can move, without those that stand where an earlier one stands (at the start)."""
    found = np.empty(PIECES, np.int64)
    moves = 0
    own = (state[TURN] - 1) * PIECES
    started = False
    for piece in range(PIECES):
        if state[own + piece] == START:
            if started:
                continue
            started = True
        if find_square(state, piece) != BLOCKED:
            found[moves] = piece
            moves += 1
    return found[:moves]


@compiled
def is_capture(state: State, target: int) -> bool:
    """Return whether the player to move captures on that square; never on a rosette, never at the end."""
    if target < 0 or target == FINISHED or IS_ROSETTE[target]:
        return False
    other = (2 - state[TURN]) * PIECES
    captured = False
    for k in range(PIECES):
        captured = captured or state[other + k] == target
    return bool(captured)


@compiled
def apply_move(state: State, piece: int) -> None:
    """Move a piece by the roll, in place: capture, then pass the turn unless it lands on a rosette.

    The roll stays in the state. A piece that cannot move must not be asked to; this is not checked.
    """
    player = state[TURN] - 1
    target = find_square(state, piece)
    if target != FINISHED and not IS_ROSETTE[target]:
        other = (1 - player) * PIECES
        for k in range(PIECES):
            if state[other + k] == target:
                state[other + k] = START
    state[player * PIECES + piece] = target
    if not IS_ROSETTE[target]:
        state[TURN] = 2 - player


@compiled
def pass_turn(state: State) -> None:
    """Let the other player roll, in place."""
    state[TURN] = 3 - state[TURN]


@compiled
def count_finished(state: State, player: int) -> int:
    """Return how many pieces of a player (1 or 2) have left the board."""
    finished = 0
    for k in range((player - 1) * PIECES, player * PIECES):
        if state[k] == FINISHED:
            finished += 1
    return finished


@compiled
def find_winner(state: State) -> int:
    """Return the player whose seven pieces have left the board, or `NOBODY`."""
    if count_finished(state, 1) == PIECES:
        return 1
    if count_finished(state, 2) == PIECES:
        return 2
    return NOBODY
