from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.curves import read_curves, smooth


def write_run(
    folder: Path, rows: list[dict[str, object]], run: dict[str, object] | None = None
) -> None:
    folder.mkdir(parents=True)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    if run is not None:
        (folder / "run.json").write_text(json.dumps(run))


def episode(step: int, value: float) -> dict[str, object]:
    return {"kind": "episode", "step": step, "episode_return": value}


def evaluation(step: int, value: float) -> dict[str, object]:
    return {"kind": "evaluation", "step": step, "mean_return": value}


def test_evaluations_are_the_curve_where_there_are_two(tmp_path: Path) -> None:
    rows = [episode(5, 1.0), evaluation(10, 20.0), episode(15, 2.0), evaluation(20, 40.0)]
    write_run(tmp_path / "a", rows, {"framework": "legacy", "seed": 3})

    [curve] = read_curves(tmp_path)

    assert (curve.framework, curve.label, curve.seed) == ("legacy", "TensorFlow", "3")
    assert (curve.steps, curve.returns) == ((10.0, 20.0), (20.0, 40.0))


def test_without_evaluations_episodes_are_averaged(tmp_path: Path) -> None:
    write_run(tmp_path / "torch-1", [episode(5, 1.0), episode(9, 3.0), evaluation(9, 50.0)])

    [curve] = read_curves(tmp_path)

    assert (curve.steps, curve.returns) == ((5.0, 9.0), (1.0, 2.0))


def test_the_mean_forgets_what_is_older_than_its_width() -> None:
    assert smooth([(1, 1.0), (2, 3.0), (3, 11.0)], width=2) == [(1, 1.0), (2, 2.0), (3, 7.0)]


@pytest.mark.parametrize(
    ("folder", "framework", "seed"),
    [("legacy/seed-4", "legacy", "4"), ("cartpole-tf-2", "legacy", "2"), ("torch-7", "torch", "7")],
)
def test_runs_that_say_nothing_are_known_by_their_folders(
    folder: str, framework: str, seed: str, tmp_path: Path
) -> None:
    write_run(tmp_path / folder, [evaluation(1, 1.0), evaluation(2, 2.0)])

    [curve] = read_curves(tmp_path)

    assert (curve.framework, curve.seed) == (framework, seed)


@pytest.mark.parametrize(
    "text",
    ["not json\n", '{"kind": "episode"}\n', "[1]\n", ""],
    ids=["text", "short", "list", "empty"],
)
def test_a_damaged_run_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text(text)

    with pytest.raises(ValueError, match=r"metrics\.jsonl"):
        read_curves(tmp_path)


def test_a_folder_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no metrics\.jsonl"):
        read_curves(tmp_path)
