"""The original's expectiminimax, with its defects, so that its moves, scores and counts can be compared.

What is kept on purpose: bounds of the parent used inside chance nodes (not sound), a cache without the seventh pieces,
the roll and the kind of bound, whose content outlives the search, captures at the leaves with the roll of the last
move, float32 sums. `packed_search` is the search without these.

Source: rgilks/rgou-cloudflare at commit 517974e, worker/rust_ai_core/src/lib.rs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from experience.environments.royal_ur.board import PIECES, ROLL, ROLL_WEIGHTS, STATE_SIZE, TURN
from experience.environments.royal_ur.compilation import compiled
from experience.environments.royal_ur.evaluation import evaluate
from experience.environments.royal_ur.rules import (
    BLOCKED,
    State,
    apply_move,
    find_moves,
    find_square,
    find_winner,
    is_capture,
    pass_turn,
)

QUIESCENCE_DEPTH = 3
"""Handed over as `depth + QUIESCENCE_DEPTH` where depth is 0: Numba (0.68.1) makes a version of its own for a constant
argument, and a recursive function with two versions crashes the process that loads it from the cache."""
UNBOUNDED = float(np.finfo(np.float32).max)
NODES, HITS, STORED = range(3)
"""Places of the counters."""
_KEYED_PIECES = 6
_EMPTY = -1
_FOLD_BITS = 31
_FOLD = (1 << _FOLD_BITS) - 1
_MULTIPLIER_LOW, _MULTIPLIER_HIGH = 1_103_515_245, 12_345_677
"""Odd, and small enough that no product leaves int64: the same in Numba and in Python."""


class Cache(NamedTuple):
    """An open hash table in flat arrays, each (slots,), a power of two; at most half of it is used."""

    keys: NDArray[np.int64]  # -1: empty
    scores: NDArray[np.float32]
    depths: NDArray[np.int8]


@compiled
def make_cache(slots: int) -> Cache:
    """Return an empty cache; `slots` is a power of two."""
    keys = np.full(slots, _EMPTY, np.int64)
    return Cache(keys, np.zeros(slots, np.float32), np.zeros(slots, np.int8))


@compiled
def clear_cache(cache: Cache) -> None:
    """Forget every entry."""
    cache.keys[:] = _EMPTY


@compiled
def count_most_entries(depth: int) -> int:
    """Return how many entries one search can add: 7 moves at the root, then 1 + 4 * 7 results of each ply."""
    entries, level = 1, PIECES
    for _ in range(depth - 1):
        entries += level
        level *= 1 + 4 * PIECES
    return entries


@compiled
def find_slot(cache: Cache, key: int) -> int:
    """Return where the key is, or the empty slot where it belongs."""
    mask = len(cache.keys) - 1
    mixed = (key & _FOLD) * _MULTIPLIER_LOW + (key >> _FOLD_BITS) * _MULTIPLIER_HIGH
    slot = (mixed ^ (mixed >> 32)) & mask
    while cache.keys[slot] not in (_EMPTY, key):
        slot = (slot + 1) & mask
    return int(slot)


@compiled
def make_key(state: State) -> int:
    """Return the original's incomplete key: the first six squares of each player, and the turn."""
    key = int(state[TURN])
    for player in range(2):
        for k in range(_KEYED_PIECES):
            key = (key << 5) | (int(state[player * PIECES + k]) + 1)
    return key


@compiled
def store(cache: Cache, key: int, score: float, depth: int, counters: NDArray[np.int64]) -> None:
    """Put a score into the cache in place of an older one of the same key."""
    slot = find_slot(cache, key)
    if cache.keys[slot] == _EMPTY:
        cache.keys[slot] = key
        counters[STORED] += 1
    cache.scores[slot], cache.depths[slot] = score, depth


@compiled
def make_room(cache: Cache, stored: int, depth: int) -> Cache:
    """Return the cache, or a larger one with the same entries, in which a search fills at most half of the slots."""
    slots = len(cache.keys)
    while 2 * (stored + count_most_entries(depth)) > slots:
        slots *= 2
    if slots == len(cache.keys):
        return cache
    larger = make_cache(slots)
    for k in range(len(cache.keys)):
        if cache.keys[k] != _EMPTY:
            slot = find_slot(larger, cache.keys[k])
            larger.keys[slot] = cache.keys[k]
            larger.scores[slot], larger.depths[slot] = cache.scores[k], cache.depths[k]
    return larger


@compiled
def quiesce(
    state: State, parameters: NDArray[np.int64], depth: int, alpha: float, beta: float
) -> float:
    """Return the value after the captures that pay, played with the roll the state happens to have."""
    best = float(evaluate(state, parameters))
    if depth == 0:
        return best
    maximizing = state[TURN] == 2
    if maximizing:
        alpha = max(alpha, best)
    else:
        beta = min(beta, best)
    for piece in range(PIECES):
        target = find_square(state, piece)
        if target == BLOCKED or not is_capture(state, target):
            continue
        child = state.copy()
        apply_move(child, piece)
        value = quiesce(child, parameters, depth - 1, alpha, beta)
        if maximizing:
            best = max(best, value)
            alpha = max(alpha, best)
        else:
            best = min(best, value)
            beta = min(beta, best)
        if beta <= alpha:
            break
    return best


@compiled
def order_children(state: State, parameters: NDArray[np.int64]) -> NDArray[np.int8]:
    """Return the states after each move, (moves, 16), best static value for the mover first, ties by piece."""
    moves = find_moves(state)
    sign = 1 if state[TURN] == 2 else -1
    children = np.empty((len(moves), STATE_SIZE), np.int8)
    worth = np.empty(len(moves), np.int64)
    for k in range(len(moves)):
        child = state.copy()
        apply_move(child, moves[k])
        value = sign * evaluate(child, parameters)
        place = k
        while place > 0 and worth[place - 1] < value:
            worth[place] = worth[place - 1]
            children[place] = children[place - 1]
            place -= 1
        worth[place] = value
        children[place] = child
    return children


@compiled
def expect(
    state: State,
    depth: int,
    alpha: float,
    beta: float,
    parameters: NDArray[np.int64],
    cache: Cache,
    counters: NDArray[np.int64],
) -> float:
    """Return the original's value of a position before its roll, in float32 precision.

    Args:
        state: (16,); its roll is what the last move was made with.
        depth: plies, each a roll and a move.
        alpha: the parent's bound, used across rolls as the original does.
        beta: the other one.
        parameters: (8,).
        cache: read and written.
        counters: (3,): positions opened, cache hits, entries.
    """
    key = make_key(state)
    slot = find_slot(cache, key)
    if cache.keys[slot] == key and cache.depths[slot] >= depth:
        counters[HITS] += 1
        return float(cache.scores[slot])
    if depth == 0:
        return quiesce(state, parameters, depth + QUIESCENCE_DEPTH, alpha, beta)
    if find_winner(state):
        score = float(evaluate(state, parameters))
        store(cache, key, score, depth, counters)
        return score
    counters[NODES] += 1
    total = np.float32(0.0)
    for roll in range(len(ROLL_WEIGHTS)):
        child = state.copy()
        child[ROLL] = roll
        children = order_children(child, parameters)
        if len(children) == 0:
            pass_turn(child)
            best = expect(child, depth - 1, alpha, beta, parameters, cache, counters)
        else:
            maximizing = state[TURN] == 2
            low, high = alpha, beta
            best = -UNBOUNDED if maximizing else UNBOUNDED
            for k in range(len(children)):
                value = expect(children[k], depth - 1, low, high, parameters, cache, counters)
                if maximizing:
                    best = max(best, value)
                    low = max(low, best)
                else:
                    best = min(best, value)
                    high = min(high, best)
                if high <= low:
                    break
        total = np.float32(total + np.float32(best) * np.float32(ROLL_WEIGHTS[roll] / 16))
    store(cache, key, float(total), depth, counters)
    return float(total)


@compiled
def score_moves(
    state: State,
    depth: int,
    parameters: NDArray[np.int64],
    cache: Cache,
    counters: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the pieces that can move and their scores, best first; one move alone is not scored.

    Returns:
        (moves,) and (moves,); (1,) and (0,) for a single move, as in the original.
    """
    moves = find_moves(state)
    if len(moves) < 2:
        return moves, np.empty(0, np.float64)
    sign = 1.0 if state[TURN] == 2 else -1.0
    pieces, scores = np.empty(len(moves), np.int64), np.empty(len(moves), np.float64)
    for k in range(len(moves)):
        child = state.copy()
        apply_move(child, moves[k])
        if depth == 0:
            value = quiesce(child, parameters, depth + QUIESCENCE_DEPTH, -UNBOUNDED, UNBOUNDED)
        else:
            value = expect(child, depth - 1, -UNBOUNDED, UNBOUNDED, parameters, cache, counters)
        place = k
        while place > 0 and sign * scores[place - 1] < sign * value:
            pieces[place], scores[place] = pieces[place - 1], scores[place - 1]
            place -= 1
        pieces[place], scores[place] = moves[k], value
    return pieces, scores
