"""The commands on legacy files: inspect, convert, verify, support. Thin: they parse, call, and print."""

from __future__ import annotations

import json
import math
import os
import time
from pathlib import Path
from typing import Annotated

import typer

from converters.commands.conversion_text import (
    format_conversion,
    format_next_step,
    format_verification,
)
from converters.commands.options import (
    Architecture,
    AsJson,
    Normalizer,
    OwnLayers,
    Quiet,
    Rules,
    Source,
    parse_layers,
    parse_settings,
    parse_shapes,
    parse_tensors,
)
from converters.commands.printing import folder_written_to, print_lines
from converters.limits import MAX_ARRAY_BYTES, Limits

CHECKPOINT_MARKS = ("saved_model.pb", "checkpoint")
"""Files that make a folder one legacy checkpoint."""


def inspect(source: Source, architecture: Architecture = None, as_json: AsJson = False) -> None:
    """Show what is in a legacy file and whether it converts. Needs no framework.

    Example: torchward inspect agent.h5
    """
    _without_threads()
    from converters.commands.inspection_text import format_inspection
    from converters.inspection import inspect as inspect_file

    found = inspect_file(source, architecture=architecture)
    given = [f"--architecture={architecture}"] if architecture else []
    lines = (
        [json.dumps(found.to_data())]
        if as_json
        else format_inspection(found, [str(source), *given])
    )
    print_lines(lines)


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
            help="name=value, may be repeated: argument for --into, or what a file does not say: an agent's setting, "
            "optimizer=Ftrl.",
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

        of_one_file = {
            "--source-code": source_code,
            "--into": into,
            "--map": map,
            "--set": settings,
            "--normalizer": normalizer,
            "--to": to,
            "--inputs": inputs,
            "--outputs": outputs,
        }
        given = [name for name, value in of_one_file.items() if value]
        if given:
            msg = f"{source} is a folder; {', '.join(given)}: only for one file"
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

    if jobs is not None:
        msg = f"--jobs is for a folder; {source} is none"
        raise typer.BadParameter(msg)
    started = time.perf_counter()
    _without_threads()
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
        written = folder_written_to(source, output) / report.output
        seconds = time.perf_counter() - started
        print_lines(
            format_conversion(
                report, seconds, written=written, source_code=source_code, show_all=show_all
            )
        )
        given = [f"--architecture={architecture}"] if architecture else []
        given += [f"--normalizer={normalizer}"] if normalizer else []
        given += [f"--layer={each}" for each in layer or ()]
        given += [f"--rules={each}" for each in rules or ()]
        print_lines(format_next_step(report, source, written, given, own_module=into is not None))


def _without_threads() -> None:
    """Keep numpy from starting a thread a core for matrix products, which reading and writing have none of."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def verify(
    source: Source,
    converted: Annotated[
        Path,
        typer.Argument(
            metavar="CONVERTED",
            help="The converted file; or a module of your own, my_file.py:Net or my_package.my_module:Net, whose code "
            "is run then.",
            show_default=False,
        ),
    ],
    weights: Annotated[
        Path | None,
        typer.Option(
            help="State dict for your own module, .pth or .safetensors; by default the legacy file's arrays.",
            show_default=False,
        ),
    ] = None,
    map: Annotated[
        Path | None,
        typer.Option(
            help="TOML table for your own module: legacy layer = module.", show_default=False
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="name=value, may be repeated: argument for your own module."),
    ] = None,
    observation: Annotated[
        list[str] | None,
        typer.Option(
            "--obs",
            metavar="SHAPE",
            help="Shape of one observation for your own module, 12 or 84,84,4, where the file leaves it open; once an "
            "input.",
            show_default=False,
        ),
    ] = None,
    expected: Annotated[
        Path | None,
        typer.Option(
            help="Recorded arrays (.npz) of the original: inputs x0, ... and outputs y0, ...",
            show_default=False,
        ),
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(help="Largest relative difference of outputs.", min=0.0, show_default=False),
    ] = None,
    architecture: Architecture = None,
    normalizer: Normalizer = None,
    rules: Rules = None,
    layer: OwnLayers = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Check a converted file against its source, and recorded outputs; or a module that you wrote yourself.

    A module of your own is compared in outputs, gradients and updates with what the file holds. Its code is run,
    because you name it; nothing in the legacy file is.

    Example: torchward verify agent.h5 agent.pth --expected expected.npz

    Example: torchward verify actor.h5 actor.py:Actor --weights actor.pth --obs 12
    """
    from converters.errors import VerificationError
    from converters.verify import names_module
    from converters.verify import verify as verify_file

    if (weights or map or settings or observation) and not names_module(converted):
        msg = f"--weights, --map, --set and --obs are for a module of your own, my_file.py:Net, not for {converted}"
        raise typer.BadParameter(msg)
    if tolerance is not None and not math.isfinite(tolerance):
        msg = f"--tolerance takes a number such as 1e-5, not {tolerance}"
        raise typer.BadParameter(msg)

    report = verify_file(
        source,
        converted,
        expected=expected,
        architecture=architecture,
        tolerance=tolerance,
        rules=rules or (),
        layers=parse_layers(layer or ()),
        normalizer=normalizer,
        weights=weights,
        names=map,
        settings=parse_settings(settings or ()),
        observations=parse_shapes(observation or ()),
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
    """List what converts, and the layers that do not with the reason.

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


def _is_batch(source: Path, jobs: str | None) -> bool:
    """Return whether a folder holds legacy files, and is not one checkpoint itself."""
    return jobs is not None or not any((source / mark).exists() for mark in CHECKPOINT_MARKS)
