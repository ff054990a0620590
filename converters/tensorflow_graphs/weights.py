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
_CARRIED = (
    *("Reshape", "Transpose", "Squeeze", "ExpandDims", "Slice", "StridedSlice"),
    *("ConcatV2", "Pack"),
)
"""Those that repeat no number."""


def moved_weights(node: FlatNode, inputs: Sequence[Value]) -> Weights | None:
    """Return the weight that a node makes of weights and constants alone; None if it computes, or takes anything else."""
    weights = [value for value in inputs if isinstance(value, Weights)]
    if node.op not in _MOVING or not weights:
        return None
    if not all(isinstance(value, (Known, Weights)) for value in inputs):
        return None
    try:
        # A view with strides of 0 has the shape and costs no memory until it is moved.
        shadow = fold(node.op, node.attributes, [_shadow(value) for value in inputs])
    except NotFolded:
        return None
    constants = [value.array if isinstance(value, Known) else None for value in inputs]
    move = partial(_moved, node, constants)
    return derived(weights, shadow, move, carried=_is_carried(node, constants))


def _shadow(value: Value) -> AnyArray:
    if isinstance(value, Known):
        return value.array
    shape = tuple(size or 0 for size in value.shape or ())
    return np.broadcast_to(np.zeros((), value.dtype), shape)


def _is_carried(node: FlatNode, constants: Sequence[AnyArray | None]) -> bool:
    """Tell whether slots of an optimizer may go the same way: no number is repeated, and all come from weights."""
    data = {"ConcatV2": constants[:-1], "Pack": constants}.get(node.op, constants[:1])
    return node.op in _CARRIED and all(each is None for each in data)


def _moved(
    node: FlatNode, constants: Sequence[AnyArray | None], arrays: Sequence[AnyArray]
) -> AnyArray:
    left = iter(arrays)
    given = [next(left) if each is None else each for each in constants]
    return fold(node.op, node.attributes, given)
