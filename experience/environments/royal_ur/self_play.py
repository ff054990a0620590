"""One game of an expert against itself, as samples: the loop that has to be fast.

`play_exactly` is the corrected game: the turn passes when there is no move, a single move has its score as well, and
one search gives move and target. `play_faithfully` keeps the original's way (docs/ur.md): whoever has no move rolls
again, single moves have the target 0, a search with the game's cache chooses and one with an empty cache is the
target.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from experience.environments.royal_ur.board import ROLL, TURN
from experience.environments.royal_ur.compilation import compiled
from experience.environments.royal_ur.faithful_search import (
    STORED,
    clear_cache,
    make_cache,
    make_room,
    score_moves,
)
from experience.environments.royal_ur.features import fill_features
from experience.environments.royal_ur.packed_search import Tables, score_distinct_moves
from experience.environments.royal_ur.rules import (
    State,
    apply_move,
    count_moves,
    find_winner,
    pass_turn,
)

TARGET_SCALE = 10_000.0
_FIRST_SLOTS = 1 << 12


@compiled
def play_exactly(
    state: State,
    rolls: NDArray[np.int8],
    depth: int,
    tables: Tables,
    features: NDArray[np.float32],
    values: NDArray[np.float32],
    pieces: NDArray[np.int64],
) -> int:
    """Play until somebody wins or the rolls are used up, and return the number of samples.

    Args:
        state: (16,); becomes the last state.
        rolls: (turns,), 0 to 4.
        depth: of the search.
        tables: of `make_tables`.
        features: (turns, 150), filled from the front, like the next two.
        values: (turns,), best score / 10000 in [-1, 1], positive is good for player 2.
        pieces: (turns,), the expert's.
    """
    counters = np.zeros(2, np.int64)
    samples = 0
    for turn in range(len(rolls)):
        state[ROLL] = rolls[turn]
        moves, scores = score_distinct_moves(state, depth, tables, counters)
        if len(moves) == 0:
            pass_turn(state)
            continue
        best = np.argmax(scores)
        sign = 1.0 if state[TURN] == 2 else -1.0
        fill_features(state, features[samples])
        values[samples] = min(max(sign * scores[best] / TARGET_SCALE, -1.0), 1.0)
        pieces[samples] = moves[best]
        samples += 1
        apply_move(state, moves[best])
        if find_winner(state):
            break
    return samples


@compiled
def play_faithfully(
    state: State,
    rolls: NDArray[np.int8],
    depth: int,
    parameters: NDArray[np.int64],
    features: NDArray[np.float32],
    values: NDArray[np.float32],
    pieces: NDArray[np.int64],
) -> int:
    """Play as the original does, and return the number of samples; arguments as in `play_exactly`."""
    counters, unused = np.zeros(3, np.int64), np.zeros(3, np.int64)
    game_cache = make_cache(_FIRST_SLOTS)
    fresh_cache = make_room(make_cache(2), 0, depth)
    samples = 0
    for turn in range(len(rolls)):
        state[ROLL] = rolls[turn]
        if count_moves(state) == 0:
            continue
        game_cache = make_room(game_cache, counters[STORED], depth)
        moves, _ = score_moves(state, depth, parameters, game_cache, counters)
        clear_cache(fresh_cache)
        _, scores = score_moves(state, depth, parameters, fresh_cache, unused)
        fill_features(state, features[samples])
        values[samples] = 0.0
        if len(scores):
            values[samples] = min(max(scores[0] / TARGET_SCALE, -1.0), 1.0)
        pieces[samples] = moves[0]
        samples += 1
        apply_move(state, moves[0])
        if find_winner(state):
            break
    return samples
