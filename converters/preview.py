"""What would become of every layer of a graph, also where the file as a whole does not convert. Data only.

The graph is lowered as far as it goes: a layer without a rule stops what comes behind it, not what lies beside it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from converters.checkpoint import ArrayInfo, LayerArrays
from converters.errors import ConversionError
from converters.graph import Graph, Layer
from converters.lowering import Lowering, lower_model, with_input_shape
from converters.matching.groups import match_arrays
from converters.matching.model_weights import Path, leaves
from converters.registry import Shape, find_layer_rule

WAITS = "a layer before it does not convert"
UNCALLED = "is never called"


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is known of one layer.

    Attributes:
        shape: of its first output, batch first; None: not known.
        becomes: torch operations; empty where nothing is needed at run time, or the layer does not convert.
        problem: why it does not convert; None: it does.
    """

    shape: Shape | None
    becomes: tuple[str, ...]
    problem: str | None


def preview_layers(
    graph: Graph, arrays: Mapping[Path, Mapping[str, ArrayInfo]]
) -> Mapping[Path, Outlook]:
    """Return the outlook of every layer that is not an input; nested models are no layers of their own."""
    lowering = Lowering()
    with contextlib.suppress(ConversionError):
        graph = with_input_shape(graph, arrays)
    with contextlib.suppress(ConversionError, LookupError):  # what stopped it is among the problems
        lower_model(graph, lowering)
    found = {}
    for path, layer in leaves(graph):
        if layer.class_name == "InputLayer":
            continue
        steps = [
            step.op
            for step, origin in zip(lowering.steps, lowering.origins, strict=True)
            if origin == path
        ]
        shape = lowering.shapes.get(path)
        problem = None if shape is not None else _problem(graph, path, layer, lowering)
        found[path] = Outlook(shape, tuple(dict.fromkeys(steps)), problem)
    return found


def _problem(graph: Graph, path: Path, layer: Layer, lowering: Lowering) -> str | None:
    try:
        for each in (layer, *layer.inner.values()):
            find_layer_rule(each.class_name)
    except ConversionError as error:
        return str(error)
    names = (f"layer '{'/'.join(path)}'", f"layer '{layer.name}'")
    for problem in lowering.problems:
        if str(problem).startswith(names):
            return str(problem).partition(": ")[2] or str(problem)
    return WAITS if _is_called(graph, path) else UNCALLED


def _is_called(graph: Graph, path: Path) -> bool:
    name, *rest = path
    if all(call.layer != name for call in graph.calls):
        return False
    inner = graph.layer(name).graph
    return not rest or inner is None or _is_called(inner, tuple(rest))


def find_arrays(
    graph: Graph, entries: Sequence[LayerArrays]
) -> tuple[Graph, Mapping[Path, Mapping[str, ArrayInfo]]]:
    """Return the arrays of every layer, as the plan matches them; else by the names that the file gives its groups.

    The graph comes back with layers that several models share as one each.
    """
    try:
        matched = match_arrays(graph, entries)
    except ConversionError:
        by_name = {entry.name or entry.path: entry.arrays for entry in entries}
        found = {
            path: by_name[layer.name] for path, layer in leaves(graph) if layer.name in by_name
        }
        return graph, found
    return matched.graph, matched.arrays
