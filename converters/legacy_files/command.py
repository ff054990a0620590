"""The command `torchward export`: from PyTorch back to a Keras file. Thin: it parses, calls, and prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from converters.commands.options import AsJson, Quiet, Rules
from converters.commands.printing import folder_written_to, format_size, print_lines

if TYPE_CHECKING:
    from converters.legacy_files.export import ExportReport

_SHOWN_ARRAYS = 4


def export(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="Converted file, trained on or not: .pth.", show_default=False
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Ends with .h5, .weights.h5 or .keras."),
    ] = None,
    like: Annotated[
        Path | None,
        typer.Option(
            help="The legacy file (or its .pth) that FILE goes back to, where FILE does not say it.",
            show_default=False,
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", "-f", help="Replace an existing output.")
    ] = False,
    rules: Rules = None,
    show_all: Annotated[bool, typer.Option("--all", help="List every array.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Write a converted model back as a Keras file, optimizer included. Needs no TensorFlow.

    Example: torchward export agent.pth -o agent.h5
    """
    from converters.legacy_files.export import export as export_file

    report = export_file(source, output, like=like, force=force, rules=rules or ())
    if as_json:
        print_lines([json.dumps(report.to_data())])
    elif not quiet:
        written = folder_written_to(source, output) / report.output
        print_lines(format_export(report, written=written, show_all=show_all))


def format_export(report: ExportReport, *, written: Path, show_all: bool) -> list[str]:
    """Return the lines that `torchward export` prints; the output by the path that was asked for."""
    keras = f"Keras {report.version}" if report.version else "Keras"
    if not report.format.startswith("keras"):
        keras = "the Ur trainer"
    optimizer = (
        "no optimizer state"
        if report.optimizer is None
        else f"{report.optimizer[0]} state at step {report.optimizer[1]:,}"
    )
    lines = [
        f"{report.source}    goes back to {keras}, {report.format}",
        f"  {report.parameters:,} parameters; {optimizer}",
    ]
    shown = report.arrays if show_all else report.arrays[:_SHOWN_ARRAYS]
    width = max((len(name) for name, _ in shown), default=0)
    lines += [f"  {name:{width}}  {shape}" for name, shape in shown]
    if len(shown) < len(report.arrays):
        lines.append(f"  ... {len(report.arrays) - len(shown)} more, --all shows them")
    lines += [f"  not carried: {name} ({reason})" for name, reason in report.lost]
    lines += [f"note            {note}" for note in report.notes]
    lines.append(
        f"wrote           {written}   {format_size(report.output_size)}   "
        f"sha256 {report.output_sha256[:8]}"
    )
    return lines
