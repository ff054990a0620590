"""Tensors of agents as TensorFlow has them: names of variables, and arrays in its order of axes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from experience.shapes import check_shapes


def keras_name(name: str) -> str:
    """Return "fc1/kernel" for "fc1.weight"; dots before the layer's own name stay."""
    return name.replace(".weight", "/kernel").replace(".bias", "/bias")


def original_name(name: str) -> str:
    """Return "policy/pi_dense1/kernel" for "policy.pi_dense1.weight", as scopes of TensorFlow 1."""
    return keras_name(name).replace(".", "/")


def to_array(tensor: Tensor) -> NDArray[np.floating]:
    """Return a copy as TensorFlow has it: matrices (in, out), windows (height, width, in, out)."""
    array: NDArray[np.floating] = tensor.detach().cpu().numpy()
    axes = {2: (1, 0), 4: (2, 3, 1, 0)}.get(array.ndim)
    return (array.transpose(axes) if axes else array).copy(order="C")


def fill_tensor(tensor: Tensor, array: NDArray[np.floating]) -> None:
    """Set a tensor to an array as `to_array` gives it."""
    axes = {2: (1, 0), 4: (3, 2, 0, 1)}.get(np.ndim(array))
    with torch.no_grad():
        tensor.copy_(torch.from_numpy(np.array(np.transpose(array, axes) if axes else array)))


def fill_tensors(
    kind: str, tensors: Mapping[str, Tensor], arrays: Mapping[str, NDArray[np.floating]]
) -> None:
    """Set some tensors to the arrays of the same names.

    Args:
        kind: what they are, for the message: "variables".
        tensors: all there are.
        arrays: as `to_array` gives them.

    Raises:
        ValueError: A name is unknown or a shape differs; nothing is changed then.
    """
    known = {name: to_array(tensors[name]).shape for name in arrays if name in tensors}
    check_shapes(kind, arrays, known)
    for name, array in arrays.items():
        fill_tensor(tensors[name], array)


def to_tensor(array: NDArray[Any], dtype: str, device: torch.device) -> Tensor:
    """Return a tensor of the dtype on the device; on the CPU it shares memory where it can.

    Args:
        array: of numbers or booleans.
        dtype: "float32" or "float64".
        device: where it goes.
    """
    # One copy at most: torch refuses read-only arrays only with a warning, which a copy avoids.
    converted = np.asarray(array, dtype=dtype)
    writable = converted if converted.flags.writeable else converted.copy()
    return torch.from_numpy(writable).to(device)


def to_numbers(figures: Mapping[str, Tensor]) -> dict[str, float]:
    """Return 0-d tensors as numbers."""
    # One copy for all: on a GPU every copy waits for what was computed before.
    values: list[float] = torch.stack(list(figures.values())).tolist() if figures else []
    return dict(zip(figures, values, strict=True))
