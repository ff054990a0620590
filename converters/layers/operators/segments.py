"""Operations by segment, counts, places, and cross entropies among the layers."""

from __future__ import annotations

from converters.graph import Constant, Layer
from converters.registry import Lowered, Plain, Shape, TorchStep, layer
from converters.rule_parts.operations import (
    Operation,
    axis_of,
    broadcast,
    dtype_of,
    refused,
)
from converters.settings import flag, integer, integers, number, unsupported

_SEGMENTS = {
    "ops.SegmentSum": "sum",
    "ops.SegmentMax": "amax",
    "ops.SegmentMin": "amin",
    "ops.SegmentProd": "prod",
}
"""What the rows are reduced by; that they are sorted TensorFlow believes only without a number of segments."""


@layer(*_SEGMENTS, takes_call=True)
def segments(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return what the rows of every segment come to; the number of segments must be stated."""
    operation = Operation.of(layer, shapes, "data", "segment_ids")
    operation.only("data", "segment_ids")
    if operation.settings.get("num_segments") is None:
        raise unsupported(
            operation.layer,
            "num_segments",
            needed="a whole number: without one, the result's size depends on the elements of the input",
        )
    count = integer(operation.layer, "num_segments")
    reduce = _SEGMENTS[layer.class_name]
    names = [operation.value("data"), operation.value("segment_ids")]
    rest = operation.shape("data")[len(operation.shape("segment_ids")) :]
    kwargs: dict[str, Plain] = {"count": count, "reduce": reduce}
    operation.result("compat.segment_reduce", kwargs, of=names, shape=(count, *rest))
    return operation.steps


@layer("ops.InTopK", takes_call=True)
def in_top_k(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return whether the prediction of the target is among the k largest."""
    operation = Operation.of(layer, shapes, "targets", "predictions")
    operation.only("targets", "predictions")
    names = [operation.value("targets"), operation.value("predictions")]
    count = integer(operation.layer, "k")
    operation.result("compat.in_top_k", {"k": count}, of=names, shape=operation.shape("targets"))
    return operation.steps


@layer("ops.UnravelIndex", takes_call=True)
def unravel_index(layer: Layer, *shapes: Shape) -> Lowered:
    """Return the places on several axes that numbers of a row stand for."""
    operation = Operation.of(layer, shapes, "indices")
    operation.only("indices")
    sizes = integers(operation.layer, "shape")
    # For more than one axis of indices Keras divides by the first size first (3.15.1, backend/tensorflow/numpy.py).
    order = tuple(reversed(sizes)) if len(shapes[0]) == 1 else sizes
    results = tuple(f"place_{index}" for index in range(len(sizes)))
    step = TorchStep(
        *("compat.unravel_index", {"sizes": order}, (), shapes[0], "", (), results),
        further_shapes=(shapes[0],) * (len(sizes) - 1),
    )
    return Lowered((step,), results)


@layer("ops.CDist", takes_call=True)
def distances(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the distance of every row of the first to every row of the second."""
    operation = Operation.of(layer, shapes, "x", "y")
    first, second = operation.shape("x"), operation.shape("y")
    rows, columns = (*first[:-1], 1, first[-1]), (*second[:-2], 1, *second[-2:])
    names = [
        operation.result("torch.unsqueeze", {"dim": dim}, of=[operation.value(key)], shape=shape)
        for key, dim, shape in (("x", -2, rows), ("y", -3, columns))
    ]
    whole = broadcast(layer, [rows, columns])
    difference = operation.result("operator.sub", of=names, shape=whole)
    square = operation.result("torch.square", of=[difference], shape=whole)
    total = operation.result("torch.sum", {"dim": -1}, of=[square], shape=whole[:-1])
    operation.result("torch.sqrt", of=[total], shape=whole[:-1])
    return operation.steps


@layer("ops.Trapezoid", takes_call=True, numbers="floats")
def trapezoid(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the integral along an axis by the means of neighbours."""
    operation = Operation.of(layer, shapes, "y")
    axis = axis_of(operation.layer, "axis", len(shapes[0]), -1)
    shape = (*shapes[0][:axis], *shapes[0][axis + 1 :])
    names = [operation.tensor("y")]
    kwargs: dict[str, Plain] = {"dim": axis}
    places = operation.settings.get("x")
    if places is None:
        kwargs |= (
            {} if operation.settings.get("dx", 1.0) == 1 else {"dx": number(operation.layer, "dx")}
        )
    elif isinstance(places, (Constant, list, tuple)) and len(operation.shape("x")) == 1:
        names.append(operation.value("x"))
    else:
        raise unsupported(operation.layer, "x", needed="null or a row of numbers")
    operation.result("torch.trapezoid", kwargs, of=names, shape=shape)
    return operation.steps


@layer("ops.Select", takes_call=True)
def select(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return for every element the choice of the first condition that holds, or a default."""
    operation = Operation.of(layer, shapes, "condlist", "choicelist", "default")
    conditions, choices = (operation.settings.get(key) for key in ("condlist", "choicelist"))
    if (
        not isinstance(conditions, (list, tuple))
        or not isinstance(choices, (list, tuple))
        or len(conditions) != len(choices)
    ):
        raise refused(layer, "as many conditions as choices are needed")
    parts: dict[str, object] = {f"condition_{index}": each for index, each in enumerate(conditions)}
    parts |= {f"choice_{index}": each for index, each in enumerate(choices)}
    parts["default"] = operation.settings.get("default") or 0
    operation.layer = Layer(layer.name, layer.class_name, parts)
    found, shape = operation.value("default"), operation.shape("default")
    for index in reversed(range(len(choices))):
        keys = (f"condition_{index}", f"choice_{index}")
        shape = broadcast(layer, [operation.shape(key) for key in keys] + [shape])
        names = [*(operation.value(key) for key in keys), found]
        found = operation.result("torch.where", of=names, shape=shape)
    return operation.steps


_BITS = {
    "float64": 8,
    "int64": 8,
    "float32": 4,
    "int32": 4,
    "float16": 2,
    "bfloat16": 2,
    "int16": 2,
}
"""Bytes of a number; all others have one."""


@layer("ops.View", takes_call=True)
def bits_as(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the bits of x as numbers of another type."""
    operation = Operation.of(layer, shapes, "x")
    operation.only("x")
    if operation.settings.get("dtype") is None:
        return []
    dtype = dtype_of(operation.layer, "dtype")
    if len(operation.dtypes) != 1:
        raise refused(layer, "an input whose type the file does not state")
    before = operation.dtypes[0]
    size = shapes[0][-1] if shapes[0] else None
    size = None if size is None else size * _BITS.get(before, 1) // _BITS.get(dtype, 1)
    shape = (*shapes[0][:-1], size) if shapes[0] else ()
    return [TorchStep("compat.bits_as", {"dtype": dtype}, shape=shape)]


_LOSSES = {
    "ops.BinaryCrossentropy": "compat.binary_crossentropies",
    "ops.CategoricalCrossentropy": "compat.categorical_crossentropies",
    "ops.SparseCategoricalCrossentropy": "compat.sparse_categorical_crossentropies",
}


@layer(*_LOSSES, takes_call=True)
def crossentropies(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the cross entropy of every element, or of every row of classes."""
    operation = Operation.of(layer, shapes, "target", "output")
    operation.only("target", "output")
    names = [operation.value("target"), operation.value("output")]
    kwargs: dict[str, Plain] = {}
    if flag(operation.layer, "from_logits", default=False):
        kwargs["from_logits"] = True
    shape = operation.shape("output")
    if layer.class_name != "ops.BinaryCrossentropy":
        axis = axis_of(operation.layer, "axis", len(shape), -1)
        if layer.class_name == "ops.CategoricalCrossentropy":
            kwargs |= {} if axis == len(shape) - 1 else {"axis": axis}
        elif axis != len(shape) - 1:
            raise unsupported(operation.layer, "axis", needed="the last one")
        shape = (*shape[:axis], *shape[axis + 1 :])
    operation.result(_LOSSES[layer.class_name], kwargs, of=names, shape=shape)
    return operation.steps


@layer("ops.PSNR", takes_call=True)
def signal_to_noise(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return 20 log10 of the largest value less 10 log10 of the mean squared difference of all elements."""
    operation = Operation.of(layer, shapes, "x1", "x2")
    largest = number(operation.layer, "max_val")
    if largest <= 0:
        raise unsupported(operation.layer, "max_val", needed="a number above 0")
    names = [operation.value("x1"), operation.value("x2")]
    whole = broadcast(layer, [operation.shape("x1"), operation.shape("x2")])
    found = operation.result("operator.sub", of=names, shape=whole)
    found = operation.result("torch.square", of=[found], shape=whole)
    found = operation.result("torch.mean", of=[found], shape=())
    found = operation.result("operator.truediv", {"right": largest**2}, of=[found], shape=())
    found = operation.result("torch.log10", of=[found], shape=())
    operation.result("operator.mul", {"right": -10.0}, of=[found], shape=())
    return operation.steps
