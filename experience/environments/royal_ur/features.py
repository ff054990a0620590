"""The 150 features of a position, as the original computes them: 78 numbers, and 72 zeros.

They are absolute (player 1 against player 2), not from the mover's side. The table of what stands where is in
docs/ur.md; the original's own comments disagree with its code, and the code is what is reproduced.

Source: rgilks/rgou-cloudflare at commit 517974e, worker/rust_ai_core/src/features.rs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from experience.environments.royal_ur.board import (
    FEATURE_LIMIT,
    FEATURES,
    FINISHED,
    IS_ROSETTE,
    LANE,
    PATH_STEPS,
    PIECES,
    ROLL,
    STEPS,
    TURN,
)
from experience.environments.royal_ur.compilation import compiled
from experience.environments.royal_ur.rules import State, count_moves

PAIR_DISTANCE, PRESSURE_DISTANCE = 3, 4
"""Squares are compared as numbers, as the original does."""
_BOARD, _CONTROL, _MOVER = 14, 35, 46


@compiled
def fill_features(state: State, out: NDArray[np.float32]) -> None:
    """Write the features of a state into `out`, (150,)."""
    out[:] = 0.0
    control = 0
    for k in range(2 * PIECES):
        square = state[k]
        out[k] = square / 20 if square >= 0 else -1.0
        if 0 <= square < FINISHED:
            owner = 1.0 if k < PIECES else -1.0
            out[_BOARD + square] = owner
            if IS_ROSETTE[square]:
                control += 1 if k < PIECES else -1
    out[_CONTROL] = control
    out[_MOVER] = 1.0 if state[TURN] == 1 else -1.0
    out[_MOVER + 1] = state[ROLL] / 4
    out[_MOVER + 2] = count_moves(state) / PIECES
    for player in range(2):
        _fill_of_player(state, player, out)
        _fill_distances(state, player, out)
    out[75] = (out[38] - out[39]) / PIECES
    for k in range(FEATURES):
        out[k] = min(max(out[k], -FEATURE_LIMIT), FEATURE_LIMIT)


@compiled
def _fill_of_player(state: State, player: int, out: NDArray[np.float32]) -> None:
    """Write what the pieces of one player (0 or 1) count; his place is `player` behind player 1's."""
    on_board = finished = rosettes = lane = on_path = steps = 0
    for k in range(player * PIECES, (player + 1) * PIECES):
        square = state[k]
        if square == FINISHED:
            finished += 1
        elif square >= 0:
            on_board += 1
            rosettes += IS_ROSETTE[square]
            lane += LANE[0] <= square <= LANE[1]
            step = STEPS[player, square]
            if step >= 0:
                on_path += 1
                steps += step
    reached = on_board + finished  # the original counts square 20 as one of the board
    out[36 + player], out[38 + player] = on_board, finished
    out[42 + player], out[44 + player] = rosettes, lane
    for place in (49, 51, 59):
        out[place + player] = reached - rosettes
    if on_path:
        out[40 + player] = steps / on_path
    if on_path + finished:
        out[53 + player] = (steps / PATH_STEPS + finished) / (on_path + finished)
    out[55 + player] = (PATH_STEPS * on_path - steps) / PIECES
    out[57 + player] = reached / PIECES
    out[61 + player], out[63 + player] = rosettes / PIECES, lane / PIECES
    out[69 + player] = (2 * rosettes + 0.5 * (reached - rosettes)) / PIECES
    out[71 + player] = finished / PIECES
    out[73 + player] = (finished + 0.5 * on_board) / PIECES
    out[76 + player] = steps / PATH_STEPS / PIECES


@compiled
def _fill_distances(state: State, player: int, out: NDArray[np.float32]) -> None:
    """Write how near one player's pieces are to each other and to the enemy's, squares 0 to 20."""
    own, other = player * PIECES, (1 - player) * PIECES
    count = near = 0
    pressure = 0.0
    for i in range(PIECES):
        square = int(state[own + i])
        if square < 0:
            continue
        count += 1
        for j in range(PIECES):
            mate, enemy = int(state[own + j]), int(state[other + j])
            if j > i and mate >= 0 and abs(square - mate) <= PAIR_DISTANCE:
                near += 1
            if enemy >= 0 and abs(square - enemy) <= PRESSURE_DISTANCE:
                pressure += 1 / (abs(square - enemy) + 1)
    if count > 1:
        out[65 + player] = near / (count * (count - 1) // 2)
    if count:
        out[67 + player] = pressure / count


def extract_features(state: State) -> NDArray[np.float32]:
    """Return the features of one state, (150,)."""
    out = np.empty(FEATURES, np.float32)
    fill_features(state, out)
    return out


@compiled
def extract_many(states: NDArray[np.int8]) -> NDArray[np.float32]:
    """Return the features of many states, (states, 16), as (states, 150)."""
    out = np.empty((len(states), FEATURES), np.float32)
    for k in range(len(states)):
        fill_features(states[k], out[k])
    return out
