"""Weights on their way to a layer: what only moves their numbers is done when they are read, not by the network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from converters.checkpoint import ArrayInfo, Moved
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


def constant_weights(value: Known, name: str) -> Weights:
    """Return a constant as a weight."""
    array = value.array
    info = ArrayInfo(name, array.shape, array.dtype, lambda: array)
    return Weights(info, name, trainable=array.dtype.kind == "f")


def derived(
    sources: Sequence[Weights],
    shadow: AnyArray,
    move: Callable[[Sequence[AnyArray]], AnyArray],
    *,
    carried: bool = True,
    read: Callable[[], AnyArray] | None = None,
) -> Weights:
    """Return what is made of weights when it is read.

    Args:
        sources: the weights.
        shadow: has the shape and the type of the result.
        move: makes it of their arrays.
        carried: whether the slots of an optimizer may go the same way: numbers are moved, and each at most once.
        read: what it is, if that is more than what `move` makes.
    """
    arrays = tuple(each.array for each in sources)
    info = ArrayInfo(
        arrays[0].name,
        shadow.shape,
        shadow.dtype,
        read or partial(moved_arrays, move, arrays),
        Moved(arrays, move if carried else None),
    )
    return Weights(info, sources[0].variable, sources[0].trainable)


def moved_arrays(
    move: Callable[[Sequence[AnyArray]], AnyArray], arrays: Sequence[ArrayInfo]
) -> AnyArray:
    """Return what is made of stored arrays."""
    return move([np.asarray(each.read()) for each in arrays])
