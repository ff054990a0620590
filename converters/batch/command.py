"""`torchward convert FOLDER`: what it prints and the exit code it ends with."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import typer

from converters.batch.folder import AGENT_SUFFIX, SHARDS_SUFFIX, SUFFIXES, Batch, convert_folder
from converters.batch.worker import Outcome
from converters.commands.printing import print_lines
from converters.errors import OutputError
from converters.writers.registry import find_writer

EXIT_SOME_FAILED = 3


def parse_jobs(jobs: str | None) -> int | None:
    """Return the number of processes; None for "auto". Raises typer.BadParameter."""
    if jobs is None or jobs == "auto":
        return None
    if not jobs.isdecimal() or int(jobs) < 1:
        msg = f"--jobs takes a number of processes or auto, not '{jobs}'"
        raise typer.BadParameter(msg)
    return int(jobs)


def convert_batch(
    source: Path,
    output: Path | None,
    *,
    options: Mapping[str, object],
    format: str,
    jobs: int | None,
    force: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Convert a folder and print what became of it.

    Raises:
        OutputError: No folder to write to is given.
        typer.Exit: With code 3, if a file was not converted.
    """
    if output is None or output.is_file():
        msg = f"{source} is a folder; its results need a folder, too"
        raise OutputError(
            msg, hint=f"torchward convert {shlex.quote(str(source))} -o OUTPUT_FOLDER"
        )
    started = time.perf_counter()
    batch = convert_folder(
        source,
        output,
        options=options,
        writer=find_writer(format),
        jobs=jobs,
        force=force,
        progress=None if quiet or as_json else _progress(),
    )
    if as_json:
        print_lines([json.dumps(to_data(batch))])
    elif not quiet:
        print_lines(format_batch(batch, source, time.perf_counter() - started))
    if batch.failed:
        raise typer.Exit(EXIT_SOME_FAILED)


def to_data(batch: Batch) -> dict[str, object]:
    """Return the result as plain data."""
    return {
        "files": len(batch.outcomes),
        "converted": len(batch.outcomes) - len(batch.failed),
        "of_them_before": len(batch.skipped),
        "failed": [
            {"file": name, "error": outcome.error, "hint": outcome.hint or None}
            for name, outcome in batch.failed
        ],
        "manifest": str(batch.manifest),
    }


def format_batch(batch: Batch, source: Path, seconds: float) -> list[str]:
    """Return the lines that are printed when all is done."""
    names = list(batch.outcomes)
    kinds = Counter(_kind(source, name) for name in names)
    counted = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    failed = batch.failed
    files = "legacy file" if len(names) == 1 else "legacy files"
    lines = [f"found {len(names)} {files} in {source} ({counted})"]
    if batch.skipped:
        lines.append(f"{len(batch.skipped)} were converted before and have not changed")
    new = len(names) - len(failed) - len(batch.skipped)
    lines.append(f"{new} converted, {len(failed)} failed   {seconds:.1f} s")
    lines += _failures(failed)
    again = "" if not failed else "   (run the same command again: only what failed is tried again)"
    lines.append(f"manifest  {batch.manifest}{again}")
    return lines


def _kind(source: Path, name: str) -> str:
    suffix = SHARDS_SUFFIX if name.endswith(SHARDS_SUFFIX) else Path(name).suffix
    if suffix in (*SUFFIXES, AGENT_SUFFIX, SHARDS_SUFFIX):
        return suffix
    return "HDF5 by another name" if (source / name).is_file() else "of TensorFlow"


def _failures(failed: Sequence[tuple[str, Outcome]]) -> list[str]:
    """Return a line for every file with its error, and more where it has several; a hint only once."""
    width = max((len(name) for name, _ in failed), default=0)
    lines, given = [], set()
    for name, outcome in failed:
        first, *further = (line.strip() for line in outcome.error.splitlines())
        hint = f"hint: {outcome.hint}" if outcome.hint and outcome.hint not in given else ""
        given.add(outcome.hint)
        if further:  # with its own file the error has a line of its own for each of its problems
            lines.append(f"  {name:{width}}  {first}")
            lines += [f"  {'':{width}}    {line}" for line in (*further, hint) if line]
        else:
            lines.append(f"  {name:{width}}  {first}{'  ' if hint else ''}{hint}")
    return lines


def _progress() -> Callable[[int, int], None] | None:
    """Return what shows progress on a terminal; nothing off one."""
    if not sys.stderr.isatty():
        return None
    started = time.perf_counter()

    def show(done: int, count: int) -> None:
        rate = done / max(1e-9, time.perf_counter() - started)
        end = "\n" if done == count else ""
        sys.stderr.write(f"\rconverting  {done:,} of {count:,}   {rate:.0f} files/s{end}")
        sys.stderr.flush()

    return show
