from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

import torchward
from experience.logs import EpisodeFigures, EvaluationFigures
from parity_tests.train_display import format_verdict
from parity_tests.train_plan import (
    plan_run,
)
from parity_tests.train_run import run_training
from parity_tests.unit.parity.table_agents import ARGUMENTS, read_run, train

pytest.importorskip("gymnasium")


def test_a_run_ends_with_its_verdict_and_its_files(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = train("table", *ARGUMENTS, "--episodes", "12", "--seed", "3")

    lines = capsys.readouterr().out.splitlines()
    run = folder / "runs" / "table-CartPole-v1-torch-seed3"
    assert status == 0
    assert lines[0].startswith(
        "train       table on CartPole-v1, torch, seed 3, at most 12 episodes"
    )
    assert lines[-1].startswith(("PASS", "NOT SOLVED"))
    assert (run / "progress.csv").read_text().count("\n") == 13
    assert {path.name for path in run.iterdir()} >= {"run.json", "result.json", "agent.json"}


@pytest.mark.slow
@pytest.mark.parametrize("framework", ["torch", "tensorflow"])
def test_json_is_the_whole_of_standard_output(
    folder: Path, capsys: pytest.CaptureFixture[str], framework: str
) -> None:
    train("table", *ARGUMENTS, "--episodes", "5", "--framework", framework, "--json")

    result = json.loads(capsys.readouterr().out)
    assert (result["episodes"], result["reason"], result["final_episodes"]) == (5, "budget", 3)
    assert result["threshold"] == 475.0


@pytest.mark.slow
def test_the_child_process_gives_what_this_one_gives(folder: Path) -> None:
    for framework in ("torch", "tensorflow"):
        train(
            "table",
            *ARGUMENTS,
            "--episodes",
            "8",
            "--framework",
            framework,
            "--run-folder",
            framework,
        )

    assert read_run(folder / "torch") == read_run(folder / "tensorflow")


def test_the_best_agent_is_evaluated_on_the_device_that_was_asked_for(folder: Path) -> None:
    arguments = [*ARGUMENTS, "--episodes", "4", "--set", "evaluate_every=10", "--device", "cpu"]

    assert train("placed", *arguments) == 0

    # The one that is trained, and the best one, which the final figure is of.
    assert sys.modules["table_agents"].Placed.devices == ["cpu", "cpu"]


@pytest.mark.slow
def test_the_last_words_of_a_dead_child_are_shown(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", "broken", *ARGUMENTS, "--episodes", "50", "--framework", "tensorflow"]

    assert torchward.main(arguments) == 3

    assert re.search(r"(?s)exit status 9:.*the last words", capsys.readouterr().err)


@pytest.mark.slow
def test_a_child_reports_a_wrong_setting_like_this_process(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = [
        (
            train("table", *ARGUMENTS, "--set", "rat=1", "--framework", framework),
            capsys.readouterr().err,
        )
        for framework in ("torch", "tensorflow")
    ]

    assert found[0] == found[1]
    assert found[0][0] == 2
    assert "no setting named rat" in found[0][1]
    assert "nearest: rate" in found[0][1]
    assert not (folder / "runs").exists()


def test_an_existing_folder_is_not_written_to(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "run").mkdir()

    assert train("table", *ARGUMENTS, "--run-folder", "run") == 2
    assert "hint: torchward train --resume run" in capsys.readouterr().err
    assert list((folder / "run").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["dqm"], "nearest: dqn"),
        (["dqn", "--framework", "jax"], "torch or tensorflow"),
        (["table", "--pairs", "table_agents:PAIRS", "--env", "Pendulum-v1"], "Discrete"),
        (["table", "--pairs", "table_agents:PAIRS", "--env", "Cartpole-v1"], "CartPole"),
        (["bare", "--pairs", "table_agents:PAIRS"], "Bare has no remember; neither a memory"),
        (["episodic", "--pairs", "table_agents:PAIRS", "--set", "train_every=2"], "no replay"),
        (["dqn", "--set", "learning_rate"], "name=value"),
        (["dqn", "--set", "train_every=0"], "below 1"),
        (["dqn", "--set", "exploration=[1]"], "LinearSchedule"),
    ],
    ids=[
        "pair",
        "framework",
        "actions",
        "environment",
        "loop",
        "no-memory",
        "no-value",
        "range",
        "exploration",
    ],
)
def test_a_wrong_call_is_one_line_and_exit_code_2(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], part: str
) -> None:
    assert train(*arguments) == 2

    error = capsys.readouterr().err
    assert part in error
    assert error.startswith("error: ")


def names_in(folder: Path) -> list[str]:
    """Return what lies in a folder, but for what Python keeps of modules that were imported from it."""
    return sorted(path.name for path in folder.iterdir() if path.name != "__pycache__")


def test_without_tensorboard_nothing_begins_and_the_extra_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "tensorboard" else real(name)
    )
    before = names_in(folder)

    assert train("table", "--pairs", "table_agents:PAIRS", "--tensorboard") == 2

    assert "pip install 'torchward[rl]'" in capsys.readouterr().err
    assert names_in(folder) == before


class Silent:
    def on_start(self, facts: Any) -> None: ...
    def on_episode(self, figures: EpisodeFigures) -> None: ...
    def on_evaluation(self, figures: EvaluationFigures) -> None: ...


def test_the_final_figure_is_that_of_the_best_weights(folder: Path) -> None:
    settings = ["evaluate_every=200", "rate=0.5"]
    plan = plan_run(
        "table", None, settings, pairs="table_agents:PAIRS", episodes=60, final_episodes=4
    )

    result = run_training(plan, folder / "run", resume=False, observer=Silent())

    (best,) = (folder / "run").glob("best-*/agent.json")
    assert (folder / "run" / "agent.json").read_bytes() == best.read_bytes()
    assert best.parent.name == f"best-{result['best_episode']:06d}"


@pytest.mark.parametrize(
    ("mean", "threshold", "line"),
    [
        (475.0, 475.0, "PASS   mean return 475.0 over 100 episodes; solved from 475"),
        (474.9, 475.0, "NOT SOLVED   mean return 474.9 over 100 episodes; solved from 475"),
        (-6.0, None, "DONE   mean return -6.0 over 100 episodes; E names no threshold"),
    ],
    ids=["solved", "not-solved", "no-threshold"],
)
def test_the_verdict_compares_with_the_environments_threshold(
    mean: float, threshold: float | None, line: str
) -> None:
    result = {
        "mean_return": mean,
        "final_episodes": 100,
        "threshold": threshold,
        "solved": None if threshold is None else mean >= threshold,
        "plan": {"environment": "E"},
    }

    assert format_verdict(result) == line


def test_without_a_terminal_there_is_no_bar(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train("table", *ARGUMENTS, "--episodes", "3")

    assert capsys.readouterr().err == ""


def test_quiet_prints_the_verdict_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train("table", *ARGUMENTS, "--episodes", "3", "--quiet")

    assert len(capsys.readouterr().out.splitlines()) == 1
