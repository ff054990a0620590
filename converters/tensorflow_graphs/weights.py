"""Weights on their way to a layer: what only moves their numbers is done when they are read, not by the network."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from converters.tensorflow_graphs.builder import derived
from converters.tensorflow_graphs.flatten import FlatNode
from converters.tensorflow_graphs.folding import NotFolded, fold
from converters.tensorflow_graphs.values import AnyArray, Known, Value, Weights

_MOVING = (
    *("Reshape", "Transpose", "Squeeze", "ExpandDims", "ConcatV2", "Slice", "StridedSlice", "Pack"),
    *("GatherV2", "Cast", "Tile", "BroadcastTo"),
)
"""Operations that move, take or repeat numbers."""
_KEEPING = ("Reshape", "Squeeze", "ExpandDims")


def moved_weights(node: FlatNode, inputs: Sequence[Value]) -> Weights | None:
    """Return the weight that a node makes of weights and constants alone; None if it computes, or takes anything else."""
    weights = [value for value in inputs if isinstance(value, Weights)]
    if node.op not in _MOVING or not weights:
        return None
    if not all(isinstance(value, (Known, Weights)) for value in inputs):
        return None
    first = weights[0]
    try:
        # A view with strides of 0 has the shape and costs no memory until it is moved.
        shadow = fold(node.op, node.attributes, [_shadow(value) for value in inputs])
    except NotFolded:
        return None
    sizes = [[size for size in shape if size != 1] for shape in (shadow.shape, first.shape)]
    whole = node.op in _KEEPING and sizes[0] == sizes[1]
    whole = whole or _joins_all(node, weights)
    return derived(first, shadow, partial(_read, node, tuple(inputs)), whole=whole)


def _shadow(value: Value) -> AnyArray:
    if isinstance(value, Known):
        return value.array
    shape = tuple(size or 0 for size in value.shape or ())
    return np.broadcast_to(np.zeros((), value.dtype), shape)


def _joins_all(node: FlatNode, weights: Sequence[Weights]) -> bool:
    """Tell whether the parts of a partitioned variable are put together again."""
    return (
        node.op == "ConcatV2"
        and len({weight.array.name for weight in weights}) == 1
        and len(weights) > 1
    )


def _read(node: FlatNode, inputs: Sequence[Value]) -> AnyArray:
    arrays: list[AnyArray] = []
    for value in inputs:
        if isinstance(value, Weights):
            arrays.append(np.asarray(value.array.read()))
        elif isinstance(value, Known):
            arrays.append(value.array)
    return fold(node.op, node.attributes, arrays)
