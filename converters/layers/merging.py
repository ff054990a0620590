"""Layers that join several inputs."""

from __future__ import annotations

from collections.abc import Sequence

from converters.graph import Layer
from converters.registry import Example, Shape, TorchStep, layer
from converters.settings import flag, integer, integers, unsupported

_PAIR = (
    Example({}, ((5,), (5,))),
    Example({}, ((5,), (1,))),
    Example({}, ((5,), (3, 4, 5))),
)
_THREE = (*_PAIR, Example({}, ((5,), (5,), (5,))))


def _merge(op: str, shapes: tuple[Shape, ...]) -> list[TorchStep]:
    """Return the operation; inputs of lower rank get axes of 1 behind the batch first, as Keras gives them."""
    rank = max(len(shape) for shape in shapes)
    aligned, names, steps = [], [], []
    for index, shape in enumerate(shapes):
        name = f"input_{index}"
        for _ in range(rank - len(shape)):
            shape = (shape[0], 1, *shape[1:])
            steps.append(
                TorchStep(
                    "torch.unsqueeze",
                    {"dim": 1},
                    shape=shape,
                    inputs=(name,),
                    results=(f"{name}_",),
                )
            )
            name = f"{name}_"
        aligned.append(shape)
        names.append(name)
    return [*steps, TorchStep(op, shape=broadcast_shape(aligned), inputs=tuple(names))]


def broadcast_shape(shapes: Sequence[Shape]) -> Shape:
    """Return the shape of an elementwise operation on tensors of one rank."""
    result: list[int | None] = []
    for sizes in zip(*shapes, strict=True):
        known = {size for size in sizes if size not in (1, None)}
        free = None if None in sizes else 1
        result.append(known.pop() if known else free)
    return tuple(result)


@layer("Add", examples=_THREE)
def add(_layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the sum, left to right."""
    return _merge("operator.add", shapes)


@layer("Subtract", examples=_PAIR)
def subtract(_layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return first minus second."""
    return _merge("operator.sub", shapes)


@layer("Multiply", examples=_THREE)
def multiply(_layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the product, left to right."""
    return _merge("operator.mul", shapes)


@layer("Average", examples=_THREE)
def average(_layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the mean."""
    return _merge("compat.average", shapes)


@layer("Maximum", examples=_THREE)
def maximum(_layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the largest; at a tie the gradient goes to the first, as in TensorFlow."""
    return _merge("compat.maximum", shapes)


@layer("Minimum", examples=_THREE)
def minimum(_layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the smallest; at a tie the gradient goes to the first, as in TensorFlow."""
    return _merge("compat.minimum", shapes)


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


@layer(
    "Dot",
    examples=(
        Example({"axes": 1}, ((5,), (5,))),
        Example({"axes": -1, "normalize": True}, ((5,), (5,))),
        Example({"axes": (2, 1)}, ((3, 5), (5, 2))),
        Example({"axes": (1, 2), "normalize": True}, ((3, 5), (2, 3))),
        Example({"axes": (1, 2)}, ((5,), (3, 5))),
        Example({"axes": (2, 2)}, ((3, 5, 2), (4, 5))),
    ),
)
def dot(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the sum of products along one axis each, for every sample."""
    first, second = shapes
    written = integers(layer, "axes")
    axes = written if len(written) == 2 else (written[0], written[0])
    axes = (axes[0] % len(first), axes[1] % len(second))
    if 0 in axes:
        raise unsupported(layer, "axes", needed="axes behind the batch")
    letters = iter("bcdefghijklmnop")
    left = ["a", *(next(letters) for _ in first[1:])]
    right = ["a", *(next(letters) for _ in second[1:])]
    right[axes[1]] = left[axes[0]]
    kept = [
        (name, size)
        for axis, (name, size) in enumerate(zip(left, first, strict=True))
        if axis != axes[0]
    ]
    kept += [
        (name, size)
        for axis, (name, size) in enumerate(zip(right, second, strict=True))
        if axis not in (0, axes[1])
    ]
    equation = f"{''.join(left)},{''.join(right)}->{''.join(name for name, _ in kept)}"
    shape = tuple(size for _, size in kept)
    if flag(layer, "normalize", default=False):
        step = TorchStep("compat.cosine", {"equation": equation, "axes": axes}, shape=shape)
    else:
        step = TorchStep("torch.einsum", {"equation": equation}, shape=shape)
    if len(shape) > 1:
        return [step]
    return [step, TorchStep("torch.unsqueeze", {"dim": 1}, shape=(*shape, 1))]
