"""Exact expectiminimax on positions packed into two integers: the corrected search.

A side is one integer: which steps of its path are occupied (bits 1 to 14), how many pieces have finished and how many
have not started. Pieces are exchangeable, so a position has one packed form, equal unstarted pieces are searched once,
and both sides look alike: values are for the side that rolls next, and change sign with the turn.

Nothing is cut off: every value is that of the plain recursion in parity_tests. Probabilities are sixteenths and
evaluations integers, so that every sum is exact in float64 and ties are real ties.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from experience.environments.royal_ur.board import (
    FINISHED,
    PATH_STEPS,
    PIECES,
    ROLL,
    ROLL_WEIGHTS,
    START,
    STEPS,
    TURN,
)
from experience.environments.royal_ur.compilation import compiled
from experience.environments.royal_ur.evaluation import (
    ADVANCEMENT,
    CAPTURE,
    CENTER_LANE,
    FINISHED_PIECE,
    LATE_STEP,
    POSITION,
    ROSETTE_CONTROL,
    SAFETY,
    WIN,
    Parameters,
)
from experience.environments.royal_ur.rules import BLOCKED, State, find_square

OCCUPIED = 0x7FFE
"""Bit step + 1; bit 0 stands for the start and bit 15 for the end while a piece moves."""
HOME = 1 << (PATH_STEPS + 1)
ROSETTE_BITS = 1 << 4 | 1 << 8 | 1 << 14
SAFE_BIT = 1 << 8
"""The rosette of the lane, where an enemy cannot be captured."""
LANE_BITS = 0x1FE0
ONE_FINISHED, ONE_UNSTARTED = 1 << 16, 1 << 20
_FINISHED_SHIFT, _UNSTARTED_SHIFT, _COUNT = 16, 20, 7
_SIDE_BITS, _POSITION_BITS = 23, 46
_FOLD_BITS = 25
_FOLD = (1 << _FOLD_BITS) - 1
_MULTIPLIER_LOW, _MULTIPLIER_HIGH = 1_103_515_245, 12_345_677
"""Odd, and small enough that no product leaves int64: the same in Numba and in Python."""
_EMPTY = -1
CACHED_DEPTH = 2
"""From here on a value is worth a look into the cache; below it costs more than it saves."""
NODES, HITS = range(2)
"""Places of the counters."""


class Tables(NamedTuple):
    """What a search reads: the evaluation by occupied steps, and its cache, which no search makes wrong.

    Attributes:
        worth: (16384,), of the occupied steps of a side: all but the position and finished pieces.
        progress: (16384,), sum of step + 1.
        parameters: (8,), `Parameters.to_array`.
        keys: (slots,), both sides and the depth; -1 where empty. A newer entry replaces an older one.
        values: (slots,), for the side that rolls next.
    """

    worth: NDArray[np.int32]
    progress: NDArray[np.int32]
    parameters: NDArray[np.int64]
    keys: NDArray[np.int64]
    values: NDArray[np.float64]


def make_tables(parameters: Parameters, *, slots: int = 1 << 14) -> Tables:
    """Return tables with an empty cache; `slots` is a power of two."""
    weights = parameters.to_array()
    occupied = np.arange(1 << PATH_STEPS)
    worth, progress = np.zeros_like(occupied), np.zeros_like(occupied)
    for step in range(PATH_STEPS):
        value = weights[CAPTURE]
        if ROSETTE_BITS >> (step + 1) & 1:
            value += weights[SAFETY] + weights[ROSETTE_CONTROL]
        if LANE_BITS >> (step + 1) & 1:
            value += weights[ADVANCEMENT] + weights[CENTER_LANE]
        elif step >= LATE_STEP:
            value += 2 * weights[ADVANCEMENT]
        there = occupied >> step & 1
        worth += there * value
        progress += there * (step + 1)
    return Tables(
        worth.astype(np.int32),
        progress.astype(np.int32),
        weights,
        np.full(slots, _EMPTY, np.int64),
        np.zeros(slots, np.float64),
    )


@compiled
def pack_side(state: State, player: int) -> int:
    """Return the packed pieces of a player (0 or 1)."""
    packed = 0
    for k in range(player * PIECES, (player + 1) * PIECES):
        square = int(state[k])
        if square == START:
            packed += ONE_UNSTARTED
        elif square == FINISHED:
            packed += ONE_FINISHED
        else:
            packed |= 2 << int(STEPS[player, square])
    return packed


@compiled
def find_targets(mine: int, theirs: int, roll: int) -> int:
    """Return the bits where the side to move can go with a roll of 1 to 4; each has one source."""
    sources = mine & OCCUPIED
    if mine >> _UNSTARTED_SHIFT:
        sources |= 1
    targets = (sources << roll) & (OCCUPIED | HOME) & ~(mine & OCCUPIED)
    if theirs & SAFE_BIT:
        targets &= ~SAFE_BIT
    return targets


@compiled
def move_mine(mine: int, source: int, target: int) -> int:
    """Return the mover's side after a move between two bits."""
    mine = mine - ONE_UNSTARTED if source == 1 else mine ^ source
    return mine + ONE_FINISHED if target == HOME else mine | target


@compiled
def move_theirs(theirs: int, target: int) -> int:
    """Return the other side after a move onto that bit."""
    if target & theirs & LANE_BITS:
        return (theirs ^ target) + ONE_UNSTARTED
    return theirs


@compiled
def has_won(side: int) -> bool:
    """Return whether all seven pieces of the side have finished."""
    return (side >> _FINISHED_SHIFT) & _COUNT == PIECES


@compiled
def evaluate_packed(mine: int, theirs: int, tables: Tables) -> float:
    """Return the original's evaluation for the side `mine`; nobody has won."""
    parameters = tables.parameters
    own, other = (mine & OCCUPIED) >> 1, (theirs & OCCUPIED) >> 1
    finished = ((mine >> _FINISHED_SHIFT) & _COUNT) - ((theirs >> _FINISHED_SHIFT) & _COUNT)
    weighted = (tables.progress[own] - tables.progress[other]) * parameters[POSITION]
    tenth = abs(weighted) // 10
    total = finished * parameters[FINISHED_PIECE] + tables.worth[own] - tables.worth[other]
    return float(total + tenth if weighted >= 0 else total - tenth)


@compiled
def evaluate_leaf(mine: int, theirs: int, tables: Tables) -> float:
    """Return the evaluation with the best capture of every roll, for the side that rolls next.

    In place of the original's captures with the roll of the last move, which nobody will play: the expectation, over
    the coming roll, of the better of standing still and the best capture.
    """
    quiet = evaluate_packed(mine, theirs, tables)
    total = quiet * ROLL_WEIGHTS[0]
    for roll in range(1, len(ROLL_WEIGHTS)):
        best = quiet
        targets = find_targets(mine, theirs, roll) & theirs & LANE_BITS
        while targets:
            target = targets & -targets
            targets ^= target
            moved = move_mine(mine, target >> roll, target)
            best = max(best, evaluate_packed(moved, move_theirs(theirs, target), tables))
        total += best * ROLL_WEIGHTS[roll]
    return total / 16


@compiled
def find_packed_slot(key: int, slots: int) -> int:
    """Return the one place of a key in the cache."""
    mixed = (key & _FOLD) * _MULTIPLIER_LOW + (key >> _FOLD_BITS) * _MULTIPLIER_HIGH
    return (mixed ^ (mixed >> 29)) & (slots - 1)


@compiled
def expect_packed(  # noqa: C901  one function: a cached one that recurs through another crashes Numba 0.68.1
    mine: int, theirs: int, depth: int, tables: Tables, counters: NDArray[np.int64]
) -> float:
    """Return the exact value of a position for the side `mine`, which rolls next; nobody has won.

    Args:
        mine: packed side.
        theirs: the other side.
        depth: plies, each a roll and the best move; a roll without a move passes the turn.
        tables: of `make_tables`; the cache is read and written.
        counters: (2,): positions opened, cache hits.
    """
    if depth == 0:
        return evaluate_leaf(mine, theirs, tables)
    key = slot = 0
    if depth >= CACHED_DEPTH:
        key = mine | theirs << _SIDE_BITS | depth << _POSITION_BITS
        slot = find_packed_slot(key, len(tables.keys))
        if tables.keys[slot] == key:
            counters[HITS] += 1
            return float(tables.values[slot])
    counters[NODES] += 1
    total = 0.0
    passed = np.nan  # searched once, whatever number of rolls has no move
    for roll in range(len(ROLL_WEIGHTS)):
        targets = find_targets(mine, theirs, roll) if roll else 0
        if targets:
            best = -np.inf
        else:
            if np.isnan(passed):
                passed = -expect_packed(theirs, mine, depth - 1, tables, counters)
            best = passed
        while targets:
            target = targets & -targets
            targets ^= target
            moved = move_mine(mine, target >> roll, target)
            left = move_theirs(theirs, target)
            if has_won(moved):
                value = float(tables.parameters[WIN])
            elif target & ROSETTE_BITS:
                value = expect_packed(moved, left, depth - 1, tables, counters)
            else:
                value = -expect_packed(left, moved, depth - 1, tables, counters)
            best = max(best, value)
        total += best * ROLL_WEIGHTS[roll]
    total /= 16
    if depth >= CACHED_DEPTH:
        tables.keys[slot], tables.values[slot] = key, total
    return total


@compiled
def score_distinct_moves(
    state: State, depth: int, tables: Tables, counters: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the pieces that can move, each place once, and their exact scores for the mover, in order of piece.

    Args:
        state: (16,), with its roll.
        depth: of the search, the move itself being the first ply; 0 is searched as 1, as in the original.
        tables: of `make_tables`.
        counters: (2,).
    """
    player = int(state[TURN]) - 1
    mine, theirs = pack_side(state, player), pack_side(state, 1 - player)
    roll, rest = int(state[ROLL]), max(depth - 1, 0)
    pieces, scores = np.empty(PIECES, np.int64), np.empty(PIECES, np.float64)
    moves, started = 0, False
    for piece in range(PIECES):
        square = int(state[player * PIECES + piece])
        if find_square(state, piece) == BLOCKED or (square == START and started):
            continue
        started = started or square == START
        source = 1 if square == START else 2 << int(STEPS[player, square])
        target = source << roll
        moved, left = move_mine(mine, source, target), move_theirs(theirs, target)
        if has_won(moved):
            value = float(tables.parameters[WIN])
        elif target & ROSETTE_BITS:
            value = expect_packed(moved, left, rest, tables, counters)
        else:
            value = -expect_packed(left, moved, rest, tables, counters)
        pieces[moves], scores[moves] = piece, value
        moves += 1
    return pieces[:moves], scores[:moves]
