"""Rules of operations that put elements at places or join those of one segment."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from converters.tensorflow_graphs.flatten import FlatNode
from converters.tensorflow_graphs.rules import (
    Translation,
    graph_rule,
    refused_node,
    whole_number,
)
from converters.tensorflow_graphs.sizes import sizes_of_value
from converters.tensorflow_graphs.values import AnyArray, Filled, Known, Sizes, Tensor, Value

_JOINED = {"Sum": "add", "Mean": "add", "Prod": "mul", "Max": "max", "Min": "min"}
"""Last parts of the names of operations, to what Keras calls the same."""


def _onto(
    node: FlatNode, x: Value, places: Value, values: Value, joined: str, translation: Translation
) -> Tensor:
    arguments: dict[str, object] = {
        "inputs": translation.tensor(node, x),
        "indices": translation.tensor(node, places),
        "updates": translation.tensor(node, values),
    }
    if joined:
        arguments["reduction"] = joined
    return translation.operation(node, "ScatterUpdate", arguments)[0]


@graph_rule("ScatterNd")
def scatter_nd(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return zeros with values added at some places, in a shape that is known or that of something."""
    places, values, shape = inputs
    if not isinstance(shape, (Known, Sizes)):
        raise refused_node(node, "a shape that is computed")
    entries = (
        shape.entries if isinstance(shape, Sizes) else tuple(int(each) for each in shape.array)
    )
    origins = shape.origins if isinstance(shape, Sizes) else ()
    zeros = Filled(0.0, entries, values.dtype, origins=origins)
    return _onto(node, zeros, places, values, "add", translation)


@graph_rule(
    *("TensorScatterUpdate", "TensorScatterAdd", "TensorScatterMax", "TensorScatterMin"),
    "TensorScatterSub",
)
def scatter_onto(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return a tensor with other elements at some places, or joined with those that are there."""
    x, places, values = inputs
    joined = {"Add": "add", "Sub": "add", "Max": "max", "Min": "min"}.get(node.op[-3:], "")
    if node.op.endswith("Sub"):
        taken: dict[str, object] = {"x": translation.tensor(node, values)}
        values = translation.operation(node, "Negative", taken)[0]
    return _onto(node, x, places, values, joined, translation)


@graph_rule(
    *("SegmentSum", "SegmentMean", "SegmentProd", "SegmentMax", "SegmentMin"),
    *("UnsortedSegmentSum", "UnsortedSegmentProd", "UnsortedSegmentMax", "UnsortedSegmentMin"),
)
def segments(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return the sum, or the like, of the rows of every segment.

    Source: tensorflow 2.21, core/kernels/segment_reduction_ops_impl.h: empty segments are 0 where the segments are sorted,
    else what the reduction begins with; rows of segments below 0 belong to none.
    """
    values = translation.tensor(node, inputs[0])
    segment = inputs[1]
    if len(segment.shape or ()) != 1:
        raise refused_node(node, f"segments of shape {segment.shape}; one for each row is needed")
    kind = node.op.removeprefix("Unsorted").removeprefix("Segment")
    ids = segment.array if isinstance(segment, Known) else None
    if ids is None and (kind != "Sum" or len(inputs) < 3):
        raise refused_node(node, "segments that are computed; constants are needed")
    count = _count(node, inputs, ids)
    if ids is None:
        return _added(node, values, translation.tensor(node, segment), count, translation)
    kept = np.flatnonzero(np.greater_equal(ids, 0))
    if len(kept) < len(ids):
        rows: dict[str, object] = {"x": values, "indices": tuple(kept.tolist()), "axis": 0}
        values = translation.operation(node, "Take", rows)[0]
    places = np.asarray(ids[kept], np.int64)
    sizes = np.bincount(places, minlength=count.entries[0] or 0)
    if len(inputs) < 3 and kind in ("Prod", "Max", "Min") and not sizes.all():
        raise refused_node(node, "segments without rows")
    start = _start(values, _begin(kind, values.dtype), count, translation)
    column = Known(places[:, None], node.name)
    found = _onto(node, start, column, values, _JOINED[kind], translation)
    if kind != "Mean":
        return found
    divisors = np.maximum(sizes, 1).reshape(-1, *[1] * (len(values.shape) - 1))
    quotient: dict[str, object] = {
        "x1": found,
        "x2": Known(divisors.astype(values.dtype), node.name),
    }
    return translation.operation(node, "Divide", quotient)[0]


def _start(values: Tensor, number: float, count: Sizes, translation: Translation) -> Filled:
    """Return one number in every place of all segments."""
    origins = (*(count.origins or (None,)), *sizes_of_value(values, translation.builder)[1:])
    return Filled(number, (*count.entries, *values.shape[1:]), values.dtype, origins=origins)


def _count(node: FlatNode, inputs: Sequence[Value], ids: AnyArray | None) -> Sizes:
    """Return the number of segments."""
    given = inputs[2] if len(inputs) > 2 else None
    if isinstance(given, Sizes):
        return given
    if isinstance(given, Known):
        return Sizes((int(given.array.item()),))
    if ids is None or given is not None:
        raise refused_node(node, "a number of segments that is computed")
    return Sizes((int(ids[-1]) + 1 if ids.size else 0,))


def _begin(kind: str, dtype: str) -> float:
    """Return what a reduction begins with."""
    limits = np.finfo(dtype) if dtype.startswith("float") else np.iinfo(dtype)
    return float({"Prod": 1, "Max": limits.min, "Min": limits.max}.get(kind, 0))


def _added(
    node: FlatNode, values: Tensor, ids: Tensor, count: Sizes, translation: Translation
) -> Tensor:
    """Return the sums of segments that are computed: rows of those below 0 are added as zeros."""
    axes = tuple(range(1, len(values.shape)))
    call = translation.operation
    below = call(node, "Less", {"x1": ids, "x2": 0})[0]
    first = call(node, "Maximum", {"x1": ids, "x2": 0})[0]
    places = call(node, "ExpandDims", {"x": first, "axis": -1})[0]
    condition = Tensor(below.ref, below.shape, "bool")
    if axes:
        condition = call(node, "ExpandDims", {"x": condition, "axis": axes}, dtype="bool")[0]
    zero = Known(np.zeros((), values.dtype), node.name)
    chosen: dict[str, object] = {"condition": condition, "x1": zero, "x2": values}
    kept = call(node, "Where", {**chosen, "condition_dtype": "bool"}, dtype=values.dtype)[0]
    return _onto(node, _start(values, 0.0, count, translation), places, kept, "add", translation)


@graph_rule("InTopK", "InTopKV2")
def in_top(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return whether fewer than k elements of a row are larger than the one at its place."""
    values, places = (translation.tensor(node, each) for each in inputs[:2])
    count = whole_number(node, inputs[2], "k") if len(inputs) > 2 else node.attributes.integer("k")
    call = translation.operation
    column = call(node, "ExpandDims", {"x": places, "axis": -1})[0]
    own = call(node, "TakeAlongAxis", {"x": values, "indices": column, "axis": -1})[0]
    larger = call(node, "Greater", {"x1": values, "x2": own})[0]
    numbers = call(node, "Cast", {"x": larger, "dtype": "int32"}, dtype="int32")[0]
    total = call(node, "Sum", {"x": numbers, "axis": -1}, dtype="int32")[0]
    found = call(node, "Less", {"x1": total, "x2": count})[0]
    return Tensor(found.ref, found.shape, "bool")
