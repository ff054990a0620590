"""Convert a legacy file: read, plan, write, check, report. All outputs appear together or not at all."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from converters.agents.output import agent_extras, check_agent_output
from converters.agents.statements import STATED, with_statements
from converters.checkpoint import Checkpoint
from converters.emit import emit_source
from converters.errors import UnsupportedError, UsageError
from converters.legacy_files.record import make_record
from converters.limits import Limits
from converters.plan import plan_conversion
from converters.plan_options import with_input_layout, without_training
from converters.planned import Plan
from converters.programs import chosen_tensors, with_program
from converters.readers import read_checkpoint
from converters.report import ConversionReport, make_report
from converters.rule_modules import import_rules
from converters.writers.content import Content, OptimizerContent, output_tensor
from converters.writers.output_file import OutputFile, check_outputs
from converters.writers.registry import Writer, find_writer, writer_for

if TYPE_CHECKING:
    from converters.tensorflow_graphs.choose import Names

PathLike = str | os.PathLike[str]
OWN_AGENTS = {
    f"{module}:{name}": name
    for name, own in (("DQNAgent", "dqn"), ("SAC", "sac"), ("TD3", "td3"), ("DDPG", "ddpg"))
    for module in ("torch_impl", f"torch_impl.{own}")
}
"""Names of our own agents for `into`, which takes the agents of libraries too."""
SB3 = "sb3"
OWN = "--into one of our agents"
_OF_WHOLE_MODELS = ("--source-code", "--input-layout", "--inputs", "--outputs")
_OF_FILES_READ_ANEW = ("--architecture", "--format", "--strict", "--rules", "--layer", "--map")
_USELESS = {
    "": ("--map",),
    "--into": (*_OF_WHOLE_MODELS, "--normalizer"),
    OWN: (*_OF_WHOLE_MODELS, *_OF_FILES_READ_ANEW, "--normalizer"),
    "--to": (*_OF_WHOLE_MODELS, *_OF_FILES_READ_ANEW, "--into"),
}
"""Way of converting to the options that say nothing to it."""


def convert(
    source: PathLike,
    destination: PathLike | None = None,
    *,
    architecture: PathLike | None = None,
    source_code: PathLike | None = None,
    format: str | None = None,  # the name of the option
    input_layout: str | None = None,
    force: bool = False,
    strict: bool = False,
    rules: Sequence[str] = (),
    layers: Mapping[str, object] | None = None,
    limits: Limits | None = None,
    into: object = None,
    names: PathLike | Mapping[str, object] | None = None,
    settings: Mapping[str, object] | None = None,
    inputs: Names = None,
    outputs: Names = None,
    normalizer: PathLike | None = None,
    to: str | None = None,
) -> ConversionReport:
    """Convert a legacy model file to PyTorch and return what was done.

    Nothing in the file is run, no other file is opened because of it, and TensorFlow is not needed. Beside
    `destination` a report `<destination>.json` is written, with checksums and the whole mapping.

    Args:
        source: .h5, .weights.h5 or .keras of any Keras generation, recognised by content.
        destination: where to; by default `source` with the suffix of `format`.
        architecture: JSON configuration (`to_json`, `config.json`) for files with weights only.
        source_code: also write the module as readable source to this .py file.
        format: name of an output format (`torchward support`); by default the one `destination` ends with, or "pth".
        input_layout: "nhwc" or "nchw": how images come into the module; by default as in the legacy model.
        force: replace existing outputs.
        strict: refuse arrays with NaN or infinity.
        rules: modules of your own with layer rules, imported by name.
        layers: layers that hold code or are of a class of the user's, by name or class, with your own class or
            function that computes them: {"scale": "my_layers.py:Scale"} (docs/own-module.md).
        limits: bounds on what is read.
        into: your own torch module that the weights go into, or its name: "my_package.my_module:Net", "my_file.py:Net".
            Nothing is guessed; `names` settles what is not certain. The output has no architecture but your module's.
        names: with `into`: table of legacy layer to module (`converters.into.names`), or a TOML file with one; a file
            that does not exist is written for you to edit where something is not certain.
        settings: with `into`: arguments for the class that is named; for an agent of an RL library, what its file does
            not say or says in code: {"activation": "relu"} (docs/rl-libraries.md); for weights with the state of an
            optimizer that they do not name, which it is: {"optimizer": "Ftrl", "beta": 0.1}.
        normalizer: for an agent of stable-baselines, the file of its `VecNormalize`; its statistics go in front.
        to: "sb3": the agent of stable-baselines 2, or its `VecNormalize`, as a file that stable_baselines3 opens, instead of
            a module.
        inputs: of a graph of TensorFlow (.meta, frozen .pb, SavedModel), the tensors that become the arguments of
            `forward`, by TensorFlow's names ("s:0") or a signature's; a mapping gives them other names. By default
            those of the signature, else the placeholders that the outputs need.
        outputs: the same for its results; with names `forward` returns a dict, else a tuple.

    Raises:
        ConversionError: One of its kinds, with the exit code the command ends with. Nothing was written then.
    """
    path, limits, stated = Path(source), limits or Limits(), settings or {}
    normalizer = None if normalizer is None else Path(normalizer)
    if to not in (None, SB3):
        msg = f"'{to:.40}' is no library that agents are written for"
        raise UsageError(msg, hint=f"--to {SB3}")
    agent = to or _own_agent(into, path, limits)
    options: dict[str, object] = {
        "--source-code": source_code,
        "--input-layout": input_layout,
        "--inputs": inputs,
        "--outputs": outputs,
        "--architecture": architecture,
        "--format": format,
        "--strict": strict,
        "--rules": rules,
        "--layer": layers,
        "--map": names,
        "--into": into,
        "--normalizer": normalizer,
    }
    way = "--to" if to else OWN if agent else "--into" if into is not None else ""
    _refuse_useless(way, options)
    if agent is not None:
        checkpoint = read_checkpoint(path, limits=limits)
        checkpoint = with_statements(checkpoint, stated, normalizer=normalizer, limits=limits)
        return _convert_agent(checkpoint, agent, path, destination, force=force)
    writer = (
        writer_for(None if destination is None else Path(destination))
        if format is None
        else find_writer(format)
    )
    target = _destination(path, destination, writer.suffix)
    code = None if source_code is None else Path(source_code)
    check_outputs([target, _report_path(target), *([code] if code else [])], path, force=force)
    import_rules(rules)
    checkpoint = read_checkpoint(
        path,
        architecture=None if architecture is None else Path(architecture),
        limits=limits,
    )
    if layers:
        own_layers = importlib.import_module("converters.live.own_layers")  # only this needs torch
        checkpoint = own_layers.with_own_layers(checkpoint, layers)
    if into is None:
        checkpoint = with_statements(checkpoint, stated, normalizer=normalizer, limits=limits)
        checkpoint = with_program(checkpoint, inputs, outputs)
        plan, facts = _plan_whole(checkpoint, writer, code=code, input_layout=input_layout)
        noted = {STATED: dict(stated)} if stated else {}
        facts = {**facts, **chosen_tensors(inputs, outputs), **noted}
    else:
        plan, facts = _plan_into(checkpoint, into, names, stated), {}
    not_finite: dict[str, None] = {}
    report = partial(_report, checkpoint, plan, writer.format, not_finite)
    content = make_content(plan, lambda: {**report().metadata(), **facts}, not_finite)
    is_agent_alone = plan.agent is not None and not plan.architecture.steps
    if into is not None or is_agent_alone:
        content = replace(content, architecture=None)  # the module is not made from one
    text = None
    if code is not None:
        origin = f"{checkpoint.provenance.file} (sha256 {checkpoint.provenance.sha256[:8]})"
        text = emit_source(plan.architecture, origin=origin, weights=target.name)
    return _write(target, writer, content, report, code=code, text=text, strict=strict)


def _report(
    checkpoint: Checkpoint, plan: Plan, format: str, not_finite: Mapping[str, None]
) -> ConversionReport:
    """Return the report, which knows of NaN and infinity what has been met so far."""
    report = make_report(checkpoint, plan, format=format)
    if not not_finite:
        return report
    warning = f"{_not_finite_text(not_finite)}; --strict refuses them"
    return replace(report, warnings=(*report.warnings, warning))


def _write(
    target: Path,
    writer: Writer,
    content: Content,
    make: Callable[[], ConversionReport],
    *,
    code: Path | None,
    text: str | None,
    strict: bool,
) -> ConversionReport:
    """Write the module, its source `text` at `code` if there is one, and the report: all of them, or nothing."""
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(OutputFile(target))
        writer.write(output, content)
        output.finish()
        if strict and content.not_finite:
            msg = _not_finite_text(content.not_finite)
            raise UnsupportedError(msg, hint="convert without --strict to keep them")
        files = [output]
        report = make().with_output(target.name, output.sha256, output.size)
        if code is not None and text is not None:
            files.append(stack.enter_context(OutputFile(code)).with_text(text))
            report = report.with_source_code(code.name)
        beside = OutputFile(_report_path(target))
        files.append(stack.enter_context(beside).with_text(report.to_text()))
        for file in files:
            file.commit()
    return report


def _report_path(target: Path) -> Path:
    return target.with_name(f"{target.name}.json")


def _own_agent(into: object, source: Path, limits: Limits) -> str | None:
    """Return which of our agents is meant, if `into` names one and the file is an agent of an RL library."""
    kind = OWN_AGENTS.get(into) if isinstance(into, str) else None
    if kind is None or not source.is_file():
        return None
    return None if read_checkpoint(source, limits=limits).agent is None else kind


def _refuse_useless(way: str, options: Mapping[str, object]) -> None:
    """Raise UsageError for options that would be passed over."""
    useless = [name for name in _USELESS[way] if options[name]]
    if useless:
        msg = (
            f"{', '.join(useless)}: without a meaning {f'with {way}' if way else 'without --into'}"
        )
        raise UsageError(msg, hint="leave it out")


def _convert_agent(
    checkpoint: Checkpoint, kind: str, source: Path, destination: PathLike | None, *, force: bool
) -> ConversionReport:
    """Write an agent as a file of another library, or as one of our own. Only this needs that library, and torch."""
    report: ConversionReport
    if kind == SB3:
        library = importlib.import_module("converters.stable_baselines3.convert")
        target = _destination(source, destination, library.suffix_of(checkpoint))
        report = library.convert_to_sb3(checkpoint, source, target, force=force)
    else:
        own_agents = importlib.import_module("converters.into.library_agents")
        target = _destination(source, destination, ".pth")
        report = own_agents.convert_into_agent(checkpoint, source, target, kind=kind, force=force)
    return report


def _plan_whole(
    checkpoint: Checkpoint, writer: Writer, *, code: Path | None, input_layout: str | None
) -> tuple[Plan, Mapping[str, object]]:
    """Return the plan for a network or an agent, and what is written beside it for the way back or for `load`."""
    plan = plan_conversion(checkpoint)
    if plan.agent is not None:
        check_agent_output(checkpoint, writer.format, source_code=code, layout=input_layout)
        facts: dict[str, object] = {"agent": dict(plan.agent.settings)}
    else:
        record = make_record(checkpoint, plan)
        facts = {} if record is None else {"legacy": record.to_data()}
    if input_layout is not None:
        plan = with_input_layout(plan, input_layout)
    if not writer.trains:
        plan = without_training(plan, writer.format)
    return plan, facts


def _plan_into(
    checkpoint: Checkpoint,
    into: object,
    names: PathLike | Mapping[str, object] | None,
    settings: Mapping[str, object],
) -> Plan:
    """Return the plan for the user's own module. Only this needs torch, so it is not imported with the rest."""
    prepare = importlib.import_module("converters.into.prepare")
    table = names if names is None or isinstance(names, Mapping) else Path(names)
    plan: Plan = prepare.plan_user_module(checkpoint, into, table, settings)
    return plan


def make_content(
    plan: Plan, metadata: Callable[[], Mapping[str, object]], not_finite: dict[str, None]
) -> Content:
    """Return what the writers write: tensors that are still to be read, and the plain data beside them.

    `not_finite` gets the names of the arrays in which NaN or infinity is met while they are written.
    """
    optimizer = None
    if plan.optimizer is not None:
        group = {
            **plan.optimizer.read_arguments(),
            **plan.optimizer.read_numbers(),
            "iterations": plan.optimizer.read_iterations(),
        }
        state = [
            {slot: output_tensor(move, not_finite) for slot, move in slots.items()}
            for slots in plan.slots
        ]
        optimizer = OptimizerContent(group, state, plan.optimizer.read_groups())
    return Content(
        tensors=[output_tensor(move, not_finite) for move in plan.moves],
        optimizer=optimizer,
        architecture=plan.architecture.to_data(),
        metadata=metadata,
        extras={} if plan.agent is None else agent_extras(plan.agent, not_finite),
        not_finite=not_finite,
    )


def _not_finite_text(names: Mapping[str, None]) -> str:
    bad = list(names)
    return f"arrays with NaN or infinity: {', '.join(bad[:5])}{' ...' if len(bad) > 5 else ''}"


def _destination(source: Path, destination: PathLike | None, suffix: str) -> Path:
    if destination is None:
        # A folder, or a prefix like ckpt-1.5, has no suffix of its own.
        return source.with_name(f"{source.stem if source.is_file() else source.name}{suffix}")
    target = Path(destination)
    return target / f"{source.stem}{suffix}" if target.is_dir() else target
