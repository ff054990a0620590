"""`torchward parity`: runs probes of agent pairs and prints what was found.

Arguments in, text and exit status out; everything else is in `harness` and `report`, imported when the command runs.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from parity_tests.harness import RunRequest
    from parity_tests.report import ParityReport, ProbeResult

EXIT_USAGE = 2
EXIT_NOT_IN_PARITY = 5
EXIT_OUTPUT = 6


def parity(
    pairs: Annotated[
        list[str] | None, typer.Argument(metavar="[PAIR...]", help="Pairs; all if none is named.")
    ] = None,
    probe: Annotated[
        list[str] | None, typer.Option(help="Probe to run; repeatable. All by default.")
    ] = None,
    dtype: Annotated[
        list[str] | None, typer.Option(help="float64 or float32; both by default.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of weights and inputs.", min=0)] = 0,
    updates: Annotated[int, typer.Option(help="Length of the trajectory.", min=1)] = 100,
    config: Annotated[
        list[str] | None, typer.Option(help="Configuration; repeatable. All by default.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print failures and the verdict only.")
    ] = False,
    save: Annotated[Path | None, typer.Option(help="Also write the report as JSON.")] = None,
    markdown: Annotated[
        Path | None, typer.Option(help="Also write the report as Markdown.")
    ] = None,
    junit: Annotated[Path | None, typer.Option(help="Also write the report as JUnit XML.")] = None,
    pairs_from: Annotated[
        str | None,
        typer.Option("--pairs", metavar="MODULE:NAME", help="Your own pairs in place of ours."),
    ] = None,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks and what the frameworks print.")
    ] = False,
) -> None:
    """Run both agents of a pair on the same inputs and compare.

    Examples: torchward parity dqn | torchward parity dqn --probe trajectory --dtype float64 --updates 10000 |
    torchward parity --pairs my_agents:PAIRS
    """
    from parity_tests.harness import RunRequest

    request = RunRequest(
        pairs=tuple(pairs or ()),
        probes=tuple(probe or ()),
        dtypes=tuple(dtype or ()),
        configs=tuple(config or ()),
        seed=seed,
        updates=updates,
        pairs_from=pairs_from,
    )
    report = _run(request, as_json=json, progress=not (json or quiet), debug=debug)
    _write_files(report, save, markdown, junit, as_json=json)
    _print_report(report, as_json=json, quiet=quiet, debug=debug)
    if not report.in_parity:
        raise typer.Exit(EXIT_NOT_IN_PARITY)


def _run(request: RunRequest, *, as_json: bool, progress: bool, debug: bool) -> ParityReport:
    """Return the report, or end the command with one line on standard error."""
    from parity_tests.harness import MissingFrameworkError, WorkerError, run_in_child

    try:
        with _progress(len(list(request.runs())), shown=progress) as tell:
            return run_in_child(request, on_result=tell, debug=debug)
    except (ValueError, MissingFrameworkError) as error:
        _fail(str(error), EXIT_USAGE, as_json=as_json)
    except WorkerError as error:
        _fail(str(error), EXIT_NOT_IN_PARITY, as_json=as_json, details=error.details)


@contextmanager
def _progress(total: int, *, shown: bool) -> Iterator[Callable[[ProbeResult], None]]:
    """Show a bar on standard error while probes run, on a terminal only; give what is to be told of results."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(stderr=True)
    if not (shown and console.is_terminal):
        yield lambda result: None
        return
    columns = (TextColumn("{task.description:<40}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("starting both frameworks", total=total)
        yield lambda result: bar.update(task, advance=1, description=result.title)


def _write_files(
    report: ParityReport,
    save: Path | None,
    markdown: Path | None,
    junit: Path | None,
    *,
    as_json: bool,
) -> None:
    from parity_tests.report import format_json, format_junit, format_markdown

    for path, form in (
        (save, format_json),
        (markdown, format_markdown),
        (junit, format_junit),
    ):
        if path is None:
            continue
        try:
            path.write_text(form(report), encoding="utf-8")
        except OSError as error:
            _fail(f"{path}: cannot be written: {error.strerror}", EXIT_OUTPUT, as_json=as_json)


def _print_report(report: ParityReport, *, as_json: bool, quiet: bool, debug: bool) -> None:
    from parity_tests.report import format_failure, format_json, format_text

    if as_json:
        typer.echo(format_json(report))
        return
    if quiet:
        for result in report.failures:
            typer.echo(format_failure(result) + "\n")
        typer.echo(report.verdict)
    elif sys.stdout.isatty():
        _print_table(report)
    else:
        typer.echo(format_text(report))
    if debug:
        for result in report.failures:
            typer.echo(result.details, err=True)


def _print_table(report: ParityReport) -> None:
    """Print the report with colours, as wide as the terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from parity_tests.report import TABLE_HEADER, format_failure, table_rows

    console = Console()
    table = Table(*TABLE_HEADER, box=None, pad_edge=False)
    for row, result in zip(table_rows(report.results), report.results, strict=True):
        style = "green" if result.in_parity else "bold red"
        table.add_row(*(Text(cell) for cell in row[:-1]), Text(row[-1], style=style))
    console.print(table)
    for result in report.failures:
        console.print()
        console.print(Text(format_failure(result)), soft_wrap=True)
    console.print()
    console.print(
        Text(
            ", ".join(f"{name} {value}" for name, value in report.environment.items()), style="dim"
        )
    )
    console.print(Text(report.verdict, style="bold green" if report.in_parity else "bold red"))


def _fail(message: str, status: int, *, as_json: bool, details: str = "") -> NoReturn:
    """End the command with an error on standard error: one line, as JSON if asked for, then the details."""
    import json

    text = (
        json.dumps({"error": message, "hint": None, "exit": status})
        if as_json
        else f"error: {message}"
    )
    typer.echo(text, err=True)
    if details and not as_json:
        typer.echo(details.rstrip(), err=True)
    raise typer.Exit(status)
