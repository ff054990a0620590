"""Who can play: chance, the greedy heuristic, expectiminimax, and whatever else has `choose`.

Players are plain data, so that they can be sent to other processes. Those that use a network are in
`network_players`; matches between players are in `matches`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from experience.environments.royal_ur import faithful_search, packed_search
from experience.environments.royal_ur.board import TURN
from experience.environments.royal_ur.compilation import compiled
from experience.environments.royal_ur.evaluation import DEFAULT, Parameters, evaluate
from experience.environments.royal_ur.rules import State, apply_move, find_moves
from experience.environments.royal_ur.search import MAX_DEPTH, Mode, check_depth

DEPTHS = tuple(str(depth) for depth in range(1, MAX_DEPTH + 1))
PLAYER_NAMES = ("random", "heuristic", *(f"expectiminimax-{depth}" for depth in DEPTHS))


class Player(Protocol):
    """Somebody who chooses a piece."""

    def choose(
        self, state: State, valid_moves: NDArray[np.int64], generator: np.random.Generator
    ) -> int:
        """Return one of the pieces that can move.

        Args:
            state: (16,), with its roll; not changed.
            valid_moves: at least one piece, in rising order.
            generator: for a player that uses chance.
        """
        ...


@runtime_checkable
class BatchPlayer(Player, Protocol):
    """A player that chooses for many games at once."""

    def choose_many(
        self, states: NDArray[np.int8], generator: np.random.Generator
    ) -> NDArray[np.int64]:
        """Return a piece that can move for every state, (states,); every state, (states, 16), has one."""
        ...


@dataclass(frozen=True, slots=True)
class RandomPlayer:
    """Chooses among the moves with equal odds; each unstarted piece is a move of its own, as in the original."""

    def choose(
        self, state: State, valid_moves: NDArray[np.int64], generator: np.random.Generator
    ) -> int:
        """Return one of the pieces."""
        return int(generator.choice(valid_moves))

    def choose_many(
        self, states: NDArray[np.int8], generator: np.random.Generator
    ) -> NDArray[np.int64]:
        """Return a piece for every state."""
        return choose_by_numbers(states, generator.random(len(states)))


@dataclass(frozen=True, slots=True)
class HeuristicPlayer:
    """Chooses the move with the best static value, the first of equal ones."""

    parameters: Parameters = DEFAULT

    def choose(
        self, state: State, valid_moves: NDArray[np.int64], generator: np.random.Generator
    ) -> int:
        """Return the best piece."""
        return int(self.choose_many(state[None], generator)[0])

    def choose_many(
        self, states: NDArray[np.int8], generator: np.random.Generator
    ) -> NDArray[np.int64]:
        """Return the best piece of every state."""
        return choose_all_greedily(states, self.parameters.to_array())


@dataclass(frozen=True, slots=True)
class ExpectiminimaxPlayer:
    """Chooses what a search finds; the faithful one starts with an empty cache at every move.

    Attributes:
        depth: 0 to 4 plies.
        mode: "corrected", or "faithful" for the original's search.
        parameters: of the evaluation.
    """

    depth: int
    mode: Mode = "corrected"
    parameters: Parameters = DEFAULT

    def __post_init__(self) -> None:
        check_depth(self.depth)

    def choose(
        self, state: State, valid_moves: NDArray[np.int64], generator: np.random.Generator
    ) -> int:
        """Return the best piece."""
        return int(self.choose_many(state[None], generator)[0])

    def choose_many(
        self, states: NDArray[np.int8], generator: np.random.Generator
    ) -> NDArray[np.int64]:
        """Return the best piece of every state."""
        if self.mode == "faithful":
            return choose_all_faithfully(states, self.depth, self.parameters.to_array())
        return choose_all_exactly(states, self.depth, _tables(self.parameters))


def make_player(name: str, *, mode: Mode = "corrected", parameters: Parameters = DEFAULT) -> Player:
    """Return a player by name: random, heuristic, expectiminimax-1 to -4 (also emm-1 to -4).

    Args:
        name: one of `PLAYER_NAMES`.
        mode: of the search.
        parameters: of the evaluation.

    Raises:
        ValueError: There is no such player.
    """
    if name == "random":
        return RandomPlayer()
    if name == "heuristic":
        return HeuristicPlayer(parameters)
    word, _, depth = name.rpartition("-")
    if word in ("expectiminimax", "emm") and depth in DEPTHS:
        return ExpectiminimaxPlayer(int(depth), mode, parameters)
    msg = f"there is no player {name!r}; there are {', '.join(PLAYER_NAMES)}"
    raise ValueError(msg)


@cache
def _tables(parameters: Parameters) -> packed_search.Tables:
    """Return one set of tables of a process; the cache in it only saves time."""
    return packed_search.make_tables(parameters)


@compiled
def choose_by_numbers(states: NDArray[np.int8], numbers: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return for every state the piece that a number in [0, 1) points at."""
    chosen = np.empty(len(states), np.int64)
    for k in range(len(states)):
        moves = find_moves(states[k])
        chosen[k] = moves[int(numbers[k] * len(moves))]
    return chosen


@compiled
def choose_all_greedily(
    states: NDArray[np.int8], parameters: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return for every state the piece with the best static value for the mover, the first of equals."""
    chosen = np.empty(len(states), np.int64)
    for k in range(len(states)):
        sign = 1 if states[k, TURN] == 2 else -1
        best = 0
        moves = find_moves(states[k])
        for place in range(len(moves)):
            child = states[k].copy()
            apply_move(child, moves[place])
            value = sign * evaluate(child, parameters)
            if place == 0 or value > best:
                best = value
                chosen[k] = moves[place]
    return chosen


@compiled
def choose_all_faithfully(
    states: NDArray[np.int8], depth: int, parameters: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return for every state the piece that the original's search chooses with an empty cache."""
    chosen = np.empty(len(states), np.int64)
    cache_of_one = faithful_search.make_room(faithful_search.make_cache(2), 0, depth)
    counters = np.zeros(3, np.int64)
    for k in range(len(states)):
        faithful_search.clear_cache(cache_of_one)
        pieces, _ = faithful_search.score_moves(
            states[k], depth, parameters, cache_of_one, counters
        )
        chosen[k] = pieces[0]
    return chosen


@compiled
def choose_all_exactly(
    states: NDArray[np.int8], depth: int, tables: packed_search.Tables
) -> NDArray[np.int64]:
    """Return for every state the best piece of the exact search, the first of equals."""
    chosen = np.empty(len(states), np.int64)
    counters = np.zeros(2, np.int64)
    for k in range(len(states)):
        pieces, scores = packed_search.score_distinct_moves(states[k], depth, tables, counters)
        chosen[k] = pieces[np.argmax(scores)]
    return chosen
