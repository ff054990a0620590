from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from experience.environments.royal_ur.evaluation import EVOLVED
from experience.environments.royal_ur.players import HeuristicPlayer
from experience.environments.royal_ur.rules import find_moves, make_state
from experience.environments.royal_ur.search import (
    ExactSearch,
    FaithfulSearch,
    describe_move,
)
from parity_tests.unit.experience.environments.royal_ur.recorded import (
    POSITIONS,
    plain_evaluation,
    plain_move,
    plain_moves,
    plain_value,
    random_states,
    squares_of,
    state_of,
)

pytestmark = pytest.mark.slow  # compiles both searches

SEARCHES = {"faithful": FaithfulSearch, "corrected": ExactSearch}


@pytest.mark.parametrize("depth", range(5))
@pytest.mark.parametrize("position", POSITIONS, ids=range(len(POSITIONS)))
def test_the_faithful_search_is_the_original(position: dict[str, Any], depth: int) -> None:
    recorded = position["search"][str(depth)]

    found = FaithfulSearch().search(state_of(position), depth)

    assert (-1 if found.piece is None else found.piece) == recorded["move"]
    assert (found.nodes, found.cache_hits, found.cache_size) == (
        recorded["nodes"], recorded["tt_hits"], recorded["tt_size"],
    )  # fmt: skip
    moves = [(m.piece, m.kind, m.origin, m.target) for m in found.moves]
    assert moves == [(e["piece"], e["type"], e["from"], e["to"]) for e in recorded["evals"]]
    scores = np.array([m.score for m in found.moves], np.float32)
    np.testing.assert_array_equal(scores, np.float32([e["score"] for e in recorded["evals"]]))


@pytest.mark.parametrize("position", POSITIONS, ids=range(len(POSITIONS)))
def test_the_heuristic_move_is_the_original_one(position: dict[str, Any]) -> None:
    state, generator = state_of(position), np.random.default_rng(0)
    moves = find_moves(state)

    found = HeuristicPlayer().choose(state, moves, generator) if len(moves) else -1

    assert found == position["heuristic_move"]


@pytest.mark.parametrize(("depth", "count"), [(1, 200), (2, 200), (3, 12)])
def test_the_exact_search_has_the_scores_of_the_plain_recursion(depth: int, count: int) -> None:
    search = ExactSearch()  # one for all: its cache must change nothing

    for state in random_states(count, seed=depth):
        squares, player = squares_of(state), int(state[14])
        plain = {
            piece: plain_value(*plain_move(squares, player, piece, target), depth - 1)
            for piece, target in plain_moves(squares, player, int(state[15]))
        }
        found = search.search(state, depth)

        # Evaluations are integers and odds sixteenths: both sums are exact.
        assert all(plain[move.piece] == move.score for move in found.moves)
        best = max if player == 2 else min
        expected = best(plain, key=lambda piece: plain[piece])
        assert found.piece == expected
        assert {plain[p] for p in plain} == {move.score for move in found.moves}


def test_the_exact_search_does_not_depend_on_what_it_searched_before() -> None:
    states = random_states(40, seed=7)
    used = ExactSearch()

    for state in states:
        assert used.search(state, 3).moves == ExactSearch().search(state, 3).moves


def test_only_the_faithful_cache_takes_other_seventh_pieces_for_the_same() -> None:
    # The same but for the seventh piece of player 1, which is about to finish in one of them.
    states = [
        make_state((-1, 5, 20, 20, 20, 20, last), (6, 18, -1, -1, -1, -1, 20), player=2, roll=1)
        for last in (13, -1)
    ]
    changed = {}
    for mode, make in SEARCHES.items():
        used = make()
        used.search(states[0], 3)
        changed[mode] = used.search(states[1], 3).moves != make().search(states[1], 3).moves

    assert changed == {"faithful": True, "corrected": False}


def test_equal_unstarted_pieces_are_searched_once() -> None:
    state = make_state(roll=2)

    faithful, exact = (make().search(state, 2) for make in SEARCHES.values())

    assert [move.piece for move in faithful.moves] == list(range(7))
    assert [move.piece for move in exact.moves] == [0]


def test_other_parameters_give_other_scores() -> None:
    state = state_of(POSITIONS[4])

    scores = [ExactSearch(p).search(state, 1).moves[0].score for p in (EVOLVED, EVOLVED)]

    assert scores[0] == scores[1] != ExactSearch().search(state, 1).moves[0].score


def test_a_won_move_is_worth_the_win() -> None:
    state = make_state((13, *(20,) * 6), (15, *(20,) * 6), player=2, roll=1)

    move = ExactSearch().search(state, 3).moves[0]

    assert (move.kind, move.score) == ("finish", 10_000)
    squares, _ = plain_move(squares_of(state), 2, 0, 20)
    assert plain_evaluation(squares) == 10_000


@pytest.mark.parametrize("depth", [-1, 5])
@pytest.mark.parametrize("mode", SEARCHES)
def test_another_depth_is_refused(mode: str, depth: int) -> None:
    with pytest.raises(ValueError, match="0 to 4 plies"):
        SEARCHES[mode]().search(make_state(roll=1), depth)


def test_a_piece_that_cannot_move_has_no_description() -> None:
    with pytest.raises(ValueError, match=r"those that can: \[\]"):
        describe_move(make_state(roll=0), 0, 0.0)
