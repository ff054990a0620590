"""CuDNNLSTM and CuDNNGRU of Keras 2, whose weights are stored as cuDNN wants them, as the layers that compute the same.

Every gate's block of a kernel holds the transposed matrix: that of the input under the shape of the matrix itself, so
that not its axes but its bytes are to be read in the other order. There is a bias for the input and one for the
state, one behind the other. Source: keras 2.2.4, layers/cudnn_recurrent.py and engine/saving.py,
`_convert_rnn_weights`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from converters.checkpoint import ArrayInfo
from converters.graph import Layer

CLASSES = {"CuDNNLSTM": "LSTM", "CuDNNGRU": "GRU"}
_GATES = {"LSTM": 4, "GRU": 3}
_SETTINGS = {"activation": "tanh", "recurrent_activation": "sigmoid", "reset_after": True}
_UNFOLDED = " in cuDNN's layout"


def as_plain_layer(
    class_name: str, config: Mapping[str, object]
) -> tuple[str, Mapping[str, object]]:
    """Return class and settings of the layer that a cuDNN layer is; others as they are."""
    if class_name not in CLASSES:
        return class_name, config
    return CLASSES[class_name], {**config, **_SETTINGS, "cudnn": True}


def unfold(layer: Layer, role: str, info: ArrayInfo) -> ArrayInfo:
    """Return an array of a layer as LSTM and GRU store it; whatever is of another layer or shape as it is."""
    owner, own_role = layer.owner(role)
    gates = _GATES.get(owner.class_name, 0)
    shape = _plain_shape(owner.class_name, own_role, info.shape, gates)
    if owner.config.get("cudnn") is not True or shape is None:
        return info

    def read() -> NDArray:  # type: ignore[type-arg]
        array = info.read()
        if own_role == "bias":
            halves = array.reshape(2, -1)
            return halves if owner.class_name == "GRU" else halves.sum(axis=0)
        blocks = np.split(array, gates, axis=1)
        return np.concatenate([block.reshape(block.shape[::-1]).T for block in blocks], axis=1)

    return ArrayInfo(f"{info.name}{_UNFOLDED}", shape, info.dtype, read)


def is_unfolded(info: ArrayInfo) -> bool:
    """True for an array that `unfold` made, which no other writer may put back under its name."""
    return info.name.endswith(_UNFOLDED)


def _plain_shape(
    class_name: str, role: str, shape: tuple[int, ...], gates: int
) -> tuple[int, ...] | None:
    if gates and role == "bias" and len(shape) == 1 and shape[0] % (2 * gates) == 0:
        return (2, shape[0] // 2) if class_name == "GRU" else (shape[0] // 2,)
    if (
        gates
        and role in ("kernel", "recurrent_kernel")
        and len(shape) == 2
        and shape[1] % gates == 0
    ):
        return shape
    return None
