"""Operations that move, join and repeat axes; no number changes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

from converters.graph import Layer
from converters.registry import Plain, Shape, TorchStep, layer
from converters.rule_parts.operations import (
    Operation,
    axes_of,
    axis_of,
    broadcast,
    flat,
    refused,
    row_step,
)
from converters.rule_parts.windows import pad_argument
from converters.settings import integer, integers, text, unsupported

PAD_MODES = ("reflect", "symmetric", "edge", "wrap")
"""Where `pad` takes elements from; TensorFlow has the first two, other backends of Keras all."""


@layer("ops.Reshape", takes_call=True)
def reshape(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return another shape, the batch included; rows first. A size of null is that of the batch."""
    operation = Operation.of(layer, shapes, "x", "newshape")
    operation.only("x")
    key = "newshape" if "newshape" in operation.settings else "shape"
    value = operation.settings.get(key)
    given = list(value) if isinstance(value, (list, tuple)) else [value]
    sizes = [size for size in given if size is not None]
    if not all(type(size) is int and size >= -1 for size in sizes) or sizes.count(-1) > 1:
        raise refused(layer, f"shape {value!r:.60}, whole numbers are needed")
    return _reshaped(layer, shapes[0], cast("list[int | None]", given))


def _reshaped(layer: Layer, shape: Shape, given: list[int | None]) -> list[TorchStep]:
    if given.count(None) > 1 or (None in given[1:]):
        raise refused(layer, f"shape {given}, at most its first size may be free")
    total = None if None in shape else math.prod(size or 0 for size in shape)
    # Without the batch everything is known: a new shape that starts with the batch keeps the rest.
    rest = None if None in shape[1:] else math.prod(size or 0 for size in shape[1:])
    known = math.prod(size for size in given if size not in (None, -1))
    sizes = list(given)
    if -1 in given:
        whole = rest if given[0] is None else total
        sizes[given.index(-1)] = None if whole is None else whole // max(known, 1)
    if None not in given:
        return [TorchStep("torch.reshape", {"shape": tuple(given)}, shape=tuple(sizes))]
    if None not in sizes[1:]:  # one free size: torch finds it
        plain = (-1, *sizes[1:])
        return [TorchStep("torch.reshape", {"shape": plain}, shape=(None, *sizes[1:]))]
    return [TorchStep("compat.reshape_by_batch", {"shape": tuple(given)}, shape=tuple(sizes))]


@layer("ops.Ravel", takes_call=True)
def ravel(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return all elements in a row."""
    Operation.of(layer, shapes, "x").only("x")
    return _reshaped(layer, shapes[0], [-1])


@layer("ops.ExpandDims", takes_call=True)
def expand_dims(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return x with new axes of 1."""
    operation = Operation.of(layer, shapes, "x", "axis")
    operation.only("x")
    given = integers(operation.layer, "axis")
    rank = len(shapes[0]) + len(given)
    steps, shape = [], list(shapes[0])
    for axis in sorted(axes_of(operation.layer, "axis", rank)):
        shape.insert(axis, 1)
        steps.append(TorchStep("torch.unsqueeze", {"dim": axis}, shape=tuple(shape)))
    return steps


@layer("ops.Squeeze", takes_call=True)
def squeeze(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return x without axes of 1."""
    operation = Operation.of(layer, shapes, "x", "axis")
    operation.only("x")
    shape = shapes[0]
    if operation.settings.get("axis") is None:
        axes = tuple(axis for axis, size in enumerate(shape) if size == 1)
    else:
        axes = axes_of(operation.layer, "axis", len(shape))
    kept = tuple(size for axis, size in enumerate(shape) if axis not in axes)
    return [TorchStep("torch.squeeze", {"dim": axes}, shape=kept)]


def _permuted(shape: Shape, order: Sequence[int]) -> list[TorchStep]:
    moved = tuple(shape[axis] for axis in order)
    return [TorchStep("torch.permute", {"dims": tuple(order)}, shape=moved)]


@layer("ops.Transpose", takes_call=True)
def transpose(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the axes in another order, the batch included."""
    operation = Operation.of(layer, shapes, "x", "axes")
    operation.only("x")
    rank = len(shapes[0])
    given = operation.settings.get("axes")
    order = (
        tuple(reversed(range(rank))) if given is None else axes_of(operation.layer, "axes", rank)
    )
    if len(order) != rank:
        raise refused(layer, f"axes {given!r:.60} of {rank} axes")
    return _permuted(shapes[0], order)


@layer("ops.Swapaxes", takes_call=True)
def swap_axes(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return two axes in each other's place."""
    operation = Operation.of(layer, shapes, "x", "axis1", "axis2")
    rank = len(shapes[0])
    first, second = (axis_of(operation.layer, key, rank) for key in ("axis1", "axis2"))
    order = list(range(rank))
    order[first], order[second] = second, first
    return _permuted(shapes[0], order)


@layer("ops.Moveaxis", takes_call=True)
def move_axes(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return some axes in other places, the rest in their order."""
    operation = Operation.of(layer, shapes, "x", "source", "destination")
    rank = len(shapes[0])
    sources = axes_of(operation.layer, "source", rank)
    targets = axes_of(operation.layer, "destination", rank)
    if len(sources) != len(targets):
        raise refused(layer, f"{len(sources)} axes to {len(targets)} places")
    order = [axis for axis in range(rank) if axis not in sources]
    for target, source in sorted(zip(targets, sources, strict=True)):
        order.insert(target, source)
    return _permuted(shapes[0], order)


@layer("ops.Concatenate", "ops.Append", "ops.Stack", "ops.Hstack", "ops.Vstack", takes_call=True)
def join(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the tensors of a list along one axis, which `stack` makes; constants are made tensors."""
    pair = layer.class_name == "ops.Append"
    operation = Operation.of(layer, shapes, *(("x1", "x2") if pair else ("xs", "axis")))
    given = operation.settings.get("xs")
    parts = [operation.settings.get(key) for key in ("x1", "x2")] if pair else given
    if not isinstance(parts, (list, tuple)) or not parts:
        raise refused(layer, f"arguments {given!r:.60}, one list of tensors is needed")
    operation.layer = _with_parts(operation.layer, parts)
    keys = [f"part_{index}" for index in range(len(parts))]
    if pair and operation.settings.get("axis") is None:
        rows = [operation.in_a_row(key) for key in keys]
        names, found = [name for name, _ in rows], [shape for _, shape in rows]
    else:
        names = [operation.value(key) for key in keys]
        found = [operation.shape(key) for key in keys]
    if len({len(shape) for shape in found}) != 1:
        raise refused(layer, f"inputs of different rank: {found}")
    joined = list(found[0])
    if layer.class_name == "ops.Stack":
        axis = axis_of(operation.layer, "axis", len(joined) + 1, 0)
        joined.insert(axis, len(found))
        operation.result("torch.stack", {"dim": axis}, of=names, shape=tuple(joined))
        return operation.steps
    fixed = {"ops.Vstack": 0, "ops.Hstack": min(1, len(joined) - 1)}.get(layer.class_name)
    axis = axis_of(operation.layer, "axis", len(joined), 0) if fixed is None else fixed
    sizes = [shape[axis] for shape in found]
    joined[axis] = None if None in sizes else sum(size or 0 for size in sizes)
    operation.result("torch.cat", {"dim": axis}, of=names, shape=tuple(joined))
    return operation.steps


def _with_parts(layer: Layer, parts: Sequence[object]) -> Layer:
    config = {**layer.config, **{f"part_{index}": part for index, part in enumerate(parts)}}
    return Layer(layer.name, layer.class_name, config)


@layer("ops.Tile", takes_call=True)
def tile(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return x repeated as a whole along its axes."""
    operation = Operation.of(layer, shapes, "x", "repeats")
    operation.only("x")
    times = integers(operation.layer, "repeats")
    rank = max(len(times), len(shapes[0]))
    full = (1,) * (rank - len(times)) + times
    before = (1,) * (rank - len(shapes[0])) + shapes[0]
    shape = tuple(None if size is None else size * n for size, n in zip(before, full, strict=True))
    return [TorchStep("torch.tile", {"dims": full}, shape=shape)]


@layer("ops.Repeat", takes_call=True)
def repeat(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return every element several times in a row."""
    operation = Operation.of(layer, shapes, "x", "repeats", "axis")
    operation.only("x")
    times = integer(operation.layer, "repeats")
    flattened = operation.settings.get("axis") is None
    before = [row_step(shapes[0])] if flattened else []
    shape = list((before[0].shape or ()) if flattened else shapes[0])
    axis = axis_of(operation.layer, "axis", len(shape), 0)
    size = shape[axis]
    shape[axis] = None if size is None else size * times
    kwargs: dict[str, Plain] = {"repeats": times, "dim": axis}
    return [*before, TorchStep("torch.repeat_interleave", kwargs, shape=tuple(shape))]


@layer("ops.BroadcastTo", takes_call=True)
def broadcast_to(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return x with axes of 1 repeated to a shape."""
    operation = Operation.of(layer, shapes, "x", "shape")
    operation.only("x")
    sizes = integers(operation.layer, "shape")
    return [
        TorchStep("torch.broadcast_to", {"size": sizes}, shape=broadcast(layer, [shapes[0], sizes]))
    ]


@layer("ops.Flip", "ops.Fliplr", "ops.Flipud", takes_call=True)
def flip(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return some axes backwards."""
    operation = Operation.of(layer, shapes, "x", "axis")
    operation.only("x")
    fixed = {"ops.Fliplr": (1,), "ops.Flipud": (0,)}.get(layer.class_name)
    axes = fixed or axes_of(operation.layer, "axis", len(shapes[0]))
    return [TorchStep("torch.flip", {"dims": axes})]


@layer("ops.Roll", takes_call=True)
def roll(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the elements moved along axes; those that leave one end enter at the other."""
    operation = Operation.of(layer, shapes, "x", "shift", "axis")
    operation.only("x")
    kwargs: dict[str, Plain] = {"shifts": integers(operation.layer, "shift")}
    if operation.settings.get("axis") is not None:
        kwargs["dims"] = axes_of(operation.layer, "axis", len(shapes[0]))
    return [TorchStep("torch.roll", kwargs)]


@layer("ops.Rot90", takes_call=True)
def rotate(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return x turned by right angles in the plane of two axes."""
    operation = Operation.of(layer, shapes, "array", "k", "axes")
    times = integer(operation.layer, "k", 1)
    axes = axes_of(operation.layer, "axes", len(shapes[0]))
    shape = list(shapes[0])
    if times % 4 == 2 and (shape[axes[0]] is None or shape[axes[0]] != shape[axes[1]]):
        # keras 3.15.1, backend/tensorflow/numpy.py, `rot90` gives the first of two turns the shape of the second.
        raise refused(layer, f"two turns of {shapes[0]}, which Keras on TensorFlow tears apart")
    if times % 2:
        shape[axes[0]], shape[axes[1]] = shape[axes[1]], shape[axes[0]]
    return [TorchStep("torch.rot90", {"k": times, "dims": axes}, shape=tuple(shape))]


@layer("ops.Tril", "ops.Triu", takes_call=True)
def triangle(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return x with zeros above or below a diagonal of its last two axes."""
    operation = Operation.of(layer, shapes, "x", "k")
    operation.only("x")
    op = "torch.tril" if layer.class_name == "ops.Tril" else "torch.triu"
    offset = integer(operation.layer, "k", 0)
    return [TorchStep(op, {"diagonal": offset} if offset else {})]


@layer("ops.Diagonal", takes_call=True)
def diagonal(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return a diagonal of two axes, as the last axis."""
    operation = Operation.of(layer, shapes, "x", "offset", "axis1", "axis2")
    rank = len(shapes[0])
    first = axis_of(operation.layer, "axis1", rank, 0)
    second = axis_of(operation.layer, "axis2", rank, 1)
    offset = integer(operation.layer, "offset", 0)
    kwargs: dict[str, Plain] = {"offset": offset, "dim1": first, "dim2": second}
    rows, columns = shapes[0][first], shapes[0][second]
    size = None
    if rows is not None and columns is not None:
        size = max(0, min(rows + min(offset, 0), columns - max(offset, 0)))
    rest = [each for axis, each in enumerate(shapes[0]) if axis not in (first, second)]
    return [TorchStep("torch.diagonal", kwargs, shape=(*rest, size))]


@layer("ops.Diag", "ops.Diagflat", takes_call=True)
def diagonal_matrix(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return a matrix with x on a diagonal, or the diagonal of a matrix."""
    operation = Operation.of(layer, shapes, "x", "k")
    operation.only("x")
    offset = integer(operation.layer, "k", 0)
    if layer.class_name == "ops.Diag" and len(shapes[0]) == 2:
        rows, columns = shapes[0]
        size = None
        if rows is not None and columns is not None:
            size = max(0, min(rows + min(offset, 0), columns - max(offset, 0)))
        kwargs: dict[str, Plain] = {"offset": offset} if offset else {}
        return [TorchStep("torch.diagonal", kwargs, shape=(size,))]
    row = row_step(shapes[0])
    [count] = row.shape or (None,)
    side = None if count is None else count + abs(offset)
    step = TorchStep("torch.diag_embed", {"offset": offset} if offset else {}, shape=(side, side))
    return [step] if len(shapes[0]) == 1 else [row, step]


@layer("ops.Pad", takes_call=True)
def pad(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return x with a constant or elements of its own before and after its axes."""
    operation = Operation.of(layer, shapes, "x", "pad_width", "mode", "constant_values")
    operation.only("x")
    mode = text(operation.layer, "mode", "constant").lower()
    if mode not in ("constant", *PAD_MODES):
        raise unsupported(operation.layer, "mode", needed=f"constant, {', '.join(PAD_MODES)}")
    value = operation.settings.get("constant_values")
    if value not in (None, 0) and not isinstance(value, (int, float)):
        raise unsupported(operation.layer, "constant_values", needed="a number")
    rank = len(shapes[0])
    given = operation.settings.get("pad_width")
    pairs = list(given) if isinstance(given, (list, tuple)) else [(given, given)]
    pairs = [pair if isinstance(pair, (list, tuple)) else (pair, pair) for pair in pairs]
    pairs = pairs * rank if len(pairs) == 1 else pairs
    cells = [cell for cell in flat(pairs) if isinstance(cell, int)]
    if len(pairs) != rank or len(cells) != 2 * rank:
        raise unsupported(operation.layer, "pad_width", needed=f"{rank} pairs of integers")
    whole = list(zip(cells[::2], cells[1::2], strict=True))
    shape = tuple(
        None if size is None else size + sum(pair)
        for size, pair in zip(shapes[0], whole, strict=True)
    )
    if mode != "constant":
        longest = {"reflect": -1, "symmetric": 0}.get(mode)
        for size, pair in zip(shapes[0], whole, strict=True):
            if longest is not None and size is not None and max(pair) > size + longest:
                raise refused(layer, f"mode '{mode}' with {max(pair)} cells of an axis of {size}")
        pads: dict[str, Plain] = {"pad": tuple(whole), "mode": mode}
        return [TorchStep("compat.pad_with_own", pads, shape=shape)]
    kwargs: dict[str, Plain] = {"pad": pad_argument(whole)}
    if value:
        kwargs["value"] = cast("float", value)
    return [TorchStep("F.pad", kwargs, shape=shape)]
