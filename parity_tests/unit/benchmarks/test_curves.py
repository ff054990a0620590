from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.curves import read_curves, smooth
from experience.arguments import choose_defaults, write_arguments


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


def write_suite_run(
    folder: Path, *, returns: list[list[float]], steps: int = 200, **flags: Any
) -> None:
    length = {"epochs": 1, "cycles": 2}
    arguments = choose_defaults(
        **{"env": "Pendulum-v1", "alg": "sac", "seed": 2, **length, **flags}
    )
    state = folder / f"checkpoints/steps-{steps:09d}/state.json"
    state.parent.mkdir(parents=True)
    write_arguments(arguments, folder / "arguments.json")
    state.write_text(json.dumps({"progress": {"cycle": 2, "returns": returns}}))


def test_a_run_of_the_suite_is_drawn_by_its_tests(tmp_path: Path) -> None:
    write_suite_run(tmp_path / "a", returns=[[100, -3.0], [200, -1.5]], use_pytorch=False)

    [curve] = read_curves(tmp_path)

    assert (curve.framework, curve.label, curve.seed) == ("legacy", "TensorFlow", "2")
    assert (curve.steps, curve.returns) == ((100.0, 200.0), (-3.0, -1.5))


@pytest.mark.parametrize(
    ("flags", "task", "algorithm"),
    [
        ({"env_type": "normal"}, "Pendulum-v1", "SAC"),
        ({"alg": "rrd"}, "Pendulum-v1, episodic reward", "RRD-SAC"),
        (
            {"alg": "ircr", "basis_alg": "td3", "env_type": "normal"},
            "Pendulum-v1",
            "IRCR-TD3",
        ),
    ],
    ids=["alone", "decomposed", "another-basis"],
)
def test_a_run_of_the_suite_names_task_and_algorithm(
    flags: dict[str, Any], task: str, algorithm: str, tmp_path: Path
) -> None:
    write_suite_run(tmp_path / "a", returns=[[100, 1.0]], **flags)

    [curve] = read_curves(tmp_path)

    assert (curve.task, curve.algorithm) == (task, algorithm)


def test_the_framework_of_a_run_that_chose_by_itself_is_in_its_folder(tmp_path: Path) -> None:
    write_suite_run(tmp_path / "tensorflow-2", returns=[[100, 1.0]])

    assert read_curves(tmp_path)[0].framework == "legacy"


def test_the_last_checkpoint_counts(tmp_path: Path) -> None:
    write_suite_run(tmp_path / "a", returns=[[100, 1.0]], steps=999_999_999)
    later = tmp_path / "a/checkpoints/steps-1000000000/state.json"
    later.parent.mkdir()
    later.write_text(json.dumps({"progress": {"cycle": 2, "returns": [[100, 1.0], [200, 2.0]]}}))

    assert read_curves(tmp_path)[0].returns == (1.0, 2.0)


@pytest.mark.parametrize("returns", [[], [[1]], "text"], ids=["none", "short", "text"])
def test_a_damaged_run_of_the_suite_is_named(returns: list[list[float]], tmp_path: Path) -> None:
    write_suite_run(tmp_path / "a", returns=returns)

    with pytest.raises(ValueError, match=r"state\.json"):
        read_curves(tmp_path)


def test_runs_of_the_suite_that_have_not_ended_are_left_out(tmp_path: Path) -> None:
    write_suite_run(tmp_path / "ended", returns=[[100, 1.0]])
    write_suite_run(tmp_path / "running", returns=[[100, 5.0]], cycles=3)
    (tmp_path / "begun").mkdir()
    write_arguments(choose_defaults(), tmp_path / "begun/arguments.json")

    assert [curve.returns for curve in read_curves(tmp_path)] == [(1.0,)]


def test_a_folder_where_nothing_has_ended_is_refused(tmp_path: Path) -> None:
    write_arguments(choose_defaults(), tmp_path / "arguments.json")

    with pytest.raises(ValueError, match="none of its 1 runs has ended"):
        read_curves(tmp_path)
