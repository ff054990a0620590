"""What is in a legacy file, and what would become of it. Imports no framework."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from converters.checkpoint import Checkpoint
from converters.errors import ConversionError
from converters.matching import leaves
from converters.plan import Plan, plan_conversion
from converters.readers import read_checkpoint


@dataclass(frozen=True, slots=True)
class LayerLine:
    """One layer of the file.

    Attributes:
        depth: how many nested models it lies in.
        shapes: stored arrays by role, in stored order.
        becomes: torch operations, or "" where nothing is needed at run time.
    """

    name: str
    class_name: str
    depth: int
    trainable: bool
    shapes: tuple[tuple[str, tuple[int, ...]], ...]
    parameters: int
    becomes: str


@dataclass(frozen=True, slots=True)
class Inspection:
    """A file in words and numbers.

    Attributes:
        problem: why it does not convert; None: it does.
        optimizer: class, number of state arrays; None: no optimizer state.
    """

    file: str
    format: str
    producer: str | None
    sha256: str
    size: int
    layers: tuple[LayerLine, ...]
    inputs: tuple[tuple[str, tuple[int | None, ...] | None], ...]
    outputs: tuple[str, ...]
    arrays: int
    parameters: int
    nbytes: int
    dtypes: tuple[str, ...]
    optimizer: tuple[str, int] | None
    problem: str | None
    hint: str | None

    def to_data(self) -> dict[str, object]:
        """Return plain data for --json."""
        return {
            "file": self.file,
            "format": self.format,
            "producer": self.producer,
            "sha256": self.sha256,
            "size": self.size,
            "layers": [
                {
                    "name": layer.name,
                    "class": layer.class_name,
                    "depth": layer.depth,
                    "trainable": layer.trainable,
                    "arrays": {role: list(shape) for role, shape in layer.shapes},
                    "parameters": layer.parameters,
                    "becomes": layer.becomes,
                }
                for layer in self.layers
            ],
            "inputs": [
                [name, None if shape is None else list(shape)] for name, shape in self.inputs
            ],
            "outputs": list(self.outputs),
            "arrays": self.arrays,
            "parameters": self.parameters,
            "bytes": self.nbytes,
            "dtypes": list(self.dtypes),
            "optimizer": None
            if self.optimizer is None
            else {"class": self.optimizer[0], "arrays": self.optimizer[1]},
            "converts": self.problem is None,
            "problem": self.problem,
            "hint": self.hint,
        }


def inspect(
    source: str | os.PathLike[str], *, architecture: str | os.PathLike[str] | None = None
) -> Inspection:
    """Return what a legacy file holds and whether it converts.

    Args:
        source: the file.
        architecture: configuration for files with weights only.

    Raises:
        ConversionError: The file cannot be read at all.
    """
    checkpoint = read_checkpoint(
        Path(source), architecture=None if architecture is None else Path(architecture)
    )
    plan: Plan | None = None
    problem = hint = None
    try:
        plan = plan_conversion(checkpoint)
    except ConversionError as error:
        problem, hint = str(error), error.hint
    arrays = [info for entry in checkpoint.layers for info in entry.arrays.values()]
    graph, source_info, state = checkpoint.graph, checkpoint.provenance, checkpoint.optimizer
    return Inspection(
        file=source_info.file,
        format=source_info.format,
        producer=source_info.producer,
        sha256=source_info.sha256,
        size=source_info.size,
        layers=tuple(_layer_lines(checkpoint, plan)),
        inputs=tuple((entry.tensor.layer, entry.shape) for entry in graph.inputs) if graph else (),
        outputs=tuple(ref.layer for ref in graph.outputs) if graph else (),
        arrays=len(arrays),
        parameters=sum(_size(info.shape) for info in arrays),
        nbytes=sum(info.nbytes for info in arrays),
        dtypes=tuple(sorted({info.dtype.name for info in arrays})),
        optimizer=None if state is None else (state.kind or "unknown", len(state.variables)),
        problem=problem,
        hint=hint,
    )


def _size(shape: tuple[int, ...]) -> int:
    total = 1
    for size in shape:
        total *= size
    return total


def _layer_lines(checkpoint: Checkpoint, plan: Plan | None) -> list[LayerLine]:
    if checkpoint.graph is None or plan is None:
        # Without a plan nothing is known of which array belongs where: the file's own grouping is shown.
        return [
            LayerLine(
                name=entry.name or entry.path,
                class_name="",
                depth=0,
                trainable=True,
                shapes=tuple((role, info.shape) for role, info in entry.arrays.items()),
                parameters=sum(_size(info.shape) for info in entry.arrays.values()),
                becomes="",
            )
            for entry in checkpoint.layers
            if entry.arrays
        ]
    lines = []
    for path, layer in leaves(checkpoint.graph):
        if layer.class_name == "InputLayer":
            continue
        steps, moves = plan.steps_of(path), plan.moves_of(path)
        lines.append(
            LayerLine(
                name="/".join(path),
                class_name=layer.class_name,
                depth=len(path) - 1,
                trainable=layer.trainable,
                shapes=tuple((role, move.source.shape) for role, move in moves),
                parameters=sum(_size(move.source.shape) for _, move in moves),
                becomes=", ".join(dict.fromkeys(step.op for step in steps)),
            )
        )
    return lines
