"""Keras 1 stored a matrix for every gate of a recurrent layer; later ones store them side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from converters.checkpoint import ArrayInfo
from converters.graph import Layer
from converters.matching.stored_forms import CHANNELS_FIRST

GATES = {"LSTM": "ifco", "GRU": "zrh", "ConvLSTM2D": "ifco"}
"""Letters of the gates, in the order in which Keras 2 and 3 store them."""
JOINT = " + "
"""Between the names of joined arrays."""


def join_gates(layer: Layer, arrays: Mapping[str, ArrayInfo]) -> Mapping[str, ArrayInfo]:
    """Return the arrays of a layer with `W_i`, `W_f`, ... joined to `W` along the axis of the outputs, as Keras 2 does.

    Arrays that are not exactly these, or whose gates differ in size, are returned as they are: they fit no layer.
    """
    gates = GATES.get(layer.class_name, "")
    roles = [f"{kind}_{gate}" for kind in "WUb" for gate in gates]
    if not gates or set(arrays) != set(roles):
        return arrays
    joined = {kind: [arrays[f"{kind}_{gate}"] for gate in gates] for kind in "WUb"}
    if any(len({(part.shape, part.dtype) for part in parts}) > 1 for parts in joined.values()):
        return arrays
    axis = 0 if layer.config.get("kernel_order") == CHANNELS_FIRST else -1
    return {kind: join_arrays(parts, axis) for kind, parts in joined.items()}


def join_arrays(parts: Sequence[ArrayInfo], axis: int = -1) -> ArrayInfo:
    """Return arrays of one shape side by side along an axis; the name says them all."""

    def read() -> NDArray:  # type: ignore[type-arg]
        return np.concatenate([part.read() for part in parts], axis=axis)

    first = parts[0]
    shape = list(first.shape)
    shape[axis] *= len(parts)
    return ArrayInfo(JOINT.join(part.name for part in parts), tuple(shape), first.dtype, read)


def joined_axis(parts: Sequence[ArrayInfo], shape: tuple[int, ...]) -> int:
    """Return the axis along which arrays of one shape were joined to one of `shape`."""
    return next(
        (
            axis
            for axis, (part, whole) in enumerate(zip(parts[0].shape, shape, strict=True))
            if part != whole
        ),
        -1,
    )
