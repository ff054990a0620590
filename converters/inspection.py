"""What is in a legacy file, and what would become of it. Imports no framework."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path as FilePath

from converters.checkpoint import ArrayInfo, Checkpoint, OptimizerState
from converters.errors import ConversionError
from converters.graph import Graph, Layer
from converters.matching.model_weights import Path
from converters.optimizers.rules import RULES
from converters.plan import plan_conversion
from converters.planned import Plan
from converters.preview import Outlook, find_arrays, preview_layers
from converters.programs import tensor_candidates, with_program
from converters.readers import read_checkpoint


@dataclass(frozen=True, slots=True)
class LayerLine:
    """One layer of the file.

    Attributes:
        depth: how many nested models it lies in.
        shapes: stored arrays by role, in stored order.
        becomes: torch operations, or "" where nothing is needed at run time.
        output: shape of its first output, batch first; None: not known.
        dtype: what it computes in, as the configuration says, else its arrays' type.
        problem: why it does not convert; None: it does, or the file has no architecture.
    """

    name: str
    class_name: str
    depth: int
    trainable: bool
    shapes: tuple[tuple[str, tuple[int, ...]], ...]
    parameters: int
    becomes: str
    nbytes: int = 0
    output: tuple[int | None, ...] | None = None
    dtype: str = ""
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Inspection:
    """A file in words and numbers.

    Attributes:
        problem: why it does not convert; None: it does.
        optimizer: class, number of state arrays; None: no optimizer state.
        optimizer_becomes: class in torch; None: there is none, or it is not known.
        version: of the Keras that wrote the file, where it says so.
        notes: what a user should know of the conversion, and check where the file does not say it.
        agent: library and class of the agent of an RL library that the arrays belong to; None: they belong to none.
        may_begin: of a graph of TensorFlow, tensors that may be inputs.
        may_end: tensors that may be outputs.
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
    optimizer_becomes: str | None = None
    version: str | None = None
    notes: tuple[str, ...] = ()
    agent: str | None = None
    may_begin: tuple[str, ...] = ()
    may_end: tuple[str, ...] = ()

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
                    "bytes": layer.nbytes,
                    "output": None if layer.output is None else list(layer.output),
                    "dtype": layer.dtype,
                    "becomes": layer.becomes,
                    "problem": layer.problem,
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
            "optimizer_becomes": self.optimizer_becomes,
            "version": self.version,
            "notes": list(self.notes),
            "agent": self.agent,
            "input_candidates": list(self.may_begin),
            "output_candidates": list(self.may_end),
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
        FilePath(source), architecture=None if architecture is None else FilePath(architecture)
    )
    plan: Plan | None = None
    problem = hint = None
    may_begin, may_end = tensor_candidates(checkpoint)
    try:
        checkpoint = with_program(checkpoint)
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
        layers=tuple(_layer_lines(checkpoint)),
        inputs=tuple((entry.tensor.layer, entry.shape) for entry in graph.inputs) if graph else (),
        outputs=tuple(ref.layer for ref in graph.outputs) if graph else (),
        arrays=len(arrays),
        parameters=sum(_size(info.shape) for info in arrays),
        nbytes=sum(info.nbytes for info in arrays),
        dtypes=tuple(sorted({info.dtype.name for info in arrays})),
        optimizer=None if state is None else (state.kind or "unknown", len(state.variables)),
        problem=problem,
        hint=hint,
        optimizer_becomes=_optimizer_target(state, plan),
        version=checkpoint.stored.version if checkpoint.stored else None,
        notes=(*plan.notes, *plan.assumed) if plan else (),
        agent=_agent(checkpoint, plan),
        may_begin=may_begin,
        may_end=may_end,
    )


def _agent(checkpoint: Checkpoint, plan: Plan | None) -> str | None:
    """Return "TF-Agents: TFAgent" where the arrays are those of an agent of a library."""
    if checkpoint.graph is not None:
        return None
    # Here and not above: it brings what reads graphs of TensorFlow, a fifth of the time that a file of Keras takes.
    from converters.agents.libraries import library_of

    library = library_of(checkpoint)
    if library is None or plan is None:
        return library
    return f"{library}: {plan.architecture.name}"


def _optimizer_target(state: OptimizerState | None, plan: Plan | None) -> str | None:
    """Return what the optimizer becomes; where the file does not convert, what others of its class become."""
    if plan is not None:
        return plan.optimizer.target if plan.optimizer else None
    if state is None:
        return None
    return next((rule.target for rule in RULES if rule.kind == state.kind), None)


def _size(shape: tuple[int, ...]) -> int:
    total = 1
    for size in shape:
        total *= size
    return total


def _layer_lines(checkpoint: Checkpoint) -> list[LayerLine]:
    graph = checkpoint.graph
    if graph is None:
        # Nothing is known of which array belongs where: the file's own grouping is shown.
        return [
            _line(entry.name or entry.path, "", 0, entry.arrays)
            for entry in checkpoint.layers
            if entry.arrays
        ]
    graph, arrays = find_arrays(graph, checkpoint.layers)
    return list(_tree(graph, (), (), arrays, preview_layers(graph, arrays)))


def _tree(
    graph: Graph,
    around: Path,
    prefix: Path,
    arrays: Mapping[Path, Mapping[str, ArrayInfo]],
    outlooks: Mapping[Path, Outlook],
) -> Iterator[LayerLine]:
    """Yield a line for every layer and nested model, the latter before what is in it; shared ones at each place.

    Args:
        graph: of the model.
        around: place of the model in the configuration.
        prefix: path that it is known by.
        arrays: by path and role.
        outlooks: by path.
    """
    for layer in graph.layers:
        place, path = (*around, layer.name), layer.path_in(prefix)
        if layer.class_name == "InputLayer":
            continue
        own = arrays.get(path, {})
        line = _line("/".join(place), layer.class_name, len(around), own)
        if layer.graph is not None:
            yield replace(line, dtype="")
            yield from _tree(layer.graph, place, path, arrays, outlooks)
            continue
        outlook = outlooks[path]
        yield replace(
            line,
            trainable=layer.trainable,
            becomes=", ".join(outlook.becomes),
            output=outlook.shape,
            dtype=_stated_dtype(layer) or line.dtype,
            problem=outlook.problem,
        )


def _line(name: str, class_name: str, depth: int, arrays: Mapping[str, ArrayInfo]) -> LayerLine:
    return LayerLine(
        name=name,
        class_name=class_name,
        depth=depth,
        trainable=True,
        shapes=tuple((role, info.shape) for role, info in arrays.items()),
        parameters=sum(_size(info.shape) for info in arrays.values()),
        becomes="",
        nbytes=sum(info.nbytes for info in arrays.values()),
        dtype=", ".join(sorted({info.dtype.name for info in arrays.values()})),
    )


def _stated_dtype(layer: Layer) -> str:
    """Return the dtype or policy that a layer's configuration states, or nothing."""
    value = layer.config.get("dtype")
    if isinstance(value, Mapping):
        settings = value.get("config")
        value = settings.get("name") if isinstance(settings, Mapping) else None
    return value if isinstance(value, str) else ""
