from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

from parity_tests import harness
from parity_tests.cli import parity
from parity_tests.compare import compare
from parity_tests.harness import MissingFrameworkError, RunRequest, WorkerError
from parity_tests.report import ParityReport, ProbeResult
from parity_tests.tolerances import EXACT

Command = Callable[..., Result]


@pytest.fixture
def command() -> Command:
    app = typer.Typer()
    app.command()(parity)
    return lambda *arguments: CliRunner().invoke(app, list(arguments))


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], list[RunRequest]]:
    """Let the child answer with one comparison of 1.0 against a number; give what it was asked."""
    asked: list[RunRequest] = []

    def set_answer(torch: float) -> list[RunRequest]:
        def run(request: RunRequest, **_: object) -> ParityReport:
            list(request.runs())
            asked.append(request)
            found = compare("loss", np.array(1.0), np.array(torch), EXACT)
            result = ProbeResult(
                "dqn", "plain", True, "loss", "float64", 0, 100, "transitions", "ab", (found,)
            )
            return ParityReport((result,), {"machine": "here"})

        monkeypatch.setattr(harness, "run_in_child", run)
        return asked

    return set_answer


def test_parity_ends_with_status_0_and_the_verdict(command: Command, answer: Any) -> None:
    answer(1.0)
    done = command("dqn")
    assert done.exit_code == 0
    assert done.stdout.splitlines()[-1] == "IN PARITY   1 of 1 probes"


def test_a_difference_ends_with_status_5_and_the_way_to_repeat_it(
    command: Command, answer: Any
) -> None:
    answer(2.0)
    done = command("dqn", "--quiet")
    assert done.exit_code == 5
    assert "Repeat with: torchward parity dqn --probe loss --dtype float64 --seed 0" in done.stdout
    assert done.stdout.splitlines()[0].endswith("NOT IN PARITY")


def test_options_reach_the_request(command: Command, answer: Any) -> None:
    asked = answer(1.0)
    command("dqn", "--probe", "loss", "--dtype", "float32", "--seed", "4", "--updates", "9")
    assert asked == [RunRequest(("dqn",), ("loss",), ("float32",), seed=4, updates=9)]


def test_json_is_all_that_is_printed(command: Command, answer: Any) -> None:
    answer(2.0)
    done = command("--json")
    assert done.exit_code == 5
    assert json.loads(done.stdout)["in_parity"] is False


def test_markdown_and_junit_are_written(command: Command, answer: Any, tmp_path: Path) -> None:
    answer(2.0)
    done = command("--markdown", str(tmp_path / "r.md"), "--junit", str(tmp_path / "r.xml"))
    assert done.exit_code == 5
    assert (tmp_path / "r.md").read_text().startswith("# Parity")
    assert "<testsuite" in (tmp_path / "r.xml").read_text()


def test_a_file_that_cannot_be_written_ends_with_status_6(
    command: Command, answer: Any, tmp_path: Path
) -> None:
    answer(1.0)
    done = command("--junit", str(tmp_path / "missing" / "r.xml"))
    assert done.exit_code == 6
    assert "cannot be written" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("dqm",), "error: no pair named 'dqm'; nearest: dqn"),
        (("--probe", "gradients"), "nearest: gradient"),
        (("--dtype", "float16"), "no dtype 'float16'"),
        (("--pairs", "nothing"), "write module:NAME"),
    ],
    ids=["pair", "probe", "dtype", "pairs"],
)
def test_a_wrong_name_ends_with_status_2_and_one_line(
    command: Command, arguments: tuple[str, ...], message: str
) -> None:
    done = command(*arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_missing_framework_ends_with_status_2_and_the_name_of_the_extra(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*_: object, **__: object) -> ParityReport:
        message = "parity needs tensorflow: pip install 'torchward[legacy]'"
        raise MissingFrameworkError(message)

    monkeypatch.setattr(harness, "run_in_child", run)
    done = command()
    assert done.exit_code == 2
    assert done.stderr == "error: parity needs tensorflow: pip install 'torchward[legacy]'\n"


def test_a_dead_worker_is_not_parity_and_shows_what_it_wrote(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*_: object, **__: object) -> ParityReport:
        message = "the process ended"
        raise WorkerError(message, "out of memory")

    monkeypatch.setattr(harness, "run_in_child", run)
    done = command("--json")
    assert done.exit_code == 5
    assert json.loads(done.stderr) == {"error": "the process ended", "hint": None, "exit": 5}
    assert "out of memory" in command().stderr
