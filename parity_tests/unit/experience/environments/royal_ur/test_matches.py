from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from experience.environments.royal_ur.matches import (
    play_match,
    wilson_interval,
)
from experience.environments.royal_ur.network_players import network_player
from experience.environments.royal_ur.players import HeuristicPlayer, RandomPlayer, make_player
from experience.environments.royal_ur.rules import State


@dataclass
class Witness:
    """Plays its first move and notes for which side it was asked."""

    sides: list[int]

    def choose(
        self, state: State, valid_moves: NDArray[np.int64], generator: np.random.Generator
    ) -> int:
        self.sides.append(int(state[14]))
        assert len(valid_moves)
        return int(valid_moves[0])


@pytest.mark.parametrize(
    ("wins", "games", "low", "high"),
    [
        (8, 10, 0.4902, 0.9433),
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (50, 100, 0.4038, 0.5962),
    ],
)
def test_the_interval_is_that_of_the_tables(wins: int, games: int, low: float, high: float) -> None:
    assert wilson_interval(wins, games) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(("wins", "games"), [(0, 0), (3, 2), (-1, 2)])
def test_an_impossible_share_has_no_interval(wins: int, games: int) -> None:
    with pytest.raises(ValueError, match="needed wins of at least one game"):
        wilson_interval(wins, games)


def test_players_change_sides_with_every_game() -> None:
    witness = Witness([])

    play_match(witness, RandomPlayer(), 1, seed=0)
    alone = set(witness.sides)
    play_match(witness, RandomPlayer(), 2, seed=0)

    assert alone == {1}
    assert set(witness.sides) == {1, 2}


@pytest.mark.slow
def test_nobody_is_favoured_between_equal_players() -> None:
    result = play_match(HeuristicPlayer(), HeuristicPlayer(), 1000, seed=1)

    assert result.interval[0] < 0.5 < result.interval[1]


def test_the_wins_of_both_players_add_up() -> None:
    first = play_match(HeuristicPlayer(), RandomPlayer(), 200, seed=3)

    assert first.games == 200
    assert 0.8 < first.rate < 0.97


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "opponent", "games", "reference", "reference_games"),
    [
        ("heuristic", "random", 1000, 0.895, 2000),
        ("expectiminimax-1", "random", 1000, 0.940, 2000),
        ("expectiminimax-1", "heuristic", 1000, 0.647, 2000),
        ("expectiminimax-2", "heuristic", 200, 0.805, 2000),
    ],
)
def test_strength_is_that_of_the_original_engine(
    name: str, opponent: str, games: int, reference: float, reference_games: int
) -> None:
    players = [make_player(player, mode="faithful") for player in (name, opponent)]

    result = play_match(*players, games, seed=11)

    # Both are samples; three standard errors of their difference.
    spread = 3 * (reference * (1 - reference) * (1 / games + 1 / reference_games)) ** 0.5
    assert abs(result.rate - reference) < spread


@pytest.mark.slow
@pytest.mark.parametrize(
    ("opponent", "reference"),
    [("random", 0.960), ("heuristic", 0.756), ("expectiminimax-1", 0.675)],
)
def test_the_bonuses_alone_play_as_recorded(opponent: str, reference: float) -> None:
    player = make_player(opponent, mode="faithful")

    result = play_match(network_player(None, bonuses="only"), player, 1000, seed=5)

    spread = 3 * (reference * (1 - reference) * (1 / 1000 + 1 / 4000)) ** 0.5
    assert abs(result.rate - reference) < spread


@pytest.mark.slow
def test_the_result_does_not_depend_on_the_number_of_processes() -> None:
    results = [
        play_match(HeuristicPlayer(), RandomPlayer(), 600, seed=4, workers=workers)
        for workers in (1, 2)
    ]

    assert results[0] == results[1]


def test_progress_is_told_after_every_batch() -> None:
    seen: list[int] = []

    play_match(RandomPlayer(), RandomPlayer(), 300, on_progress=seen.append)

    assert seen == [250, 300]


def test_a_piece_that_cannot_move_is_refused_with_the_player() -> None:
    class Stubborn:
        def choose(self, state: State, valid_moves: object, generator: object) -> int:
            return 9

    with pytest.raises(ValueError, match=r"Stubborn.*chose \[9\]; the pieces that can move are"):
        play_match(Stubborn(), RandomPlayer(), 1)


@pytest.mark.parametrize(("games", "workers"), [(0, 1), (1, 0)])
def test_an_empty_match_is_refused(games: int, workers: int) -> None:
    with pytest.raises(ValueError, match="a match needs a game and a worker"):
        play_match(RandomPlayer(), RandomPlayer(), games, workers=workers)
