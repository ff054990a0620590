from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import benchmarks.processes
from benchmarks.cli import BenchmarkUsageError, bench
from benchmarks.html_report import INSTALL_HINT, ReportExtraError
from benchmarks.results import BenchResult
from converters.errors import OutputError, UnreadableFileError

FAKE = Path(__file__).with_name("fake_worker.py")


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    """The command with workers that measure nothing, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    seconds = json.dumps({"torch-compile": 0.0001, "sb3": "pip install stable-baselines3"})
    monkeypatch.setattr(
        benchmarks.processes, "worker_command_of", lambda _: (sys.executable, str(FAKE), seconds)
    )
    application = typer.Typer()
    application.command()(bench)
    return application


def run(command: typer.Typer, *arguments: str) -> str:
    result = CliRunner().invoke(command, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.slow  # it measures
def test_table_json_and_page_come_from_one_run(command: typer.Typer, tmp_path: Path) -> None:
    output = run(command, "updates", "--repeats", "2")

    assert "PyTorch, compiled" in output
    assert re.search(r"^machine  \d+ cores, ", output, re.MULTILINE)
    assert "1 thread," in output
    assert "median of 2 rounds" in output
    assert "not measured: pip install" in output
    assert "wrote bench-results/bench.json" in output
    stored = BenchResult.from_json((tmp_path / "bench-results/bench.json").read_text())
    assert [workload.name for workload in stored.workloads] == ["updates"]
    assert "<h1>" in (tmp_path / "bench-results/bench.html").read_text()


@pytest.mark.slow
def test_json_on_standard_output_is_the_file(command: typer.Typer, tmp_path: Path) -> None:
    output = run(command, "size", "--json")

    assert output == (tmp_path / "bench-results/bench.json").read_text()


@pytest.mark.slow
def test_quiet_prints_nothing(command: typer.Typer) -> None:
    assert run(command, "size", "--quiet") == ""


def test_a_stored_result_is_drawn_again_without_measuring(
    command: typer.Typer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(command, "updates", "--repeats", "1", "--quiet")
    first = (tmp_path / "bench-results/bench.html").read_bytes()
    monkeypatch.setattr(benchmarks.processes, "worker_command_of", lambda _: ("false",))

    run(command, "--from-json", "bench-results/bench.json", "--html", "again.html", "--quiet")

    assert (tmp_path / "again.html").read_bytes() == first


def test_without_the_report_extra_one_line_says_what_to_install(
    command: typer.Typer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(result: BenchResult) -> str:
        raise ReportExtraError(INSTALL_HINT)

    monkeypatch.setattr("benchmarks.html_report.render_html", refuse)

    output = run(command, "size")

    assert output.splitlines()[-1] == INSTALL_HINT
    assert not (tmp_path / "bench-results/bench.html").exists()


@pytest.mark.parametrize(
    ("arguments", "error", "code"),
    [
        (["updaets"], BenchmarkUsageError, 2),
        (["--pair", "dqm"], BenchmarkUsageError, 2),
        (["--without", "sb2"], BenchmarkUsageError, 2),
        (["learning", "--runs", "."], UnreadableFileError, 3),
        (["learning"], BenchmarkUsageError, 2),
        (["--from-json", "missing.json"], UnreadableFileError, 3),
        (["size", "--html", "/dev/null/page.html"], OutputError, 6),
    ],
    ids=[
        "workload",
        "pair",
        "variant",
        "folder without runs",
        "learning without runs",
        "missing file",
        "unwritable",
    ],
)
def test_each_mistake_has_its_exit_code(
    command: typer.Typer, arguments: list[str], error: type[Exception], code: int
) -> None:
    result = CliRunner().invoke(command, arguments)

    assert isinstance(result.exception, error)
    assert result.exception.exit_code == code  # type: ignore[attr-defined]


def test_learning_curves_need_no_measurement(command: typer.Typer, tmp_path: Path) -> None:
    run_folder = tmp_path / "runs" / "torch-0"
    run_folder.mkdir(parents=True)
    lines = [{"kind": "evaluation", "step": step, "mean_return": step / 10} for step in (0, 100)]
    (run_folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    run(command, "learning", "--runs", "runs", "--quiet")

    page = (tmp_path / "bench-results/bench.html").read_text()
    assert "PyTorch: 1 seed, mean 10 at the end" in page
