from __future__ import annotations

import numpy as np
import pytest

from experience.environments.royal_ur.players import (
    PLAYER_NAMES,
    ExpectiminimaxPlayer,
    HeuristicPlayer,
    RandomPlayer,
    make_player,
)
from experience.environments.royal_ur.rules import find_moves, make_state
from experience.environments.royal_ur.search import ExactSearch, FaithfulSearch
from parity_tests.unit.experience.environments.royal_ur.recorded import (
    plain_evaluation,
    plain_move,
    plain_moves,
    random_states,
    squares_of,
)


def test_chance_takes_every_move_alike() -> None:
    state = make_state((5, 8, -1, 20, 20, 20, 20), roll=2)
    moves = find_moves(state)
    generator = np.random.default_rng(0)

    many = RandomPlayer().choose_many(np.tile(state, (9000, 1)), generator)
    single = [RandomPlayer().choose(state, moves, generator) for _ in range(300)]

    assert moves.tolist() == [0, 1, 2]
    np.testing.assert_allclose(np.bincount(many) / 9000, [1 / 3] * 3, atol=0.02)
    assert set(single) == {0, 1, 2}


def test_the_heuristic_takes_the_first_of_the_best() -> None:
    player, generator = HeuristicPlayer(), np.random.default_rng(0)

    for state in random_states(60, seed=5):
        squares, own = squares_of(state), int(state[14])
        values = {
            piece: (2 * own - 3) * plain_evaluation(plain_move(squares, own, piece, target)[0])
            for piece, target in plain_moves(squares, own, int(state[15]))
        }
        best = max(values, key=lambda piece: values[piece])
        assert player.choose(state, find_moves(state), generator) == best


@pytest.mark.slow
@pytest.mark.parametrize("depth", [1, 2])
def test_expectiminimax_plays_what_its_search_finds(depth: int) -> None:
    states = np.array(random_states(40, seed=6))
    generator = np.random.default_rng(0)

    faithful = ExpectiminimaxPlayer(depth, "faithful").choose_many(states, generator)
    exact = ExpectiminimaxPlayer(depth).choose_many(states, generator)

    assert faithful.tolist() == [FaithfulSearch().search(s, depth).piece for s in states]
    assert exact.tolist() == [ExactSearch().search(s, depth).piece for s in states]


def test_every_name_makes_a_player() -> None:
    assert make_player("emm-2") == make_player("expectiminimax-2") == ExpectiminimaxPlayer(2)
    assert [type(make_player(name)).__name__ for name in PLAYER_NAMES] == [
        "RandomPlayer", "HeuristicPlayer", *["ExpectiminimaxPlayer"] * 4,
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["expectiminimax-5", "emm", "expectiminimax-²", "Random"])
def test_another_name_is_answered_with_those_there_are(name: str) -> None:
    with pytest.raises(ValueError, match="random, heuristic, expectiminimax-1"):
        make_player(name)
