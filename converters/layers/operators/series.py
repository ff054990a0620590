"""Operations that give rows of numbers, grids and correlations."""

from __future__ import annotations

import math

from converters.graph import Layer
from converters.registry import Lowered, Plain, Shape, TorchStep, layer
from converters.rule_parts.operations import (
    Operation,
    axis_of,
    broadcast,
    call_of,
    dtype_of,
    refused,
)
from converters.settings import flag, integer, integers, number, text, unsupported


@layer("ops.Linspace", "ops.Logspace", "ops.Geomspace", takes_call=True, numbers="floats")
def row(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return numbers with the same distance, or the same quotient, from one to the next."""
    operation = Operation.of(layer, shapes, "start", "stop")
    operation.only("start", "stop")
    bound = operation.layer
    if flag(bound, "retstep", default=False):
        raise unsupported(bound, "retstep", needed="false")
    ends = [operation.value(key) for key in ("start", "stop")]
    shape = list(broadcast(bound, [operation.shape(key) for key in ("start", "stop")]))
    count = integer(bound, "num", 50)
    axis = axis_of(bound, "axis", len(shape) + 1, 0)
    first = ends[0]
    if layer.class_name == "ops.Geomspace":
        if axis != 0:
            raise unsupported(bound, "axis", needed="0")
        ends = [
            operation.result("torch.log10", of=[operation.result("torch.abs", of=[end])])
            for end in ends
        ]
    shape.insert(axis, count)
    kwargs: dict[str, Plain] = {"num": count, "axis": axis}
    kwargs |= {} if flag(bound, "endpoint", default=True) else {"endpoint": False}
    found = operation.result("compat.evenly_spaced", kwargs, of=ends, shape=tuple(shape))
    if layer.class_name != "ops.Linspace":
        found = operation.result("operator.pow", {"left": number(bound, "base", 10)}, of=[found])
    if layer.class_name == "ops.Geomspace":
        sign = operation.result("torch.sign", of=[first])
        found = operation.result("operator.mul", of=[found, sign], shape=tuple(shape))
    if operation.settings.get("dtype") is not None:
        dtype = dtype_of(bound, "dtype")
        if not dtype.startswith("float"):
            raise unsupported(bound, "dtype", needed="a floating type")
        operation.result("compat.cast", {"dtype": dtype}, of=[found])
    return operation.steps


@layer("ops.Meshgrid", takes_call=True)
def mesh_grid(layer: Layer, *shapes: Shape) -> list[TorchStep] | Lowered:
    """Return grids over all elements of the tensors, those of the batch as well."""
    keys = [f"x_{index}" for index in range(len(call_of(layer).args))]
    operation = Operation.of(layer, shapes, *keys)
    indexing = text(operation.layer, "indexing", "xy")
    if indexing not in ("xy", "ij"):
        raise unsupported(operation.layer, "indexing", needed="xy or ij")
    if len(keys) == 1:
        operation.in_a_row(keys[0])
        return operation.steps
    names = [operation.value(key) for key in keys]
    found = [operation.shape(key) for key in keys]
    sizes = [None if None in shape else math.prod(size or 0 for size in shape) for shape in found]
    if indexing == "xy":
        sizes[0], sizes[1] = sizes[1], sizes[0]
    results = tuple(f"grid_{index}" for index in range(len(keys)))
    whole = tuple(sizes)
    step = TorchStep(
        *("compat.mesh_grid", {"indexing": indexing}, (), whole, "", tuple(names), results),
        further_shapes=(whole,) * (len(keys) - 1),
    )
    return Lowered((*operation.steps, step), results)


@layer("ops.Correlate", takes_call=True, numbers="floats")
def correlate(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the sums of products of one row with all parts of another."""
    operation = Operation.of(layer, shapes, "x1", "x2")
    mode = text(operation.layer, "mode", "valid")
    found = [operation.shape("x1"), operation.shape("x2")]
    if mode not in ("valid", "same", "full") or [len(shape) for shape in found] != [1, 1]:
        raise refused(layer, f"mode {mode!r:.20} of inputs {found}, two rows are needed")
    names = [operation.value("x1"), operation.value("x2")]
    n, m = found[0][0], found[1][0]
    shape: Shape = (None,)
    if n is not None and m is not None:
        shape = ({"valid": n - m + 1, "same": max(n, m), "full": n + m - 1}[mode],)
    operation.result("compat.correlate", {"mode": mode}, of=names, shape=shape)
    return operation.steps


@layer("ops.Corrcoef", takes_call=True, numbers="floats")
def correlation_coefficients(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return how each row goes along with each other."""
    Operation.of(layer, shapes, "x").only("x")
    if len(shapes[0]) != 2:
        raise refused(layer, f"input {shapes[0]}, two axes are needed")
    count = shapes[0][0]
    return [TorchStep("compat.correlation_coefficients", shape=(count, count))]


@layer("ops.Cross", takes_call=True)
def cross(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return vectors at right angles to two others."""
    operation = Operation.of(layer, shapes, "x1", "x2")
    bound = operation.layer
    whole, keys = operation.settings.get("axis"), ("axisa", "axisb", "axisc")
    axes = [-1 if whole is None else integer(bound, "axis")] * 3
    if whole is None:
        axes = [integer(bound, key, -1) for key in keys]
    found = [operation.shape("x1"), operation.shape("x2")]
    sizes = [shape[axis] for shape, axis in zip(found, axes, strict=False)]
    if not all(size in (2, 3) for size in sizes):
        raise refused(layer, f"inputs {shapes}, vectors of two or three elements are needed")
    rest = [
        tuple(size for place, size in enumerate(shape) if place != axis % len(shape))
        for shape, axis in zip(found, axes, strict=False)
    ]
    shape = list(broadcast(layer, rest))
    if sizes != [2, 2]:
        shape.insert(axes[2] % (len(shape) + 1), 3)
    names = [operation.value("x1"), operation.value("x2")]
    kwargs: dict[str, Plain] = {} if axes == [-1, -1, -1] else {"axes": tuple(axes)}
    operation.result("compat.cross_product", kwargs, of=names, shape=tuple(shape))
    return operation.steps


@layer("ops.Size", takes_call=True, numbers="whole")
def size(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the number of elements."""
    Operation.of(layer, shapes, "x").only("x")
    return [TorchStep("compat.count_elements", shape=())]


@layer("ops.Full", takes_call=True)
def full(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return a shape full of the number that a tensor has."""
    operation = Operation.of(layer, shapes, "fill_value")
    operation.only("fill_value")
    sizes = integers(operation.layer, "shape")
    dtype = dtype_of(operation.layer, "dtype", "float32")
    return [
        TorchStep("compat.cast", {"dtype": dtype}),
        TorchStep("torch.broadcast_to", {"size": sizes}, shape=tuple(sizes)),
    ]


@layer("ops.Dstack", takes_call=True)
def stack_depth(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return tensors joined along their third axis, which is added where it is missing."""
    places = {1: (0, 2), 2: (2,)}
    steps, whole = [], []
    for index, shape in enumerate(shapes):
        name = f"input_{index}"
        for dim in (0, 0, 0) if not shape else places.get(len(shape), ()):
            shape = (*shape[:dim], 1, *shape[dim:])
            added = f"{name}_{len(shape)}"
            step = TorchStep("torch.unsqueeze", {"dim": dim}, (), shape, "", (name,), (added,))
            steps.append(step)
            name = added
        whole.append((name, shape))
    depths = [shape[2] for _, shape in whole]
    depth = None if None in depths else sum(size or 0 for size in depths)
    first = whole[0][1]
    joined = (*first[:2], depth, *first[3:])
    names = tuple(name for name, _ in whole)
    steps.append(TorchStep("torch.cat", {"dim": 2}, (), joined, "", names))
    return steps
