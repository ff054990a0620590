"""Arrays of d3rlpy on their way: as they are, several as one, or with the scaling of observations in them."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from converters.agents.d3rlpy_settings import Scaling
from converters.checkpoint import ArrayInfo
from converters.errors import MismatchError
from converters.layouts import Layout
from converters.moves import Move

_KEPT = {0: "->", 1: "out -> out", 2: "out in -> out in"}
_VECTOR = "one size -> (one size)"


def keep(source: ArrayInfo, target: str, *, vector: bool = False) -> Move:
    """Return the move of an array that stays as it is; a vector loses its axis of one."""
    if vector:
        text = {2: _VECTOR}.get(len(source.shape), "size -> size")
    else:
        text = _KEPT.get(len(source.shape), "")
    if not text:
        msg = f"'{source.name}' has {len(source.shape)} axes, where 0, 1 or 2 were expected"
        raise MismatchError(msg)
    return Move(source, target, Layout.parse(text))


def join(arrays: list[ArrayInfo]) -> ArrayInfo:
    """Return arrays as one along their first axis."""
    rows = sum(array.shape[0] for array in arrays if array.shape)
    return ArrayInfo(
        " + ".join(array.name for array in arrays),
        (rows, *arrays[0].shape[1:]),
        arrays[0].dtype,
        partial(_join, arrays),
    )


def is_vector(move: Move) -> bool:
    """Return whether the move takes an axis of one away."""
    return move.layout == Layout.parse(_VECTOR)


def missing(name: str) -> ArrayInfo:
    """Return what stands for an array that is not there, until all problems are reported."""
    return ArrayInfo(name, (0,), np.dtype(np.float32), _nothing)


def scaled(
    array: ArrayInfo,
    layer: tuple[ArrayInfo, ArrayInfo],
    scaling: Scaling,
    *,
    observed: int,
    role: str,
) -> ArrayInfo:
    """Return weight or bias of a first layer that scales its first `observed` inputs itself.

    Args:
        array: as it is in the file.
        layer: weight and bias.
        scaling: of observations.
        observed: numbers in an observation; further inputs are actions.
        role: "weight" or "bias".
    """
    read = partial(_fold, *layer, scaling, observed, role)
    return ArrayInfo(array.name, array.shape, array.dtype, read)


def _join(arrays: list[ArrayInfo]) -> NDArray[np.generic]:
    joined: NDArray[np.generic] = np.concatenate([array.read() for array in arrays])
    return joined


def _fold(
    weight: ArrayInfo, bias: ArrayInfo, scaling: Scaling, observed: int, role: str
) -> NDArray[np.generic]:
    """Return kernel or bias of a layer that scales its first `observed` inputs itself.

    W ((x - shift) / width) + b = (W / width) x + (b - (W / width) shift)
    """
    matrix = weight.read().astype(np.float64)
    matrix[:, :observed] /= np.asarray(scaling.width)
    if role == "weight":
        folded: NDArray[np.generic] = matrix.astype(weight.dtype)
        return folded
    shift = np.broadcast_to(np.asarray(scaling.shift), (observed,))
    moved = bias.read().astype(np.float64) - matrix[:, :observed] @ shift
    shifted: NDArray[np.generic] = moved.astype(bias.dtype)
    return shifted


def _nothing() -> NDArray[np.generic]:
    return np.zeros(0, np.float32)
