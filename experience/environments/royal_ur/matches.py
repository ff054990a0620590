"""Matches between players, many games side by side, and how sure their results are.

The players change sides with every game. A match is played in batches of fixed size, each with its own generator, so
that its result does not depend on the number of processes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from experience.environments.royal_ur.board import PIECES, ROLL, TURN
from experience.environments.royal_ur.compilation import compiled
from experience.environments.royal_ur.players import BatchPlayer, Player
from experience.environments.royal_ur.rules import (
    BLOCKED,
    apply_move,
    count_moves,
    find_moves,
    find_square,
    find_winner,
    make_state,
    pass_turn,
    roll_dice,
)
from experience.environments.royal_ur.workers import run_tasks

GAMES_PER_BATCH = 250
"""A network is asked once a turn for so many games; part of what a seed means."""
MAX_TURNS = 10_000
"""Two players that never finish a piece would go on for ever; real games have some 200 turns."""
NORMAL_95 = 1.959963984540054


@dataclass(frozen=True, slots=True)
class MatchResult:
    """How many games of a match the first player won."""

    wins: int
    games: int

    @property
    def rate(self) -> float:
        """Share of games that the first player won."""
        return self.wins / self.games

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % Wilson interval of the rate."""
        return wilson_interval(self.wins, self.games)


@dataclass(frozen=True, slots=True)
class _Batch:
    first: Player
    second: Player
    first_game: int
    games: int
    seed: int


def wilson_interval(wins: int, games: int, *, normal: float = NORMAL_95) -> tuple[float, float]:
    """Return the Wilson score interval of a share.

        (p + z²/2n ± z sqrt(p(1 - p)/n + z²/4n²)) / (1 + z²/n)

    Args:
        wins: at most `games`.
        games: at least 1.
        normal: z, by default that of 95 %.

    Raises:
        ValueError: No games, or more wins than games.

    Source: Wilson 1927.
    """
    if not 0 <= wins <= games or games == 0:
        msg = f"needed wins of at least one game; got {wins} of {games}"
        raise ValueError(msg)
    rate, square = wins / games, normal * normal / games
    middle = rate + square / 2
    half = normal * math.sqrt(rate * (1 - rate) / games + square / (4 * games))
    low, high = (middle - half) / (1 + square), (middle + half) / (1 + square)
    # Exactly 0 and 1 at the ends, where the formula leaves a rounding error.
    return (0.0 if wins == 0 else low), (1.0 if wins == games else high)


def play_match(
    first: Player,
    second: Player,
    games: int,
    *,
    seed: int = 0,
    workers: int = 1,
    on_progress: Callable[[int], None] | None = None,
) -> MatchResult:
    """Return how many games the first player wins; it has player 1's side in every other game.

    Args:
        first: the player whose wins are counted.
        second: the other one.
        games: at least 1.
        seed: of dice and players.
        workers: processes, at most one for every 250 games; the result does not depend on it.
        on_progress: called with the games that are done, after every batch.

    Raises:
        ValueError: No game, or a player chose a piece that cannot move.
    """
    if games < 1 or workers < 1:
        msg = f"a match needs a game and a worker; got {games} games, {workers} workers"
        raise ValueError(msg)
    batches = [
        _Batch(first, second, start, min(GAMES_PER_BATCH, games - start), seed)
        for start in range(0, games, GAMES_PER_BATCH)
    ]
    wins = done = 0
    results = run_tasks(_play_batch, batches, workers=min(workers, len(batches)))
    for batch, won in zip(batches, results, strict=True):
        wins, done = wins + won, done + batch.games
        if on_progress is not None:
            on_progress(done)
    return MatchResult(wins, games)


def _play_batch(batch: _Batch) -> int:
    generator = np.random.default_rng([batch.seed, batch.first_game])
    numbers = batch.first_game + np.arange(batch.games)
    side_of_first = 1 + numbers % 2
    states = np.tile(make_state(), (batch.games, 1))
    wins = 0
    for _ in range(MAX_TURNS):
        if not len(states):
            return wins
        can_move = roll_all(states, roll_dice(generator, len(states)))
        is_first = states[:, TURN] == side_of_first
        pieces = np.full(len(states), -1, np.int64)
        for player, chosen in ((batch.first, is_first), (batch.second, ~is_first)):
            asked = can_move & chosen
            if asked.any():
                pieces[asked] = choose_pieces(player, states[asked], generator)
        winners = move_all(states, pieces)
        wins += int(np.count_nonzero((winners > 0) & (winners == side_of_first)))
        states, side_of_first = states[winners == 0], side_of_first[winners == 0]
    msg = f"{len(states)} games did not end within {MAX_TURNS} turns"
    raise ValueError(msg)


def choose_pieces(
    player: Player, states: NDArray[np.int8], generator: np.random.Generator
) -> NDArray[np.int64]:
    """Return the player's piece for every state, (states, 16); each has a move.

    Raises:
        ValueError: One of the pieces cannot move.
    """
    if isinstance(player, BatchPlayer):
        pieces = np.asarray(player.choose_many(states, generator), np.int64)
    else:
        chosen = [player.choose(state, find_moves(state), generator) for state in states]
        pieces = np.array(chosen, np.int64)
    wrong = find_wrong(states, pieces) if pieces.shape == (len(states),) else 0
    if wrong >= 0:
        moves = find_moves(states[wrong]).tolist()
        msg = f"{player!r} chose {pieces.reshape(-1)[wrong:][:1].tolist()}; the pieces that can move are {moves}"
        raise ValueError(msg)
    return pieces


@compiled
def roll_all(states: NDArray[np.int8], rolls: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Put the rolls into the states and return which have a move, (states,)."""
    can_move = np.empty(len(states), np.bool_)
    for k in range(len(states)):
        states[k, ROLL] = rolls[k]
        can_move[k] = count_moves(states[k]) > 0
    return can_move


@compiled
def move_all(states: NDArray[np.int8], pieces: NDArray[np.int64]) -> NDArray[np.int64]:
    """Move a piece in every state, pass the turn where it is -1, and return the winners, 0 for nobody."""
    winners = np.zeros(len(states), np.int64)
    for k in range(len(states)):
        if pieces[k] < 0:
            pass_turn(states[k])
        else:
            apply_move(states[k], pieces[k])
            winners[k] = find_winner(states[k])
    return winners


@compiled
def find_wrong(states: NDArray[np.int8], pieces: NDArray[np.int64]) -> int:
    """Return the first state whose piece cannot move, or -1."""
    for k in range(len(states)):
        if not 0 <= pieces[k] < PIECES or find_square(states[k], pieces[k]) == BLOCKED:
            return k
    return -1
