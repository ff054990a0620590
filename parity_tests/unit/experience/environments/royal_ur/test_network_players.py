from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from experience.environments.royal_ur.features import extract_features
from experience.environments.royal_ur.network_players import Bonuses, network_player
from experience.environments.royal_ur.rules import (
    State,
    apply_move,
    count_moves,
    find_moves,
    find_winner,
    make_state,
    pass_turn,
)
from parity_tests.unit.experience.environments.royal_ur.recorded import random_states

GENERATOR = np.random.default_rng(0)
WEIGHTS = np.random.default_rng(1).standard_normal((150, 8))


def score(features: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Stand in for a network: smooth, and different for every position."""
    made = np.tanh(features.astype(np.float64) @ WEIGHTS)
    return made[:, 0], np.exp(made[:, 1:]) / np.exp(made[:, 1:]).sum(axis=1, keepdims=True)


def value_of(state: State) -> float:
    return float(score(extract_features(state)[None])[0][0])


def average_value(state: State) -> float:
    """Return the mean of the value over the next roll, rolls without a move left out."""
    if find_winner(state):
        return 1.0 if find_winner(state) == 2 else -1.0
    for passed in (False, True):
        after = state.copy()
        if passed:
            pass_turn(after)
        values, weights = [], []
        for roll, weight in ((1, 4), (2, 6), (3, 4), (4, 1)):
            after[15] = roll
            if count_moves(after):
                values.append(value_of(after))
                weights.append(weight)
        if values:
            return float(np.average(values, weights=weights))
    return 0.0


def child_of(state: State, piece: int) -> State:
    child = state.copy()
    apply_move(child, piece)
    return child


@pytest.mark.slow
def test_faithful_scores_are_the_original_formula() -> None:
    states = np.array(random_states(60, seed=1))

    chosen = network_player(score, scoring="faithful").choose_many(states, GENERATOR)

    for state, piece in zip(states, chosen, strict=True):
        policy = score(extract_features(state)[None])[1][0]
        scores = {
            move: 0.7 * value_of(child_of(state, move)) + 0.3 * policy[move]
            for move in find_moves(state).tolist()
        }
        assert piece == max(scores, key=lambda move: scores[move])


def test_corrected_scores_take_the_side_the_next_roll_and_equal_pieces() -> None:
    states = np.array(random_states(60, seed=2))

    player = network_player(score, value_weight=0.7, policy_weight=0.3)
    chosen = player.choose_many(states, GENERATOR)

    for state, piece in zip(states, chosen, strict=True):
        policy = score(extract_features(state)[None])[1][0]
        sign = 1 if state[14] == 2 else -1
        own = state[:7] if state[14] == 1 else state[7:14]
        scores: dict[int, float] = {}
        for move in find_moves(state).tolist():
            equal = [k for k in range(7) if k == move or own[k] == own[move] == -1]
            if equal[0] == move:
                value = sign * average_value(child_of(state, move))
                scores[move] = 0.7 * value + 0.3 * policy[equal].sum()
        assert piece == max(scores, key=lambda move: scores[move])


@pytest.mark.parametrize("player", [1, 2])
def test_a_winning_move_is_taken_for_either_side(player: int) -> None:
    rows = [(13, 5, 20, 20, 20, 20, 20), (20, 8, 20, 20, 20, 20, 20)]
    rows[0] = (13, *(20,) * 6) if player == 1 else rows[0]
    rows[1] = (15, *(20,) * 6) if player == 2 else rows[1]
    state = make_state(*rows, player=player, roll=1)
    flat = network_player(lambda f: (np.zeros(len(f)), np.full((len(f), 7), 1 / 7)))

    assert flat.choose(state, find_moves(state), GENERATOR) == 0


@pytest.mark.parametrize(
    ("bonuses", "piece"), [("only", 2), ("none", 0), ("both", 2)], ids=["only", "none", "both"]
)
def test_bonuses_are_added_where_they_are_wanted(bonuses: Bonuses, piece: int) -> None:
    # Piece 0 goes to 8, piece 1 captures on 10, piece 2 lands on the rosette 13.
    state = make_state((7, 9, 12, -1, 20, 20, 20), (10, -1, -1, -1, -1, -1, -1), roll=1)
    policy = np.zeros(7)
    policy[0] = 1.0
    player = network_player(
        lambda f: (np.zeros(len(f)), np.tile(policy, (len(f), 1))), bonuses=bonuses
    )

    assert player.choose(state, find_moves(state), GENERATOR) == piece


def test_finishing_is_worth_more_than_a_rosette_and_that_more_than_a_capture() -> None:
    player = network_player(None, bonuses="only")
    finish = make_state((8, 6, 13, -1, -1, -1, -1), (9, -1, -1, -1, -1, -1, -1), roll=1)
    rosette = make_state((8, 6, 12, -1, -1, -1, -1), (9, -1, -1, -1, -1, -1, -1), roll=1)
    capture = make_state((-1, 8, 12, 20, 20, 20, 20), (10, -1, -1, -1, -1, -1, -1), roll=2)

    chosen = [player.choose(s, find_moves(s), GENERATOR) for s in (finish, rosette)]

    assert chosen == [2, 1]  # 6 to 7 comes before 12 to 13
    capture[2] = 20
    assert player.choose(capture, find_moves(capture), GENERATOR) == 1


@pytest.mark.parametrize(
    ("network", "options", "part"),
    [
        (None, {}, "needs a network"),
        (score, {"bonuses": "some"}, "bonuses are one of"),
        (score, {"scoring": "better"}, "scoring faithful or corrected"),
    ],
)
def test_wrong_settings_are_refused(network: object, options: dict[str, str], part: str) -> None:
    with pytest.raises(ValueError, match=part):
        network_player(network, **options)  # type: ignore[arg-type]


def test_a_state_without_a_move_is_refused() -> None:
    with pytest.raises(ValueError, match="1 of 1 states have no move"):
        network_player(None, bonuses="only").choose_many(make_state(roll=0)[None], GENERATOR)


def test_corrected_player_goes_by_the_value_alone_and_the_faithful_one_by_both() -> None:
    corrected, faithful = (
        network_player(score, scoring=mode) for mode in ("corrected", "faithful")
    )

    assert (corrected.value_weight, corrected.policy_weight) == (1.0, 0.0)
    assert (faithful.value_weight, faithful.policy_weight) == (0.7, 0.3)
