from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from experience.environments.royal_ur.evaluation import (
    DEFAULT,
    EVOLVED,
    Parameters,
    evaluate,
    read_parameters,
)
from experience.environments.royal_ur.rules import apply_move, make_state
from parity_tests.unit.experience.environments.royal_ur.recorded import (
    POSITIONS,
    plain_evaluation,
    random_states,
    squares_of,
    state_of,
)


@pytest.mark.parametrize("position", POSITIONS, ids=range(len(POSITIONS)))
def test_values_are_those_of_the_original(position: dict[str, Any]) -> None:
    state, weights = state_of(position), DEFAULT.to_array()

    assert evaluate(state, weights) == position["evaluate"]
    for after in position["after"]:
        child = state.copy()
        apply_move(child, after["piece"])
        assert evaluate(child, weights) == after["evaluate"]


def test_random_positions_have_the_value_of_the_formula() -> None:
    weights = DEFAULT.to_array()

    for state in random_states(200, seed=2):
        assert evaluate(state, weights) == plain_evaluation(squares_of(state))


def test_the_evolved_set_weighs_anew() -> None:
    # One piece on step 7 (a rosette of the lane), one finished; the enemy has one on step 1.
    state = make_state((7, 20, -1, -1, -1, -1, -1), (18, -1, -1, -1, -1, -1, -1))

    mine = 1030 + 43 + 40 + 29 + 4 + 2
    assert evaluate(state, EVOLVED.to_array()) == -mine + 43 - (8 - 2) * 14 // 10


def test_division_goes_toward_zero_on_both_sides() -> None:
    ahead, behind = (
        make_state(first, second)
        for first, second in (((3,) + (-1,) * 6, (-1,) * 7), ((-1,) * 7, (19,) + (-1,) * 6))
    )

    assert evaluate(ahead, DEFAULT.to_array()) == -36
    assert evaluate(behind, DEFAULT.to_array()) == 36


def test_a_file_of_parameters_is_read(tmp_path: Path) -> None:
    path = tmp_path / "evolved.json"
    path.write_text(json.dumps(asdict(EVOLVED)), encoding="utf-8")

    # evolved.json of the original at commit 517974e, in the order of its file.
    assert list(asdict(EVOLVED).values()) == [11_135, 1_030, 14, 40, 29, 4, 43, 2]
    assert read_parameters(path) == EVOLVED
    assert asdict(Parameters()) == {
        "win_score": 10000, "finished_piece_value": 1000, "position_weight": 15, "safety_bonus": 25,
        "rosette_control_bonus": 40, "advancement_bonus": 5, "capture_bonus": 35,
        "center_lane_bonus": 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("{", "not a readable JSON file"),
        ("[1]", "found list"),
        ('{"win_score": 1}', "needed exactly"),
        (json.dumps({**asdict(DEFAULT), "win_score": 1.5}), "win_score is 1.5"),
        (json.dumps({**asdict(DEFAULT), "win_score": True}), "win_score is True"),
        (json.dumps({**asdict(DEFAULT), "safety_bonus": 10**9}), "at most 1000000"),
        ("[" * 50_000, "not a readable JSON file"),
        (" " * 70_000, "70000 bytes"),
    ],
    ids=["cut off", "list", "one name", "fraction", "bool", "huge", "deep", "long"],
)
def test_a_wrong_file_of_parameters_is_refused(text: str, part: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.json"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(ValueError, match=part):
        read_parameters(path)


def test_a_missing_file_of_parameters_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none\.json"):
        read_parameters(tmp_path / "none.json")
