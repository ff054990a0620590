from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest

import torchward
from experience.ur_networks import OUTPUTS, layer_shapes
from experience.ur_weights import write_ur_weights


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Return a file of small random networks."""
    rng = np.random.default_rng(0)
    arrays = {}
    for network, outputs in OUTPUTS.items():
        for layer, shape in layer_shapes(outputs, (6, 5)).items():
            arrays[f"{network}/{layer}/kernel"] = rng.standard_normal(shape).astype(np.float32) / 4
            arrays[f"{network}/{layer}/bias"] = rng.standard_normal(shape[1]).astype(np.float32)
    write_ur_weights(tmp_path / "w.json", arrays)
    return tmp_path / "w.json"


def run(*arguments: str) -> int:
    return torchward.main(["play", *arguments])


def test_a_game_is_played_through_a_pipe(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("1\n" * 1000))

    assert run("ur", "--against", "random", "--seed", "3") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] in ("You win.", "the random player wins.")
    assert "your move (number, q to stop): 1" in lines


def test_the_end_of_the_input_stops_the_game(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], weights: Path
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("1\n"))

    assert run("ur", "--weights", str(weights), "--side", "2") == 0
    out = capsys.readouterr().out
    assert "You are player 2, the network player is player 1." in out
    assert out.endswith("Stopped.\n")


def test_matches_print_a_line_for_every_opponent(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("ur", "--player", "heuristic", "--against", "random, bonuses", "--games", "60") == 0

    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split()[:4] == ["player", "opponent", "games", "won"]
    assert [row.split()[:3] for row in rows] == [
        ["heuristic", "random", "60"],
        ["heuristic", "bonuses", "60"],
    ]


@pytest.mark.slow
def test_json_has_the_rates_of_network_bonuses_and_both(
    capsys: pytest.CaptureFixture[str], weights: Path
) -> None:
    code = run(
        "ur", "--weights", str(weights), "--against", "random", "--games", "80", "--bonuses", "all",
        "--json",
    )  # fmt: skip

    assert code == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["player"] for row in rows] == ["network", "bonuses", "network + bonuses"]
    assert all(row["low"] < row["rate"] == row["wins"] / 80 < row["high"] for row in rows)
    assert rows[1]["rate"] > 0.85


def test_the_seed_fixes_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    results = []
    for seed in ("1", "1", "2"):
        run("ur", "--player", "random", "--against", "random", "--games", "200", "--seed", seed, "--json")  # fmt: skip
        results.append(json.loads(capsys.readouterr().out)["rows"][0]["wins"])

    assert results[0] == results[1] != results[2]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["table.png", "table.svg"])
def test_the_table_is_drawn(name: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / name

    assert run("ur", "--player", "heuristic", "--against", "random", "--games", "20", "--plot", str(path)) == 0  # fmt: skip
    assert path.stat().st_size > 2000


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        (["chess"], 2, "there is no game 'chess'"),
        (["ur", "--against", "nobody"], 2, "there is no player 'nobody'"),
        (["ur", "--player", "emm-9"], 2, "there is no player 'emm-9'"),
        (["ur", "--player", "random", "--weights", "w.json"], 2, "give one"),
        (["ur", "--player", "emm-1", "--search", "deep"], 2, "--search deep: needed faithful"),
        (["ur", "--bonuses", "some"], 2, "--bonuses some: needed none"),
        (["ur", "--bonuses", "all"], 2, "--bonuses all compares in matches"),
        (["ur", "--scoring", "best"], 2, "--scoring best: needed faithful"),
        (["ur", "--weights", "none.json", "--games", "1"], 3, "none.json"),
        (["ur", "--weights", "w.json", "--against", "random"], 2, "give --games too"),
        (["ur", "--player", "random", "--games", "0"], 2, "--games"),
    ],
)
def test_wrong_use_ends_with_one_line(
    arguments: list[str], code: int, part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == code
    assert part in capsys.readouterr().err


def test_a_wrong_variable_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RAYON_NUM_THREADS", "many")

    assert run("ur", "--player", "random", "--games", "1") == 2
    assert "RAYON_NUM_THREADS='many'" in capsys.readouterr().err
