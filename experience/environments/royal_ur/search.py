"""Expectiminimax as an object: `FaithfulSearch` as the original's, `ExactSearch` without its defects.

Both take a state with a roll and a depth of 0 to 4 plies (a ply is a roll and a move; 0 and 1 give the same scores, as
in the original), and return every move's score, positive for player 2.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from experience.environments.royal_ur import faithful_search, packed_search
from experience.environments.royal_ur.board import FINISHED, IS_ROSETTE, PIECES, TURN
from experience.environments.royal_ur.evaluation import DEFAULT, Parameters
from experience.environments.royal_ur.rules import (
    BLOCKED,
    State,
    find_moves,
    find_square,
    is_capture,
)

MAX_DEPTH = 4
Mode = Literal["faithful", "corrected"]
MODES: tuple[Mode, ...] = ("faithful", "corrected")
MoveKind = Literal["finish", "rosette", "capture", "move"]
_FIRST_SLOTS = 1 << 12


@dataclass(frozen=True, slots=True)
class MoveScore:
    """What a search says about one move."""

    piece: int
    score: float  # positive is good for player 2
    kind: MoveKind
    origin: int  # square, -1 the start
    target: int  # square, 20 the end


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a search found.

    Attributes:
        piece: the best one, None without a move.
        moves: best first for the player to move; equal ones in order of piece. Of the faithful search empty for a
            single move; of the exact one without second unstarted pieces.
        nodes: positions opened.
        cache_hits: values taken from the cache.
        cache_size: entries in it after the search.
    """

    piece: int | None
    moves: tuple[MoveScore, ...]
    nodes: int
    cache_hits: int
    cache_size: int


class FaithfulSearch:
    """The original's search with its cache, which lives as long as the object and changes later results.

    Args:
        parameters: of the evaluation.
    """

    def __init__(self, parameters: Parameters = DEFAULT) -> None:
        self._parameters = parameters.to_array()
        self._cache = faithful_search.make_cache(_FIRST_SLOTS)
        self._stored = 0

    def search(self, state: State, depth: int) -> SearchResult:
        """Return the original's move, scores and counts.

        Raises:
            ValueError: The depth is not 0 to 4.
        """
        check_depth(depth)
        self._cache = faithful_search.make_room(self._cache, self._stored, depth)
        counters = np.array([0, 0, self._stored], np.int64)
        pieces, scores = faithful_search.score_moves(
            state, depth, self._parameters, self._cache, counters
        )
        nodes, hits, self._stored = counters.tolist()
        moves = [
            describe_move(state, piece, score)
            for piece, score in zip(pieces.tolist(), scores.tolist(), strict=False)
        ]
        if depth == 0:  # the original does not look for captures there
            moves = [
                replace(move, kind="move") if move.kind == "capture" else move for move in moves
            ]
        best = int(pieces[0]) if len(pieces) else None
        return SearchResult(best, tuple(moves), nodes, hits, self._stored)


class ExactSearch:
    """The corrected search; its cache only saves time.

    Args:
        parameters: of the evaluation.
    """

    def __init__(self, parameters: Parameters = DEFAULT) -> None:
        self._tables = packed_search.make_tables(parameters)

    def search(self, state: State, depth: int) -> SearchResult:
        """Return the best move and the exact scores of all different moves.

        Raises:
            ValueError: The depth is not 0 to 4.
        """
        check_depth(depth)
        counters = np.zeros(2, np.int64)
        pieces, scores = packed_search.score_distinct_moves(state, depth, self._tables, counters)
        sign = 1.0 if state[TURN] == 2 else -1.0
        order = np.argsort(-scores, kind="stable")
        moves = tuple(describe_move(state, int(pieces[k]), sign * float(scores[k])) for k in order)
        used = int(np.count_nonzero(self._tables.keys >= 0))
        best = moves[0].piece if moves else None
        return SearchResult(best, moves, int(counters[0]), int(counters[1]), used)


def describe_move(state: State, piece: int, score: float) -> MoveScore:
    """Return a move of the player to move in words and squares.

    Raises:
        ValueError: The piece cannot move.
    """
    target = find_square(state, piece)
    if target == BLOCKED:
        msg = f"piece {piece} cannot move with this roll; those that can: {find_moves(state).tolist()}"
        raise ValueError(msg)
    origin = int(state[(int(state[TURN]) - 1) * PIECES + piece])
    return MoveScore(piece, score, _name_kind(state, target), origin, target)


def _name_kind(state: State, target: int) -> MoveKind:
    if target == FINISHED:
        return "finish"
    if IS_ROSETTE[target]:
        return "rosette"
    return "capture" if is_capture(state, target) else "move"


def check_depth(depth: int) -> None:
    """Refuse a depth that is not 0 to 4.

    Raises:
        ValueError: It is not.
    """
    if not 0 <= depth <= MAX_DEPTH:
        msg = f"a search has a depth of 0 to {MAX_DEPTH} plies; got {depth}"
        raise ValueError(msg)
