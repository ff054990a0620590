"""Runs that are stopped, killed or continued: nothing is lost, and going on changes no byte."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import torchward
from parity_tests.unit.parity.table_agents import ARGUMENTS, read_run, train

pytest.importorskip("gymnasium")

WAIT_S = 300
"""For what takes two seconds alone: other processes may leave little of the machine."""


def start(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Start the command in a process of its own."""
    code = "import sys, torchward; sys.exit(torchward.main())"
    root = str(Path(torchward.__file__).parent)
    return subprocess.Popen(
        [sys.executable, "-c", code, "train", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": root, **environment},
    )


def wait_for(path: Path, lines: int) -> None:
    """Wait until the file has so many lines."""
    deadline = time.monotonic() + WAIT_S
    while not path.exists() or path.read_text().count("\n") < lines:
        assert time.monotonic() < deadline, f"{path} did not grow"
        time.sleep(0.02)


@pytest.mark.slow  # starts processes, as the next two
@pytest.mark.parametrize("killed_at", [400, 1111], ids=["early", "late"])
def test_a_killed_run_is_continued_byte_by_byte(folder: Path, killed_at: int) -> None:
    budget = ["--steps", "1500", "--set", "checkpoint_every=150", "--set", "evaluate_every=700"]
    assert train("mortal", *ARGUMENTS, *budget, "--run-folder", "whole") == 0
    command = ["mortal", *ARGUMENTS, *budget, "--run-folder", "killed"]
    with start(*command, KILLED_AT=str(killed_at)) as child:
        child.communicate(timeout=WAIT_S)
    assert child.returncode == -signal.SIGKILL

    assert train("--resume", "killed") == 0

    assert read_run(folder / "killed") == read_run(folder / "whole")


@pytest.mark.slow
def test_ctrl_c_saves_and_says_how_to_go_on(folder: Path) -> None:
    child = start("table", *ARGUMENTS, "--episodes", "1000000", "--run-folder", "run")
    wait_for(folder / "run" / "progress.csv", 10)

    child.send_signal(signal.SIGINT)
    error = child.communicate(timeout=WAIT_S)[1]

    assert child.returncode == 130
    assert "Continue with:  torchward train --resume run" in error
    episodes = json.loads(next(folder.glob("run/checkpoints/*/state.json")).read_text())[
        "counters"
    ]["episode"]
    assert (folder / "run" / "progress.csv").read_text().count("\n") == episodes + 1


@pytest.mark.slow
def test_ctrl_c_reaches_the_child_process(folder: Path) -> None:
    child = start(
        "table",
        *ARGUMENTS,
        "--episodes",
        "1000000",
        "--run-folder",
        "run",
        "--framework",
        "tensorflow",
    )
    wait_for(folder / "run" / "progress.csv", 10)

    child.send_signal(signal.SIGINT)

    assert "--resume run" in child.communicate(timeout=WAIT_S)[1]
    assert child.returncode == 130


def test_a_finished_run_takes_a_larger_budget(folder: Path) -> None:
    train("table", *ARGUMENTS, "--episodes", "20", "--run-folder", "whole")
    train("table", *ARGUMENTS, "--episodes", "8", "--run-folder", "parts")

    assert train("--resume", "parts", "--episodes", "20") == 0

    assert read_run(folder / "parts") == read_run(folder / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("framework", ["torch", "tensorflow"])
def test_an_agent_of_whole_episodes_is_trained_and_continued(folder: Path, framework: str) -> None:
    common = ["episodic", *ARGUMENTS, "--framework", framework]
    train(*common, "--episodes", "20", "--run-folder", "whole")
    train(*common, "--episodes", "8", "--run-folder", "parts")

    assert train("--resume", "parts", "--episodes", "20") == 0

    whole = read_run(folder / "whole")
    assert read_run(folder / "parts") == whole
    assert (whole["memory"], whole["state"]["counters"]["updates"]) == (None, 20)


def test_resuming_with_other_settings_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train("table", *ARGUMENTS, "--episodes", "2", "--run-folder", "run")
    capsys.readouterr()

    assert train("--resume", "run", "--seed", "1", "--set", "rate=1") == 2
    assert "leave out --seed, --set" in capsys.readouterr().err
