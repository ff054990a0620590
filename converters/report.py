"""The report of a conversion: plain data for the sidecar file, the .pth metadata, `--json` and the terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from converters.checkpoint import Checkpoint
from converters.matching.model_weights import leaves
from converters.moves import Move
from converters.planned import Plan

REPORT_VERSION = 1


@cache
def installed_version() -> str:
    """Return torchward's version, or "unknown" when it runs from a folder that was never installed."""
    try:
        return version("torchward")
    except PackageNotFoundError:
        return "unknown"


@dataclass(frozen=True, slots=True)
class MovedTensor:
    """One line of the mapping."""

    source: str
    source_shape: tuple[int, ...]
    target: str
    target_shape: tuple[int, ...]
    layout: str

    @property
    def action(self) -> str:
        """What happened to the values: "transposed", "rearranged" or "as it is"."""
        left, _, right = self.layout.partition(" -> ")
        if left == right:
            return "as it is"
        both = len(self.source_shape) == len(self.target_shape) == 2
        return "transposed" if both else "rearranged"


@dataclass(frozen=True, slots=True)
class ConversionReport:
    """What was read, what became of it, and what was left out.

    Attributes:
        input: provenance of the source as plain data.
        layers: class name and count of each kind of layer.
        parameters: number of parameters and buffers.
        optimizer: class, hyper-parameters and iterations; None: the file has no optimizer state.
        ignored: array and reason.
        input_layout: "nhwc" or "nchw": how images come into the module; None: it takes none.
        agent: class, optimizers and loader of a whole agent; None: the file is one network.
        output: file name of the result.
    """

    input: Mapping[str, object]
    layers: Mapping[str, int]
    parameters: int
    dtype: str
    tensors: tuple[MovedTensor, ...]
    optimizer: Mapping[str, object] | None
    training: Mapping[str, object] | None
    ignored: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    format: str
    output: str = ""
    output_sha256: str = ""
    output_size: int = 0
    source_code: str | None = None
    input_layout: str | None = None
    agent: Mapping[str, str] | None = None
    torchward_version: str = field(default_factory=installed_version)

    def with_output(self, name: str, sha256: str, size: int) -> ConversionReport:
        """Return the report with what was written."""
        return replace(self, output=name, output_sha256=sha256, output_size=size)

    def with_source_code(self, name: str) -> ConversionReport:
        """Return the report with the name of the emitted source."""
        return replace(self, source_code=name)

    def metadata(self) -> dict[str, object]:
        """Return what is stored inside the converted file: everything but the file's own checksum."""
        data = self.to_data()
        del data["output"]
        return data

    def to_data(self) -> dict[str, object]:
        """Return plain data; equal inputs and options give equal data."""
        return {
            "report_version": REPORT_VERSION,
            "torchward_version": self.torchward_version,
            "input": dict(self.input),
            "output": {
                "file": self.output,
                "format": self.format,
                "sha256": self.output_sha256,
                "size": self.output_size,
                "source_code": self.source_code,
            },
            "layers": dict(self.layers),
            "parameters": self.parameters,
            "dtype": self.dtype,
            "input_layout": self.input_layout,
            **({} if self.agent is None else {"agent_summary": dict(self.agent)}),
            "tensors": [
                {
                    "source": tensor.source,
                    "source_shape": list(tensor.source_shape),
                    "target": tensor.target,
                    "target_shape": list(tensor.target_shape),
                    "layout": tensor.layout,
                }
                for tensor in self.tensors
            ],
            "optimizer": None if self.optimizer is None else dict(self.optimizer),
            "training": None if self.training is None else dict(self.training),
            "ignored": [list(item) for item in self.ignored],
            "notes": list(self.notes),
            "warnings": list(self.warnings),
        }

    def to_text(self) -> str:
        """Return the text of the sidecar file."""
        return json.dumps(self.to_data(), indent=1, sort_keys=True, ensure_ascii=True) + "\n"


def make_report(checkpoint: Checkpoint, plan: Plan, *, format: str) -> ConversionReport:
    """Return the report of a plan, before anything is written."""
    kinds: dict[str, int] = {}
    if checkpoint.graph is not None:
        for _, layer in leaves(checkpoint.graph):
            if layer.class_name != "InputLayer":
                kinds[layer.class_name] = kinds.get(layer.class_name, 0) + 1
    source = checkpoint.provenance
    return ConversionReport(
        input={
            "file": source.file,
            "sha256": source.sha256,
            "size": source.size,
            "format": source.format,
            "producer": source.producer,
            "generation": source.generation,
            "details": dict(source.details),
        },
        layers=kinds,
        parameters=sum(_count(move) for move in plan.moves),
        dtype=plan.architecture.dtype,
        tensors=tuple(_moved(move) for move in plan.moves),
        optimizer=_optimizer(plan),
        training=_plain_training(checkpoint),
        ignored=plan.ignored,
        notes=plan.notes,
        warnings=plan.assumed,
        format=format,
        input_layout=plan.input_layout,
        agent=None if plan.agent is None else plan.agent.summary(),
    )


def _count(move: Move) -> int:
    count = 1
    for size in move.source.shape:
        count *= size
    return count


def _moved(move: Move) -> MovedTensor:
    return MovedTensor(
        move.source.name, move.source.shape, move.target, move.shape, str(move.layout)
    )


def _optimizer(plan: Plan) -> Mapping[str, object] | None:
    if plan.optimizer is None:
        return None
    return {
        "class": plan.optimizer.target,
        "iterations": plan.optimizer.read_iterations(),
        "options": plan.optimizer.read_arguments(),
        "parameters": list(plan.parameters),
    }


def _plain_training(checkpoint: Checkpoint) -> Mapping[str, object] | None:
    training = checkpoint.training
    if training is None:
        return None
    kept = {
        key: training[key]
        for key in ("loss", "metrics", "weighted_metrics", "loss_weights")
        if training.get(key) is not None
    }
    graph = checkpoint.graph
    by_name = any(
        isinstance(value, Mapping) and "class_name" not in value for value in kept.values()
    )
    if kept and graph is not None and (by_name or len(graph.outputs) > 1):
        # Losses may be given by these names, those of a single output as well.
        layers = [ref.layer for ref in graph.outputs]
        kept["output_names"] = list(graph.output_names or layers)
    return kept
