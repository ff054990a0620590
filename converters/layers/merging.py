"""Layers that join several inputs."""

from __future__ import annotations

from collections.abc import Sequence

from converters.errors import UnsupportedError
from converters.graph import Layer
from converters.lowering.masking import masks_of
from converters.registry import Example, Lowered, Plain, Shape, TorchStep, layer
from converters.settings import flag, integer, integers, unsupported

_PAIR = (
    Example({}, ((5,), (5,))),
    Example({}, ((5,), (1,))),
    Example({}, ((5,), (3, 4, 5))),
)
_THREE = (*_PAIR, Example({}, ((5,), (5,), (5,))))
_MASKED = Example({}, ((5, 4), (5, 4)), masked=(0, 1), pooled=True)


def _joined(op: str, names: Sequence[str], shape: Shape) -> tuple[list[TorchStep], str]:
    """Return the steps that join masks, and the name of the result."""
    if len(set(names)) == 1:
        return [], names[0]
    return [TorchStep(op, shape=shape, inputs=tuple(names), results=("mask",))], "mask"


def _merge_masks(layer: Layer, count: int) -> tuple[list[TorchStep], str | None]:
    """Return the mask of a sum of inputs: any of theirs if all have one (Keras 3), or all of those there are (before).

    Source: compute_mask in layers/merging/base_merge.py of keras 3.15.1 and 2.15.0.
    """
    masks = masks_of(layer)
    given = [name for index in range(count) if (name := masks.of_input(index)) is not None]
    if not given or (masks.generation >= 3 and len(given) < count):
        return [], None
    shapes = [masks.shapes[name] for name in given]
    if len({len(shape) for shape in shapes}) > 1:
        msg = f"layer '{layer.name}' ({layer.class_name}): masks of different rank: {shapes}"
        raise UnsupportedError(msg)
    op = "operator.or_" if masks.generation >= 3 else "operator.and_"
    steps, name = _joined(op, given, broadcast_shape(shapes))
    return steps, name


_WITHOUT_MASKED = {
    "operator.mul": "multiply",
    "compat.maximum": "maximum",
    "compat.minimum": "minimum",
}
"""Operations from which Keras 3 leaves out the steps that a mask takes out of one of the inputs."""


def _merge(layer: Layer, op: str, shapes: tuple[Shape, ...]) -> Lowered:
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
    given = [masks_of(layer).of_input(index) for index in range(len(shapes))]
    kwargs: dict[str, Plain] = {}
    if op in _WITHOUT_MASKED and masks_of(layer).generation >= 3 and any(given):
        kwargs = {"kind": _WITHOUT_MASKED[op], "masked": tuple(name is not None for name in given)}
        names += [name for name in given if name is not None]
        op = "compat.masked_merge"
    merged = TorchStep(
        op, kwargs, shape=broadcast_shape(aligned), inputs=tuple(names), results=("merged",)
    )
    before, mask = _merge_masks(layer, len(shapes))
    return Lowered((*before, *steps, merged), ("merged",), masks=(mask,))


def broadcast_shape(shapes: Sequence[Shape]) -> Shape:
    """Return the shape of an elementwise operation on tensors of one rank."""
    result: list[int | None] = []
    for sizes in zip(*shapes, strict=True):
        known = {size for size in sizes if size not in (1, None)}
        free = None if None in sizes else 1
        result.append(known.pop() if known else free)
    return tuple(result)


@layer("Add", examples=(*_THREE, _MASKED), mask="use")
def add(layer: Layer, *shapes: Shape) -> Lowered:
    """Return the sum, left to right."""
    return _merge(layer, "operator.add", shapes)


@layer("Subtract", examples=_PAIR, mask="use")
def subtract(layer: Layer, *shapes: Shape) -> Lowered:
    """Return first minus second."""
    return _merge(layer, "operator.sub", shapes)


@layer("Multiply", examples=_THREE, mask="use")
def multiply(layer: Layer, *shapes: Shape) -> Lowered:
    """Return the product, left to right."""
    return _merge(layer, "operator.mul", shapes)


@layer("Average", examples=_THREE, mask="use")
def average(layer: Layer, *shapes: Shape) -> Lowered:
    """Return the mean."""
    return _merge(layer, "compat.average", shapes)


@layer("Maximum", examples=_THREE, mask="use")
def maximum(layer: Layer, *shapes: Shape) -> Lowered:
    """Return the largest; at a tie the gradient goes to the first, as in TensorFlow."""
    return _merge(layer, "compat.maximum", shapes)


@layer("Minimum", examples=_THREE, mask="use")
def minimum(layer: Layer, *shapes: Shape) -> Lowered:
    """Return the smallest; at a tie the gradient goes to the first, as in TensorFlow."""
    return _merge(layer, "compat.minimum", shapes)


@layer(
    "Concatenate",
    examples=(
        Example({}, ((5,), (3,))),
        Example({"axis": 1}, ((2, 4), (3, 4), (1, 4))),
        Example({}, ((5, 4), (5, 2)), masked=(0, 1), pooled=True),
        Example({"axis": 1}, ((5, 4), (3, 4)), masked=(0,), pooled=True),
    ),
    mask="use",
    numbers="kept",
)
@layer("TFDConcat", mask="use", numbers="kept")  # of a FeatureSpace
def concatenate(layer: Layer, *shapes: Shape) -> Lowered:
    """Return the inputs joined along one axis, and so their masks; along the last axis a step of the mask is one of all."""
    axis = integer(layer, "axis", -1)
    sizes = [shape[axis] for shape in shapes]
    joined = list(shapes[0])
    joined[axis] = None if None in sizes else sum(size for size in sizes if size is not None)
    inputs = tuple(f"input_{index}" for index in range(len(shapes)))
    step = TorchStep(
        "torch.cat", {"dim": axis}, shape=tuple(joined), inputs=inputs, results=("joined",)
    )
    before, mask = _concatenated_masks(layer, axis, shapes, tuple(joined))
    return Lowered((*before, step), ("joined",), masks=(mask,))


def _concatenated_masks(
    layer: Layer, axis: int, shapes: tuple[Shape, ...], joined: Shape
) -> tuple[list[TorchStep], str | None]:
    """Return the mask of joined inputs; one without a mask counts as kept everywhere.

    Source: compute_mask in layers/merging/concatenate.py of keras 3.15.1 (any) and 2.15.0 (all).
    """
    masks = masks_of(layer)
    given = [masks.of_input(index) for index in range(len(shapes))]
    if not any(given):
        return [], None
    steps, names = [], []
    for index, (name, shape) in enumerate(zip(given, shapes, strict=True)):
        if name is not None and len(masks.shapes[name]) != len(shape) - 1:
            msg = (
                f"layer '{layer.name}' (Concatenate): mask {masks.shapes[name]} of an input {shape}; needed is "
                "one axis less"
            )
            raise UnsupportedError(msg)
        if name is None:
            name = f"kept_{index}"
            steps.append(
                TorchStep(
                    "compat.keep_all",
                    shape=shape[:-1],
                    inputs=(f"input_{index}",),
                    results=(name,),
                )
            )
        names.append(name)
    if axis % len(joined) == len(joined) - 1:
        op = "operator.or_" if masks.generation >= 3 else "operator.and_"
        further, mask = _joined(op, names, joined[:-1])
        return [*steps, *further], mask
    step = TorchStep(
        "torch.cat",
        {"dim": axis % len(joined)},
        shape=joined[:-1],
        inputs=tuple(names),
        results=("mask",),
    )
    return [*steps, step], "mask"


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
    mask="end",
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
