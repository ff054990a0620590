"""Layers that join several inputs."""

from __future__ import annotations

from converters.errors import UnsupportedError
from converters.graph import Layer
from converters.registry import Example, Shape, TorchStep, layer
from converters.settings import integer

_PAIR = (Example({}, ((5,), (5,))), Example({}, ((5,), (1,))))
_THREE = (*_PAIR, Example({}, ((5,), (5,), (5,))))


def _broadcast(layer: Layer, shapes: tuple[Shape, ...]) -> Shape:
    if len({len(shape) for shape in shapes}) != 1:
        found = ", ".join(str(shape) for shape in shapes)
        msg = f"layer '{layer.name}' ({layer.class_name}): inputs of different rank: {found}"
        raise UnsupportedError(msg)
    result: list[int | None] = []
    for sizes in zip(*shapes, strict=True):
        known = {size for size in sizes if size not in (1, None)}
        free = None if None in sizes else 1
        result.append(known.pop() if known else free)
    return tuple(result)


@layer("Add", examples=_THREE)
def add(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the sum, left to right."""
    return [TorchStep("operator.add", shape=_broadcast(layer, shapes))]


@layer("Subtract", examples=_PAIR)
def subtract(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return first minus second."""
    return [TorchStep("operator.sub", shape=_broadcast(layer, shapes))]


@layer("Multiply", examples=_THREE)
def multiply(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the product, left to right."""
    return [TorchStep("operator.mul", shape=_broadcast(layer, shapes))]


@layer("Average", examples=_THREE)
def average(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the mean."""
    return [TorchStep("compat.average", shape=_broadcast(layer, shapes))]


@layer("Maximum", examples=_THREE)
def maximum(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the largest; at a tie the gradient goes to the first, as in TensorFlow."""
    return [TorchStep("compat.maximum", shape=_broadcast(layer, shapes))]


@layer("Minimum", examples=_THREE)
def minimum(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the smallest; at a tie the gradient goes to the first, as in TensorFlow."""
    return [TorchStep("compat.minimum", shape=_broadcast(layer, shapes))]


@layer(
    "Concatenate",
    examples=(Example({}, ((5,), (3,))), Example({"axis": 1}, ((2, 4), (3, 4), (1, 4)))),
)
def concatenate(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the inputs joined along one axis."""
    axis = integer(layer, "axis", -1)
    sizes = [shape[axis] for shape in shapes]
    joined = list(shapes[0])
    joined[axis] = None if None in sizes else sum(size for size in sizes if size is not None)
    return [TorchStep("torch.cat", {"dim": axis}, shape=tuple(joined))]
