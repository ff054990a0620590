"""`torchward bench`: chooses, runs, prints and writes. Imports nothing heavy until it is called."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from converters.errors import ConversionError

if TYPE_CHECKING:
    from rich.console import Console

    from benchmarks.results import BenchResult, Curve
    from benchmarks.settings import Progress, Settings
    from benchmarks.workloads import Workload

JSON_NAME, HTML_NAME, LOG_FOLDER = "bench.json", "bench.html", "logs"
QUICK_REPEATS, REPEATS = 3, 7
QUICK_TURN_S, TURN_S = 0.15, 1.0

_PIPE_COLUMNS = 110


class BenchmarkUsageError(ConversionError):
    """The command was called with something that does not exist or does not go together."""

    exit_code = 2


def bench(
    workloads: Annotated[
        list[str] | None,
        typer.Argument(
            help="training, updates, inference, startup, memory, size, convert, checkpoint-reading, converted, "
            "learning, suite-updates, suite-training, suite-acting."
        ),
    ] = None,
    *,
    pair: Annotated[str, typer.Option(help="The agent pair that is measured.")] = "dqn",
    pairs_from: Annotated[
        str | None,
        typer.Option("--pairs", metavar="MODULE:NAME", help="Your own pairs in place of ours."),
    ] = None,
    repeats: Annotated[int | None, typer.Option(min=1, help="Rounds over all variants.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of every measured process.")] = 1,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Seconds instead of minutes: short rounds, fewer workloads."),
    ] = False,
    without: Annotated[
        list[str] | None, typer.Option(help="Leave a variant out, for example torch-compile.")
    ] = None,
    full_training: Annotated[
        bool,
        typer.Option(
            "--full-training", help="Measure the guide's 100 episodes in full (many minutes)."
        ),
    ] = False,
    large: Annotated[
        bool, typer.Option("--large", help="convert, checkpoint-reading: also 500 MB, beside cp.")
    ] = False,
    runs: Annotated[
        Path | None, typer.Option(help="Folder of `torchward train` runs, for the learning curves.")
    ] = None,
    parity: Annotated[
        Path | None, typer.Option(help="JSON of `torchward parity`, shown in the HTML report.")
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for JSON, HTML and logs.")
    ] = Path("bench-results"),
    html: Annotated[
        Path | None, typer.Option(help="Path of the HTML file, if not in the output folder.")
    ] = None,
    from_json: Annotated[
        Path | None, typer.Option(help="Draw a stored result again; nothing is measured.")
    ] = None,
    json_output: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON on standard output.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Measure TensorFlow and PyTorch side by side: speed, memory, size.

    Every variant runs in a process of its own; they take turns, so that a busy machine meets all alike.

    Examples:
      torchward bench --quick
      torchward bench updates --repeats 9
      torchward bench learning --runs runs/
      torchward bench --from-json bench-results/bench.json --html report.html
    """
    from rich.console import Console

    from benchmarks.results import ResultFileError, read_result
    from converters.errors import OutputError, UnreadableFileError

    try:
        if from_json is not None:
            result = read_result(from_json)
        else:
            settings = _settings(
                pair,
                repeats,
                threads,
                pairs=pairs_from,
                quick=quick,
                full_training=full_training,
                large=large,
            )
            chosen = _choose(workloads, without, runs, settings, quick=quick)
            curves = _read_curves(runs)
            with _status(Console(stderr=True), quiet=quiet or json_output) as progress:
                result = _measure(chosen, settings, output, progress, quick=quick)
            result = dataclasses.replace(result, curves=curves)
        result = _with_parity(result, parity)
    except (ResultFileError, OSError) as error:
        raise UnreadableFileError(str(error)) from error
    try:
        written, hint = write_files(result, output, html, keep_json=from_json is not None)
    except OSError as error:
        message = f"the report cannot be written: {error}"
        raise OutputError(message) from error
    if json_output:
        sys.stdout.write(result.to_json())
    elif not quiet:
        _print(result, written, hint)


def write_files(
    result: BenchResult, output: Path, html: Path | None, *, keep_json: bool
) -> tuple[list[Path], str | None]:
    """Write JSON and HTML; return the paths, and one line if the HTML could not be made.

    Args:
        result: what was measured.
        output: folder, made if it is not there.
        html: path of the HTML file, None: in `output`.
        keep_json: the JSON exists already, do not write it again.
    """
    from benchmarks.html_report import ReportExtraError, render_html

    written = []
    if not keep_json:
        output.mkdir(parents=True, exist_ok=True)
        written.append(_write(output / JSON_NAME, result.to_json()))
    try:
        page = render_html(result)
    except ReportExtraError as error:
        return written, str(error)
    target = html or output / HTML_NAME
    target.parent.mkdir(parents=True, exist_ok=True)
    return [*written, _write(target, page)], None


def _settings(
    pair: str,
    repeats: int | None,
    threads: int,
    *,
    pairs: str | None,
    quick: bool,
    full_training: bool,
    large: bool,
) -> Settings:
    from benchmarks.settings import Settings
    from parity_tests.pairs import PAIRS, find_pair, load_pairs

    try:
        chosen = find_pair(pair, load_pairs(pairs) if pairs else PAIRS)
    except ValueError as error:
        raise BenchmarkUsageError(str(error)) from error
    return Settings(
        repeats=repeats or (QUICK_REPEATS if quick else REPEATS),
        threads=threads,
        turn_s=QUICK_TURN_S if quick else TURN_S,
        shared=quick,
        full_training=full_training,
        large=large,
        pair=chosen.name,
        pairs=pairs,
    )


def _choose(
    names: list[str] | None,
    without: list[str] | None,
    runs: Path | None,
    settings: Settings,
    *,
    quick: bool,
) -> list[Workload]:
    """Return what is measured. Raises BenchmarkUsageError."""
    from benchmarks.workloads import choose

    try:
        chosen = choose(
            tuple(names or ()),
            quick=quick,
            without=tuple(without or ()),
            pair=settings.pair,
            pairs=settings.pairs,
        )
    except ValueError as error:
        raise BenchmarkUsageError(str(error)) from error
    if any(workload.kind == "curves" for workload in chosen) and runs is None:
        message = "the learning curves are drawn from stored runs"
        raise BenchmarkUsageError(message, hint="torchward bench learning --runs FOLDER")
    return [workload for workload in chosen if workload.kind != "curves"]


def _read_curves(runs: Path | None) -> tuple[Curve, ...]:
    """Return the curves of stored runs, none for None. Raises ResultFileError."""
    from benchmarks.curves import read_curves
    from benchmarks.results import ResultFileError

    if runs is None:
        return ()
    try:
        return read_curves(runs)
    except ValueError as error:
        raise ResultFileError(str(error)) from error


def _measure(
    chosen: Sequence[Workload],
    settings: Settings,
    output: Path,
    progress: Progress,
    *,
    quick: bool,
) -> BenchResult:
    from benchmarks.environment import describe
    from benchmarks.processes import Processes
    from benchmarks.results import BenchResult
    from benchmarks.run import run_workload

    environment = describe(settings.threads)
    logs = output / LOG_FOLDER
    logs.mkdir(parents=True, exist_ok=True)
    for old in logs.glob("*.log"):
        old.unlink()  # processes append: an earlier run's lines would be quoted as the reason of a failure
    with Processes(settings, logs) as processes:
        results = [
            run_workload(workload, settings, processes, logs, progress) for workload in chosen
        ]
    return BenchResult(
        command=_command_line(),
        environment=environment,
        settings={
            "pair": settings.pair,
            **({} if settings.pairs is None else {"pairs": settings.pairs}),
            "repeats": settings.repeats,
            "seconds a round": str(settings.turn_s),
            "quick": quick,
            "full training": settings.full_training,
            "shared": settings.shared,
        },
        workloads=tuple(results),
    )


def _status(console: Console, *, quiet: bool) -> AbstractContextManager[Progress]:
    """Return a context that gives the progress function: a spinner on a terminal, silence elsewhere."""
    if quiet or not console.is_terminal:
        return nullcontext(lambda _: None)
    return _Spinner(console)


class _Spinner:
    """A spinner whose text is the present step."""

    def __init__(self, console: Console) -> None:
        self._status = console.status("starting")

    def __enter__(self) -> Callable[[str], None]:
        self._status.start()
        return self._status.update

    def __exit__(self, *_: object) -> None:
        self._status.stop()


def _with_parity(result: BenchResult, parity: Path | None) -> BenchResult:
    if parity is None:
        return result
    import json

    from benchmarks.results import ResultFileError

    try:
        content = json.loads(parity.read_text(encoding="utf-8"))
    except ValueError as error:
        message = f"{parity}: not JSON: {error}"
        raise ResultFileError(message) from error
    if not isinstance(content, dict):
        message = f"{parity}: needed the JSON object that torchward parity writes"
        raise ResultFileError(message)
    return dataclasses.replace(result, parity=content)


def _print(result: BenchResult, written: Sequence[Path], hint: str | None) -> None:
    from rich.console import Console

    from benchmarks.report import render_table

    # Off a terminal there is no width to keep to, and rich would break the labels at 80 columns.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _PIPE_COLUMNS)
    for part in render_table(result):
        console.print(part)
    for path in written:
        console.print(f"wrote {path}", soft_wrap=True)
    if hint is not None:
        console.print(hint, soft_wrap=True, markup=False)


def _command_line() -> str:
    """Return the command as it can be typed again, without the folder of the program."""
    import shlex

    return shlex.join(["torchward", *sys.argv[1:]])


def _write(path: Path, text: str) -> Path:
    """Write a text file as a whole: beside its place first, then under its name."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
    return path
