"""Rules of operations that take elements by their places, and of the places themselves."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from converters.tensorflow_graphs.flatten import FlatNode
from converters.tensorflow_graphs.layer_rules import as_weights, layer_name
from converters.tensorflow_graphs.rules import (
    Translation,
    graph_rule,
    known,
    rank_of,
    refused_node,
    shape_of,
)
from converters.tensorflow_graphs.sizes import counted
from converters.tensorflow_graphs.values import (
    Known,
    Sizes,
    Tensor,
    Value,
    plain_number,
    plain_numbers,
)


@graph_rule("GatherV2", "Gather", "ResourceGather")
def gather(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return an embedding where rows of a weight are taken, else the elements of an axis at some places."""
    table = as_weights(inputs[0], 2)
    axis = int(known(node, inputs[2], "axis").array.item()) if len(inputs) > 2 else 0
    batches = node.attributes.integer("batch_dims")
    if batches:
        return _of_every_row(node, inputs, translation, axis=axis, batches=batches)
    if table is not None and len(table.shape) == 2 and axis == 0 and isinstance(inputs[1], Tensor):
        config: dict[str, object] = {"input_dim": table.shape[0], "output_dim": table.shape[1]}
        weights = {"embeddings": table}
        return translation.builder.layer(
            "Embedding", layer_name(table), config, [inputs[1]], weights=weights, dtype=table.dtype
        )[0]
    arguments: dict[str, object] = {"x": inputs[0], "indices": inputs[1], "axis": axis}
    if isinstance(inputs[1], Known):
        arguments["indices"] = plain_numbers(inputs[1].array)
    return translation.operation(node, "Take", arguments, dtype=inputs[0].dtype)[0]


def _of_every_row(
    node: FlatNode,
    inputs: Sequence[Value],
    translation: Translation,
    *,
    axis: int,
    batches: int,
) -> Value:
    """Return the elements at places that every row has of its own."""
    x = translation.tensor(node, inputs[0])
    places = translation.tensor(node, inputs[1])
    rank = rank_of(node, x)
    if batches not in (1, 1 - len(places.shape)) or axis % rank != 1 or len(places.shape) > 2:
        raise refused_node(
            node, f"batch_dims {batches} with axis {axis}; 1 and the axis behind it are needed"
        )
    flat = len(places.shape) == 1
    wanted = (-1, 1 if flat else places.shape[1] or -1, *[1] * (rank - 2))
    spread = translation.operation(node, "Reshape", {"x": places, "newshape": wanted})[0]
    if rank > 2:
        repeats = (1, 1, *(x.shape[2:]))
        if None in repeats or None in wanted:
            raise refused_node(node, "takes whole rows of open size")
        spread = translation.operation(node, "Tile", {"x": spread, "repeats": repeats})[0]
    found = _along(node, x, spread, 1, translation)
    if flat:
        return translation.operation(node, "Squeeze", {"x": found, "axis": 1})[0]
    return found


def _along(node: FlatNode, x: Value, places: Value, axis: int, translation: Translation) -> Tensor:
    arguments: dict[str, object] = {"x": x, "indices": places, "axis": axis}
    return translation.operation(node, "TakeAlongAxis", arguments)[0]


@graph_rule("GatherNd")
def gather_nd(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return the elements whose places along the first axes are the numbers of the last axis of the places."""
    x = translation.tensor(node, inputs[0])
    places = translation.tensor(node, inputs[1])
    depth = places.shape[-1] if places.shape else None
    if depth is None or not 0 < depth <= len(x.shape):
        raise refused_node(node, f"places of shape {places.shape} for {x.shape}")
    inner = x.shape[1:depth]
    if None in inner:
        raise refused_node(
            node, f"takes elements of {x.shape}, whose sizes behind the first are open"
        )
    strides = [math.prod(each or 0 for each in inner[place:]) for place in range(depth)]
    places = translation.cast(node, places, "int64")
    factors = Known(np.array(strides, np.int64))
    scaled = translation.operation(node, "Multiply", {"x1": places, "x2": factors})[0]
    row = translation.operation(node, "Sum", {"x": scaled, "axis": -1}, dtype="int64")[0]
    flat = x
    if depth > 1:
        wanted = (-1, *x.shape[depth:])
        if None in wanted:
            raise refused_node(node, "takes parts of open size")
        flat = translation.operation(node, "Reshape", {"x": x, "newshape": wanted})[0]
    return translation.operation(node, "Take", {"x": flat, "indices": row, "axis": 0})[0]


@graph_rule("Range")
def count_up(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return 0, 1, 2, ... up to a size that is only known when the network runs."""
    start, limit, step = inputs
    begins = [plain_number(each.array) for each in (start, step) if isinstance(each, Known)]
    origin = limit.origins[0] if isinstance(limit, Sizes) and limit.origins else None
    if begins != [0, 1] or origin is None:
        raise refused_node(node, "counts to what is computed; a size, from 0 on, is needed")
    return counted(translation.builder, origin, "int32")


@graph_rule("SparseSoftmaxCrossEntropyWithLogits")
def sparse_cross_entropy(
    node: FlatNode, inputs: Sequence[Value], translation: Translation
) -> Value:
    """Return minus the logarithm of the probability of each label."""
    logits = translation.tensor(node, inputs[0])
    labels = translation.tensor(node, inputs[1])
    logs = translation.operation(node, "LogSoftmax", {"x": logits, "axis": -1})[0]
    places = translation.operation(node, "ExpandDims", {"x": labels, "axis": -1})[0]
    if places.dtype != "int64":
        places = translation.cast(node, places, "int64")
    chosen = _along(node, logs, places, -1, translation)
    chosen = translation.operation(node, "Squeeze", {"x": chosen, "axis": -1})[0]
    return translation.operation(node, "Negative", {"x": chosen})[0]


@graph_rule("SoftmaxCrossEntropyWithLogits")
def cross_entropy(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return minus the mean logarithm of the probabilities, weighted by the labels."""
    logits = translation.tensor(node, inputs[0])
    logs = translation.operation(node, "LogSoftmax", {"x": logits, "axis": -1})[0]
    product = translation.operation(node, "Multiply", {"x1": inputs[1], "x2": logs})[0]
    total = translation.operation(node, "Sum", {"x": product, "axis": -1})[0]
    return translation.operation(node, "Negative", {"x": total})[0]


@graph_rule("Tile")
def tile(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return a tensor repeated along its axes; along an axis of one also as often as a size says."""
    x = translation.tensor(node, inputs[0])
    if not isinstance(inputs[1], Sizes):
        repeats = plain_numbers(known(node, inputs[1], "the repeats").array)
        return translation.operation(node, "Tile", {"x": x, "repeats": repeats})[0]
    from converters.tensorflow_graphs.values import Filled

    entries = inputs[1].entries
    fixed = tuple(1 if each is None else each for each in entries)
    if any(
        each is None and size != 1 for each, size in zip(entries, shape_of(node, x), strict=True)
    ):
        raise refused_node(node, "repeats rows as often as a size says; one row is needed")
    if any(each != 1 for each in fixed):
        x = translation.operation(node, "Tile", {"x": x, "repeats": fixed})[0]
    shape = tuple(None if each is None else 1 for each in entries)
    return spread(node, x, Filled(0.0, shape, x.dtype, origins=inputs[1].origins), translation)


def spread(node: FlatNode, x: Tensor, zeros: Value, translation: Translation) -> Tensor:
    """Return a tensor repeated to the shape of zeros."""
    full = translation.tensor(node, zeros)
    return translation.operation(node, "Add", {"x1": x, "x2": full})[0]
