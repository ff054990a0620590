"""The commands on legacy files: inspect, convert, verify, support. Thin: they parse, call, and print."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from converters.limits import MAX_ARRAY_BYTES, Limits
from converters.readers.hdf5.processes import start_ahead

if TYPE_CHECKING:
    from converters.report import ConversionReport
    from converters.verify import VerificationReport

Source = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        help="Legacy file: a model or weights of Keras, a SavedModel folder, a checkpoint or graph of TensorFlow, an agent.",
        show_default=False,
    ),
]
Architecture = Annotated[
    Path | None,
    typer.Option(
        help="Model configuration (JSON) for files with weights only.", show_default=False
    ),
]
Rules = Annotated[
    list[str] | None,
    typer.Option(help="Module of your own with layer rules; may be repeated.", show_default=False),
]
OwnLayers = Annotated[
    list[str] | None,
    typer.Option(
        "--layer",
        help="NAME=my_layers.py:Scale, may be repeated: your own module or function for a layer that holds code.",
        show_default=False,
    ),
]
Normalizer = Annotated[
    Path | None,
    typer.Option(help="File of VecNormalize that goes before an agent.", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]

CHECKPOINT_MARKS = ("saved_model.pb", "checkpoint")
"""Files that make a folder one legacy checkpoint."""
_SHOWN_TENSORS = 4
_KILO = 1000


def inspect(source: Source, architecture: Architecture = None, as_json: AsJson = False) -> None:
    """Show what is in a legacy file and whether it converts. Needs no framework.

    Example: torchward inspect agent.h5
    """
    _start_ahead_of_imports(source)
    from converters.inspection import inspect as inspect_file
    from converters.inspection_text import format_inspection

    found = inspect_file(source, architecture=architecture)
    print_lines([json.dumps(found.to_data())] if as_json else format_inspection(found))


def convert(
    source: Source,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File or folder to write to.")
    ] = None,
    source_code: Annotated[
        Path | None, typer.Option(help="Also write the module as readable source to this .py file.")
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(
            help="Output format, as in `torchward support`; by default what -o ends with."
        ),
    ] = None,
    input_layout: Annotated[
        str | None,
        typer.Option(
            help="How images come into the module: nhwc or nchw; by default as in the legacy model."
        ),
    ] = None,
    architecture: Architecture = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Replace existing outputs.")] = False,
    strict: Annotated[bool, typer.Option(help="Refuse arrays with NaN or infinity.")] = False,
    max_size: Annotated[
        int, typer.Option(help="Largest single array in bytes, once decompressed.", min=1)
    ] = MAX_ARRAY_BYTES,
    rules: Rules = None,
    layer: OwnLayers = None,
    into: Annotated[
        str | None,
        typer.Option(
            help="Your own module that the weights go into: my_module:Net or my_file.py:Net.",
            show_default=False,
        ),
    ] = None,
    map: Annotated[
        Path | None,
        typer.Option(help="TOML table for --into: legacy layer = module.", show_default=False),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="name=value, may be repeated: argument for --into, or what an RL library's file does not say.",
        ),
    ] = None,
    normalizer: Normalizer = None,
    to: Annotated[
        str | None,
        typer.Option(
            help="sb3: an agent of stable-baselines 2 as a file of stable_baselines3.",
            show_default=False,
        ),
    ] = None,
    inputs: Annotated[
        str | None,
        typer.Option(
            help="Of a TensorFlow graph: tensors that go in, s:0,a:0 or name=s:0.",
            show_default=False,
        ),
    ] = None,
    outputs: Annotated[
        str | None,
        typer.Option(
            help="Of a TensorFlow graph: tensors that come out, action=actor/mul:0,q=critic/q:0.",
            show_default=False,
        ),
    ] = None,
    jobs: Annotated[
        str | None,
        typer.Option(help="For a folder: processes at a time, or auto.", show_default=False),
    ] = None,
    show_all: Annotated[bool, typer.Option("--all", help="List every tensor.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Convert a legacy file, or every one in a folder, to PyTorch. Needs no TensorFlow and runs nothing from a file.

    Example: torchward convert agent.h5 -o agent.pth --source-code model.py

    Example: torchward convert runs/ -o torch/ --jobs auto
    """
    if source.is_dir() and _is_batch(source, jobs):
        from converters.batch.command import convert_batch, parse_jobs

        if source_code is not None or into is not None or map is not None or settings:
            msg = f"{source} is a folder; --source-code, --into, --map and --set are for one file"
            raise typer.BadParameter(msg)
        convert_batch(
            source,
            output,
            options={
                "architecture": None if architecture is None else str(architecture),
                "strict": strict,
                "input_layout": input_layout,
                "max_size": max_size,
                "rules": list(rules or ()),
                "layers": parse_layers(layer or ()),
            },
            format=format or "pth",
            jobs=parse_jobs(jobs),
            force=force,
            as_json=as_json,
            quiet=quiet,
        )
        return

    started = time.perf_counter()
    _start_ahead_of_imports(source)
    from converters.convert import convert as convert_file

    report = convert_file(
        source,
        output,
        architecture=architecture,
        source_code=source_code,
        format=format,
        input_layout=input_layout,
        force=force,
        strict=strict,
        rules=rules or (),
        layers=parse_layers(layer or ()),
        limits=Limits(max_array_bytes=max_size),
        into=into,
        names=map,
        settings=parse_settings(settings or ()),
        inputs=parse_tensors("--inputs", inputs),
        outputs=parse_tensors("--outputs", outputs),
        normalizer=normalizer,
        to=to,
    )
    if as_json:
        print_lines([json.dumps(report.to_data())])
    elif not quiet:
        print_lines(format_conversion(report, time.perf_counter() - started, show_all=show_all))
        written = _beside(source, output) / report.output
        given = [f" --architecture {architecture}"] if architecture else []
        given += [f" --layer {each}" for each in layer or ()]
        print_lines(_next_step(report, source, written, given, own_module=into is not None))


def _start_ahead_of_imports(source: Path) -> None:
    """Let start what the command will wait for, before its imports take their time."""
    # numpy would start a thread a core for matrix products, which reading and writing have none of.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    start_ahead(source)


def _next_step(
    report: ConversionReport,
    source: Path,
    written: Path,
    given: Sequence[str],
    *,
    own_module: bool,
) -> list[str]:
    """Return the line that says what to do with the converted file, if there is something."""
    from converters.writers.registry import find_writer

    if report.agent is None and not find_writer(report.format).trains:
        return []  # nothing that `verify` reads
    if report.agent is not None:
        step = f'{report.agent["loader"]}.load("{written}")'
    elif own_module:
        step = (
            f'net.load_state_dict(torch.load("{written}", weights_only=True)["model_state_dict"])'
        )
    else:
        step = f"torchward verify {source} {written}{''.join(given)}"
    return [f"next            {step}"]


def verify(
    source: Source,
    converted: Annotated[
        Path, typer.Argument(metavar="CONVERTED", help="The converted file.", show_default=False)
    ],
    expected: Annotated[
        Path | None,
        typer.Option(
            help="Recorded arrays (.npz) of the original: inputs x0, ... and outputs y0, ...",
            show_default=False,
        ),
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(help="Largest relative difference of outputs.", show_default=False),
    ] = None,
    architecture: Architecture = None,
    normalizer: Normalizer = None,
    rules: Rules = None,
    layer: OwnLayers = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Check a converted file against its source, and against recorded outputs of the original.

    Example: torchward verify agent.h5 agent.pth --expected expected.npz
    """
    start_ahead(source)
    from converters.errors import VerificationError
    from converters.verify import verify as verify_file

    report = verify_file(
        source,
        converted,
        expected=expected,
        architecture=architecture,
        tolerance=tolerance,
        rules=rules or (),
        layers=parse_layers(layer or ()),
        normalizer=normalizer,
    )
    if as_json:
        print_lines([json.dumps(report.to_data())])
    elif not quiet:
        print_lines(format_verification(report))
    if not report.passed:
        failed = ", ".join(
            f"{check.name}: {check.problem}" for check in report.checks if not check.passed
        )
        raise VerificationError(f"{report.converted} is not {report.source}: {failed}")  # noqa: EM102


def support(
    what: Annotated[
        str | None,
        typer.Argument(
            help="layers, operations, optimizers, losses, formats, ...; by default all."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List what converts, from the registries, and the layers that do not, with the reason.

    Example: torchward support layers
    """
    from converters.refusals import REFUSED
    from converters.support import SECTIONS, supported

    if what is not None and what not in SECTIONS:
        msg = f"nothing is listed under '{what}'; one of: {', '.join(SECTIONS)}"
        raise typer.BadParameter(msg)
    table = supported() if what is None else {what: supported()[what]}
    if as_json:
        print_lines([json.dumps(table)])
        return
    for name, entries in table.items():
        print_lines([f"{name} ({len(entries)})", *(f"  {entry}" for entry in entries)])
        if name == "layers":
            reasons = [f"  {layer}: {reason}" for layer, reason in sorted(REFUSED.items())]
            print_lines([f"layers that are not converted ({len(reasons)})", *reasons])


def format_conversion(report: ConversionReport, seconds: float, *, show_all: bool) -> list[str]:
    """Return the lines that `torchward convert` prints."""
    source = report.input
    kinds = ", ".join(f"{count} {name}" for name, count in report.layers.items())
    kinds = f"{kinds}; " if kinds else ""
    lines = [
        f"{source['file']}    {source['producer'] or 'Keras'}, {source['format']}, {format_size(int(str(source['size'])))}",
        f"  {kinds}{report.parameters:,} parameters, {report.dtype}{_optimizer_state(report)}",
    ]
    shown = report.tensors if show_all else report.tensors[:_SHOWN_TENSORS]
    width = max((len(tensor.source) for tensor in shown), default=0)
    shapes = max((len(format_shape(tensor.source_shape)) for tensor in shown), default=0)
    target = max((len(tensor.target) for tensor in shown), default=0)
    lines += [
        f"  {tensor.source:{width}}  {format_shape(tensor.source_shape):{shapes}}  ->  "
        f"{tensor.target:{target}}  {format_shape(tensor.target_shape):{shapes}}  {tensor.action}"
        for tensor in shown
    ]
    if len(shown) < len(report.tensors):
        lines.append(f"  ... {len(report.tensors) - len(shown)} more, --all shows them")
    lines += [
        f"  not converted: {name} ({reason})"
        for name, reason in report.ignored[: None if show_all else 3]
    ]
    if not show_all and len(report.ignored) > 3:
        lines.append(f"  not converted: {len(report.ignored) - 3} more, --all shows them")
    lines += [f"  {line}" for line in _optimizer_options(report)]
    lines += [f"note            {note}" for note in report.notes]
    lines += [f"warning         {warning}" for warning in report.warnings]
    lines.append(
        f"wrote           {report.output}   {format_size(report.output_size)}   "
        f"sha256 {report.output_sha256[:8]}   {seconds:.2f} s"
    )
    if report.source_code:
        lines.append(f"                {report.source_code}   the module as source, torch only")
    return lines


def _optimizer_state(report: ConversionReport) -> str:
    if report.agent is not None:
        return f"; agent {report.agent['class']}, optimizers: {report.agent['optimizers']}"
    if report.optimizer is None:
        return "; no optimizer state"
    iterations = report.optimizer["iterations"]
    name = str(report.optimizer["class"]).rsplit(".", 1)[-1]
    return f"; {name} state" + (f" at step {iterations:,}" if isinstance(iterations, int) else "")


def _optimizer_options(report: ConversionReport) -> list[str]:
    """Return one line with the numbers that training goes on with, in Keras's words and rounding."""
    options = report.optimizer["options"] if report.optimizer else None
    if not isinstance(options, dict) or report.optimizer is None:
        return []
    numbers = [
        f"{name} {value:g}"
        for name, value in options.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    ]
    name = str(report.optimizer["class"]).rsplit(".", 1)[-1]
    return [f"{name}: {', '.join(numbers)}  (as stored; Keras's formula, docs/numerics.md)"]


def format_verification(report: VerificationReport) -> list[str]:
    """Return the lines that `torchward verify` prints."""
    lines = []
    for check in report.checks:
        figures = (
            ""
            if check.tolerance == 0
            else f"max rel {check.worst:.1e}   tolerance {check.tolerance:.0e}"
        )
        verdict = "-" if check.skipped else "ok" if check.passed else f"FAIL  {check.problem}"
        lines.append(f"{check.name:18}  {check.compared:34}  {figures:36}  {verdict}")
    lines.append("PASS   the two files hold the same model" if report.passed else "FAIL")
    return lines


def format_size(count: int) -> str:
    """Return bytes as people read them: 840 bytes, 52 KB, 1.2 MB (powers of 1000)."""
    if count < _KILO:
        return f"{count} bytes"
    size, units = float(count), iter(["KB", "MB", "GB", "TB"])
    unit = ""
    while size >= _KILO:
        size, unit = size / _KILO, next(units)
    return f"{size:.0f} {unit}" if unit == "KB" else f"{size:.1f} {unit}"


def _is_batch(source: Path, jobs: str | None) -> bool:
    """Return whether a folder holds legacy files, and is not one checkpoint itself."""
    return jobs is not None or not any((source / mark).exists() for mark in CHECKPOINT_MARKS)


def parse_settings(settings: Sequence[str]) -> dict[str, object]:
    """Return arguments from "name=value": numbers, true and false, quoted text and lists as JSON, else text.

    Raises:
        typer.BadParameter: One has no "=".
    """
    result: dict[str, object] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name.isidentifier():
            msg = f"--set takes name=value, not '{setting}'"
            raise typer.BadParameter(msg)
        try:
            result[name] = json.loads(value)
        except json.JSONDecodeError:
            result[name] = value
    return result


def parse_layers(layers: Sequence[str]) -> dict[str, str]:
    """Return places of classes and functions by layer name from "scale=my_layers.py:Scale".

    Raises:
        typer.BadParameter: One has no "=".
    """
    found = {}
    for given in layers:
        name, equals, place = given.rpartition("=")
        if not equals or not name:
            msg = f"--layer takes NAME=my_layers.py:Class, not '{given}'"
            raise typer.BadParameter(msg)
        found[name] = place
    return found


def parse_tensors(option: str, text: str | None) -> list[str] | dict[str, str] | None:
    """Return tensors from "s:0,a:0", or with names from "action=actor/mul:0,q=critic/q:0".

    Raises:
        typer.BadParameter: Some have names and some have not, or one is empty.
    """
    if text is None:
        return None
    pairs = [part.strip().rpartition("=") for part in text.split(",")]
    names = [name for name, equals, _ in pairs if equals]
    if not all(tensor for _, _, tensor in pairs) or len(names) not in (0, len(pairs)):
        msg = (
            f"{option} takes tensors, s:0,a:0, or all of them with names, action=mu:0; not '{text}'"
        )
        raise typer.BadParameter(msg)
    return {name: tensor for name, _, tensor in pairs} if names else [each for _, _, each in pairs]


def _beside(source: Path, output: Path | None) -> Path:
    """Return the folder that the output went to."""
    if output is None:
        return source.parent
    return output if output.is_dir() else output.parent


def format_shape(shape: Sequence[int | None] | None) -> str:
    """Return a shape as text, its first axis as the batch where it is free."""
    if shape is None:
        return "(unknown)"
    sizes = [
        "batch" if index == 0 and size is None else str(size) for index, size in enumerate(shape)
    ]
    return f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"


def print_lines(lines: Iterable[str]) -> None:
    """Write to standard output; names from files may hold control characters, which must not move the cursor."""
    for line in lines:
        safe = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
        sys.stdout.write(f"{safe}\n")
