"""One torch step noted: names of attributes and values, the mode and the precision of its module, its parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from converters.architecture import MAX_NESTED_BLOCKS, Step
from converters.errors import UnsupportedError
from converters.graph import Layer
from converters.lowering.dtypes import module_dtype, needs_floats, variable_dtype
from converters.lowering.masking import Value
from converters.lowering.state import Lowering
from converters.lowering.training_notes import acts_in_training
from converters.matching.model_weights import Path, stored_weights
from converters.names import identifier, unique
from converters.registry import Shape, TorchStep
from converters.targets import TARGETS

_BLOCK = "."  # in place of a step's suffix: the submodule of a nested model


def add_step(
    step: TorchStep,
    layer: Layer,
    path: Path,
    arguments: Sequence[tuple[str, Shape]],
    lowering: Lowering,
) -> list[tuple[str, Shape]]:
    """Note one step; returns the names and shapes of its results."""
    attribute = _attribute(step, layer, path, lowering) if TARGETS[step.op].module else None
    mode = _mode(layer, attribute, lowering)
    first = identifier("_".join(path), default="x")
    if step.results[:1] == ("mask",):
        first = f"{first}_mask"
    names = [unique(first, lowering.values)]
    names += [
        unique(identifier(f"{first}_{name}"), lowering.values)
        for name, _ in zip(step.results[1:], step.further_shapes, strict=True)
    ]
    lowering.steps.append(
        Step(
            step.op,
            tuple(name for name, _ in arguments),
            names[0],
            attribute,
            dict(step.kwargs),
            state=tuple(param.name for param in step.params),
            frozen=any(not _trains(layer, param.source) for param in step.params),
            further_outputs=tuple(names[1:]),
            blocks=lowering.blocks[: len(path) - 1],  # fewer where models around it share the layer
            dtype=module_dtype(layer, attribute, lowering),
            mode=mode,
        )
    )
    lowering.origins.append(path)
    shape = arguments[0][1] if step.shape is None else step.shape
    return list(zip(names, (shape, *step.further_shapes), strict=True))


def _mode(layer: Layer, attribute: str | None, lowering: Lowering) -> str:
    """Return the mode that a step's module is fixed to. Raises UnsupportedError if other calls want another."""
    if attribute is None:
        return ""
    mode = lowering.modes.setdefault(attribute, lowering.mode)
    if mode != lowering.mode and acts_in_training(layer):
        modes = " and ".join(repr(each) if each else "open" for each in (mode, lowering.mode))
        msg = f"layer '{layer.name}' ({layer.class_name}) is called in several modes: {modes}"
        raise UnsupportedError(msg, hint="a layer of its own for each, or one mode for all calls")
    return mode


def _trains(layer: Layer, role: str) -> bool:
    """True if neither the layer nor, for a wrapped one, what wraps it is frozen."""
    return layer.trainable and layer.owner(role)[0].trainable


def _attribute(step: TorchStep, layer: Layer, path: Path, lowering: Lowering) -> str:
    known = lowering.attributes.get((path, step.suffix))
    if known is not None:
        return known  # a shared layer: the same module again
    block = block_name(path[:-1], lowering)
    name = path[-1] + (f"_{step.suffix}" if step.suffix else "")
    attribute = unique((block and f"{block}.") + identifier(name), lowering.taken)
    lowering.attributes[path, step.suffix] = attribute
    roles = {weight.role: weight.trainable for weight in stored_weights(layer)}
    for param in step.params:
        key = f"{attribute}.{param.name}"
        lowering.params[key] = (path, param)
        if _trains(layer, param.source) and roles[param.source]:
            lowering.trainable.append(key)
    return attribute


def block_name(path: Path, lowering: Lowering) -> str:
    """Return the dotted name of the submodule for a nested model, "" for the network itself."""
    if not path:
        return ""
    known = lowering.attributes.get((path, _BLOCK))
    if known is None:
        around = block_name(path[:-1], lowering)
        if len(path) > MAX_NESTED_BLOCKS:
            return around  # deeper ones share a submodule
        known = unique((around and f"{around}.") + identifier(path[-1]), lowering.taken)
        lowering.attributes[path, _BLOCK] = known
    return known


def cast_arguments(
    layer: Layer, path: Path, arguments: Sequence[Value], lowering: Lowering
) -> list[Value]:
    """Return the arguments in the precision of a layer: where that changes from layer to layer, for whole numbers, and behind casts."""
    wanted = variable_dtype(layer)
    known = {} if wanted is None else {**lowering.floats, **(lowering.dtypes or {})}
    result = []
    for argument in arguments:
        floats = needs_floats(layer, argument, lowering)
        if floats or known.get(argument.name, wanted) != wanted:
            step = TorchStep("compat.cast", {"dtype": wanted or "float32"})
            [(name, shape)] = add_step(
                step, layer, path, [(argument.name, argument.shape)], lowering
            )
            argument = replace(argument, name=name, shape=shape)
            if lowering.dtypes is not None and wanted is not None:
                lowering.dtypes[name] = wanted
        result.append(argument)
    return result
