from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from experience.environments.royal_ur.rules import (
    BLOCKED,
    apply_move,
    find_distinct_moves,
    find_moves,
    find_square,
    find_winner,
    is_capture,
    make_state,
    pass_turn,
    roll_dice,
)
from parity_tests.unit.experience.environments.royal_ur.recorded import (
    POSITIONS,
    plain_move,
    plain_moves,
    random_states,
    squares_of,
    state_of,
)

WAITING = (-1,) * 7


def pieces(*squares: int) -> tuple[int, ...]:
    """Return seven pieces, those that are not named at the start."""
    return (*squares, *WAITING)[:7]


@pytest.mark.parametrize("position", POSITIONS, ids=range(len(POSITIONS)))
def test_moves_and_states_after_them_are_those_of_the_original(position: dict[str, Any]) -> None:
    state = state_of(position)

    assert find_moves(state).tolist() == position["valid_moves"]
    assert bool(find_winner(state)) == position["game_over"]
    for after in position["after"]:
        child = state.copy()
        apply_move(child, after["piece"])
        assert child[:7].tolist() == after["p1"]
        assert child[7:14].tolist() == after["p2"]
        assert child[14] == after["current"]


def test_random_positions_move_as_the_rules_say_in_plain_words() -> None:
    for state in random_states(200, seed=1):
        squares, player = squares_of(state), int(state[14])
        moves = plain_moves(squares, player, int(state[15]))

        assert find_moves(state).tolist() == [piece for piece, _ in moves]
        for piece, target in moves:
            child = state.copy()
            apply_move(child, piece)
            assert (squares_of(child), child[14]) == plain_move(squares, player, piece, target)
            captured = target != 20 and target in squares[3 - player]
            assert is_capture(state, target) == captured


@pytest.mark.parametrize(
    ("first", "second", "roll", "target"),
    [
        (pieces(6), pieces(), 1, 7),
        (pieces(6), pieces(7), 1, BLOCKED),
        (pieces(5), pieces(8), 3, 8),
        (pieces(5, 8), pieces(), 3, BLOCKED),
        (pieces(13), pieces(), 1, 20),
        (pieces(13), pieces(), 2, BLOCKED),
        (pieces(12), pieces(), 2, 20),
        (pieces(20), pieces(), 2, BLOCKED),
        (pieces(), pieces(), 4, 0),
        (pieces(), pieces(), 0, BLOCKED),
    ],
    ids=["rosette", "enemy on the rosette", "capture", "own piece", "exact end", "too far",
         "end with two", "finished", "start", "roll of nothing"],
)  # fmt: skip
def test_a_piece_goes_where_it_may(
    first: tuple[int, ...], second: tuple[int, ...], roll: int, target: int
) -> None:
    assert find_square(make_state(first, second, roll=roll), 0) == target


def test_a_capture_sends_the_piece_to_the_start_and_passes_the_turn() -> None:
    state = make_state(pieces(5), pieces(8), roll=3)

    apply_move(state, 0)

    assert state.tolist() == [8, *WAITING[1:], *WAITING, 2, 3]


def test_a_rosette_keeps_the_turn_and_the_end_does_not() -> None:
    on_rosette, at_end = make_state(pieces(6), roll=1), make_state(pieces(13), roll=1)

    apply_move(on_rosette, 0)
    apply_move(at_end, 0)

    assert (on_rosette[14], at_end[14]) == (1, 2)
    pass_turn(at_end)
    assert at_end[14] == 1


def test_unstarted_pieces_are_one_distinct_move() -> None:
    state = make_state(pieces(5, -1, 8), player=1, roll=2)

    assert find_moves(state).tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert find_distinct_moves(state).tolist() == [0, 1, 2]


@pytest.mark.parametrize("winner", [1, 2])
def test_seven_finished_pieces_win(winner: int) -> None:
    rows = [WAITING, WAITING]
    rows[winner - 1] = (20,) * 7

    assert find_winner(make_state(*rows)) == winner
    rows[winner - 1] = (*(20,) * 6, -1)
    assert find_winner(make_state(*rows)) == 0


def test_dice_have_the_odds_of_four_coins() -> None:
    rolls = roll_dice(np.random.default_rng(0), 160_000)

    counts = np.bincount(rolls, minlength=5) / 10_000

    # Standard deviations of the shares are below 0.02 sixteenths here.
    np.testing.assert_allclose(counts, [1, 4, 6, 4, 1], atol=0.1)


@pytest.mark.parametrize(
    ("arguments", "options", "part"),
    [
        ((WAITING[:6],), {}, "seven pieces"),
        ((pieces(14),), {}, "player 1 has seven pieces"),
        ((WAITING, pieces(3)), {}, "player 2 has seven pieces"),
        ((pieces(5, 5),), {}, "different squares"),
        ((pieces(8), pieces(8)), {}, "both players have a piece on square 8"),
        ((), {"player": 3}, "got player 3"),
        ((), {"roll": 5}, "roll 5"),
    ],
)
def test_an_impossible_state_is_refused(
    arguments: tuple[Any, ...], options: dict[str, int], part: str
) -> None:
    with pytest.raises(ValueError, match=part):
        make_state(*arguments, **options)
