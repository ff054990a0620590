"""A whole model inside a wrapper: its steps, as those of one layer.

Models elsewhere in a graph are lowered by `converters.lowering`, which knows masks and names submodules after them.
"""

from __future__ import annotations

from dataclasses import replace

from converters.errors import UnreadableFileError, UnsupportedError
from converters.graph import Call, Layer, TensorRef
from converters.registry import Lowered, Shape, TorchStep, find_layer_rule, layer
from converters.rule_parts.nested_steps import place_steps


@layer("Sequential", "Functional", "Model")
def nested_model(layer: Layer, *shapes: Shape) -> Lowered:
    """Return the steps of all layers of a model."""
    graph = layer.graph
    if graph is None or len(graph.inputs) != len(shapes):
        msg = f"nested model '{layer.name}' is called with {len(shapes)} inputs, it has another number"
        raise UnreadableFileError(msg)
    values: dict[TensorRef, tuple[str, Shape]] = {
        entry.tensor: (f"input_{index}", shape)
        for index, (entry, shape) in enumerate(zip(graph.inputs, shapes, strict=True))
    }
    steps: list[TorchStep] = []
    for call in graph.calls:
        part = layer.inner[call.layer]
        _check_call(layer, part, call)
        given = [values[ref] for ref in call.inputs]
        if part.class_name == "InputLayer":
            values[TensorRef(call.layer, call.call)] = given[0]
            continue
        rule = find_layer_rule(part.class_name)
        called = replace(part, config={**part.config, "call": call}) if rule.takes_call else part
        placed = place_steps(
            rule.lower(called, *(shape for _, shape in given)),
            [name for name, _ in given],
            [shape for _, shape in given],
            name=f"{part.name}_{call.call}",
            role=part.name,
            suffix=part.name,
        )
        steps += placed.steps
        for index, result in enumerate(zip(placed.outputs, placed.shapes, strict=True)):
            values[TensorRef(call.layer, call.call, index)] = result
    return Lowered(tuple(steps), tuple(values[ref][0] for ref in graph.outputs))


def _check_call(layer: Layer, part: Layer, call: Call) -> None:
    """Raise UnsupportedError for what only the lowering of a whole graph knows."""
    masking = part.class_name == "Masking" or part.config.get("mask_zero") is True
    masked = any(call.kwargs.get(name) is not None for name in ("mask", "attention_mask"))
    if masking or masked or call.kwargs.get("training") is True or "/" in part.name:
        reason = "is called with training=True" if not (masking or masked) else "uses masks"
        reason = "has a '/' in its name" if "/" in part.name else reason
        msg = f"layer '{part.name}' ({part.class_name}) of the model '{layer.name}' inside a wrapper {reason}; no rule for that"
        raise UnsupportedError(msg)
