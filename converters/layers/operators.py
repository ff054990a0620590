"""Nodes of `keras.ops` and of operators on Keras tensors: `x[:, 1:] - keras.ops.mean(x, axis=-1)`.

In a Keras 3 configuration they stand among the layers; `converters.keras_config` puts "ops." before their class names.
Numbers among the arguments come with the call.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

from converters.errors import UnsupportedError
from converters.graph import Call, Layer, Operand
from converters.layers.merging import broadcast_shape
from converters.registry import Plain, Shape, TorchStep, layer
from converters.settings import flag, integer, integers, optional_number, unsupported

BINARY = {
    "ops.Add": "operator.add",
    "ops.Subtract": "operator.sub",
    "ops.Multiply": "operator.mul",
    "ops.Divide": "operator.truediv",
    "ops.TrueDivide": "operator.truediv",
    "ops.Power": "operator.pow",
    "ops.Maximum": "compat.maximum",
    "ops.Minimum": "compat.minimum",
}
UNARY = {
    "ops.Negative": "torch.neg",
    "ops.Exp": "torch.exp",
    "ops.Log": "torch.log",
    "ops.Sqrt": "torch.sqrt",
    "ops.Square": "torch.square",
    "ops.Absolute": "torch.abs",
    "ops.Abs": "torch.abs",
    "ops.Tanh": "torch.tanh",
    "ops.Sigmoid": "torch.sigmoid",
    "ops.Relu": "F.relu",
    "ops.Softplus": "F.softplus",
    "ops.StopGradient": "torch.detach",
}
SETTINGS: dict[str, dict[str, Plain]] = {"F.softplus": {"threshold": 50.0}}
REDUCTIONS = {
    "ops.Mean": "torch.mean",
    "ops.Sum": "torch.sum",
    "ops.Max": "torch.amax",
    "ops.Min": "torch.amin",
}


def call_of(layer: Layer) -> Call:
    """Return the call that is lowered; for rules that take it."""
    return cast("Call", layer.config["call"])


def _values(layer: Layer) -> list[object]:
    call = call_of(layer)
    return [*call.args, *(value for name, value in call.kwargs.items() if name != "name")]


def _tensors_only(layer: Layer) -> None:
    """Raise UnsupportedError if anything but one tensor was given."""
    if _values(layer) != [Operand(0)]:
        raise _refused(layer, f"arguments {_values(layer)!r:.60}, one tensor is needed")


def _refused(layer: Layer, what: str) -> UnsupportedError:
    msg = f"layer '{layer.name}' ({layer.class_name}): {what}"
    return UnsupportedError(msg)


@layer(*BINARY, takes_call=True)
def binary(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return an operator between two tensors, or a tensor and a number."""
    operands = _values(layer)
    op = BINARY[layer.class_name]
    if len(operands) != 2 or not all(
        isinstance(value, (Operand, int, float)) for value in operands
    ):
        raise _refused(layer, f"arguments {operands!r:.60}, two tensors or numbers are needed")
    if all(isinstance(value, Operand) for value in operands):
        if len({len(shape) for shape in shapes}) != 1:
            raise _refused(layer, f"inputs of different rank: {shapes}")
        return [TorchStep(op, shape=broadcast_shape(shapes))]
    first = isinstance(operands[1], Operand)
    number = cast("float", operands[0] if first else operands[1])
    if not math.isfinite(number):
        raise _refused(layer, f"argument {number}, a finite number is needed")
    if op in ("compat.maximum", "compat.minimum"):
        return [TorchStep("torch.clamp", {"min" if op == "compat.maximum" else "max": number})]
    return [TorchStep(op, {"left" if first else "right": number})]


@layer(*UNARY, takes_call=True)
def unary(layer: Layer, *_shapes: Shape) -> list[TorchStep]:
    """Return a function of every element."""
    _tensors_only(layer)
    op = UNARY[layer.class_name]
    return [TorchStep(op, SETTINGS.get(op, {}))]


@layer("ops.Softmax", "ops.LogSoftmax", takes_call=True)
def softmax(layer: Layer, *_shapes: Shape) -> list[TorchStep]:
    """Return the softmax, or its logarithm, along one axis."""
    _tensors_only(layer)
    op = "F.softmax" if layer.class_name == "ops.Softmax" else "F.log_softmax"
    return [TorchStep(op, {"dim": integer(layer, "axis", -1)})]


@layer("ops.Clip", takes_call=True)
def clip(layer: Layer, *_shapes: Shape) -> list[TorchStep]:
    """Return x within [x_min, x_max]; at the bounds the gradient passes on both sides."""
    _tensors_only(layer)
    bounds = {"min": optional_number(layer, "x_min"), "max": optional_number(layer, "x_max")}
    return [
        TorchStep("torch.clamp", {key: value for key, value in bounds.items() if value is not None})
    ]


@layer(*REDUCTIONS, takes_call=True)
def reduction(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the mean, sum or extreme over some axes; equal extremes share the gradient in both frameworks."""
    _tensors_only(layer)
    if layer.config.get("initial") is not None:
        raise unsupported(layer, "initial", needed="null")
    shape = shapes[0]
    if layer.config.get("axis") is None:
        axes = tuple(range(len(shape)))
    else:
        axes = tuple(axis % len(shape) for axis in integers(layer, "axis"))
    keep = flag(layer, "keepdims", default=False)
    sizes = [1 if axis in axes else size for axis, size in enumerate(shape)]
    kept = sizes if keep else [size for axis, size in enumerate(sizes) if axis not in axes]
    kwargs: dict[str, Plain] = {"dim": axes[0] if len(axes) == 1 else axes}
    if keep:
        kwargs["keepdim"] = True
    return [TorchStep(REDUCTIONS[layer.class_name], kwargs, shape=tuple(kept))]


@layer("ops.Concatenate", "ops.Stack", takes_call=True)
def join(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the tensors of a list along one axis, which `stack` makes."""
    given = call_of(layer).args
    if given != (tuple(Operand(index) for index in range(len(shapes))),):
        raise _refused(layer, f"arguments {given!r:.60}, one list of tensors is needed")
    axis = integer(layer, "axis", 0)
    joined = list(shapes[0])
    if layer.class_name == "ops.Stack":
        axis %= len(joined) + 1
        joined.insert(axis, len(shapes))
        return [TorchStep("torch.stack", {"dim": axis}, shape=tuple(joined))]
    sizes = [shape[axis] for shape in shapes]
    joined[axis] = None if None in sizes else sum(size or 0 for size in sizes)
    return [TorchStep("torch.cat", {"dim": axis}, shape=tuple(joined))]


@layer("ops.Reshape", takes_call=True)
def reshape(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return another shape, the batch included; rows first."""
    _tensors_only(layer)
    sizes = integers(layer, "newshape")
    free = None
    if None not in shapes[0]:
        known = math.prod(size for size in sizes if size != -1)
        free = math.prod(size or 0 for size in shapes[0]) // known
    shape = tuple(free if size == -1 else size for size in sizes)
    return [TorchStep("torch.reshape", {"shape": sizes}, shape=shape)]


@layer("ops.ExpandDims", takes_call=True)
def expand_dims(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return x with a new axis of 1."""
    _tensors_only(layer)
    shape = list(shapes[0])
    [axis] = integers(layer, "axis")
    axis %= len(shape) + 1
    return [TorchStep("torch.unsqueeze", {"dim": axis}, shape=(*shape[:axis], 1, *shape[axis:]))]


@layer("ops.Squeeze", takes_call=True)
def squeeze(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return x without axes of 1."""
    _tensors_only(layer)
    shape = shapes[0]
    if layer.config.get("axis") is None:
        axes = tuple(axis for axis, size in enumerate(shape) if size == 1)
    else:
        axes = tuple(axis % len(shape) for axis in integers(layer, "axis"))
    kept = tuple(size for axis, size in enumerate(shape) if axis not in axes)
    return [TorchStep("torch.squeeze", {"dim": axes}, shape=kept)]


@layer("ops.Transpose", takes_call=True)
def transpose(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the axes in another order, the batch included."""
    _tensors_only(layer)
    rank = len(shapes[0])
    given = layer.config.get("axes")
    axes = tuple(reversed(range(rank))) if given is None else integers(layer, "axes")
    order = tuple(axis % rank for axis in axes)
    moved = tuple(shapes[0][axis] for axis in order)
    return [TorchStep("torch.permute", {"dims": order}, shape=moved)]


@layer("ops.Matmul", takes_call=True)
def matmul(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the product of matrices on the last two axes."""
    if _values(layer) != [Operand(0), Operand(1)] or min(map(len, shapes)) < 2:
        raise _refused(layer, f"inputs {shapes}, two tensors of rank 2 or more are needed")
    first, second = shapes
    longer = first if len(first) >= len(second) else second
    return [TorchStep("torch.matmul", shape=(*longer[:-2], first[-2], second[-1]))]


@layer("ops.GetItem", takes_call=True)
def get_item(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return x[index] for whole numbers, slices and new axes."""
    given = _values(layer)
    if len(given) != 2 or given[0] != Operand(0):
        raise _refused(layer, f"arguments {given!r:.60}, a tensor and its index are needed")
    index = given[1] if isinstance(given[1], tuple) else (given[1],)
    plain: list[Plain] = []
    shape: list[int | None] = []
    sizes = iter(shapes[0])
    for item in index:
        if item is None:
            plain.append(None)
            shape.append(1)
        elif isinstance(item, slice):
            plain.append(("slice", *_bounds(layer, item)))
            shape.append(_sliced(item, next(sizes)))
        elif isinstance(item, int) and not isinstance(item, bool):
            plain.append(item)
            next(sizes)
        else:
            raise _refused(layer, f"index {item!r:.60}, a whole number or a slice is needed")
    return [TorchStep("operator.getitem", {"index": tuple(plain)}, shape=(*shape, *sizes))]


def _bounds(layer: Layer, item: slice) -> Sequence[int | None]:
    bounds = (item.start, item.stop, item.step)
    whole = all(value is None or isinstance(value, int) for value in bounds)
    if not whole or (item.step is not None and item.step < 1):
        raise _refused(layer, f"slice {bounds}, whole numbers and a step above 0 are needed")
    return bounds


def _sliced(item: slice, size: int | None) -> int | None:
    return None if size is None else len(range(*item.indices(size)))
