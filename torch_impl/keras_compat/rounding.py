"""How Keras rounds single numbers on their way into an update.

Hyper-parameters of Keras pass through float32 tensors (the learning-rate variable, casts of betas and momentum), and
the scalar arithmetic of an update runs in the dtype of the weights. Both are reproduced here on plain
numbers, so that no tensor is made and no device is asked for a value.
"""

from __future__ import annotations

from collections.abc import Callable
from ctypes import c_float

import torch

Rounding = Callable[[float], float]
"""Rounds the result of one operation to the precision the original computes it in."""


def float32(value: float) -> float:
    """Return the float32 nearest to `value`, as a double; beyond the range of float32 it is infinite."""
    return c_float(value).value


def exact(value: float) -> float:
    """Return `value` unchanged: the rounding of float64."""
    return value


def rounding_of(dtype: torch.dtype) -> Rounding:
    """Return the rounding of scalar arithmetic beside weights of `dtype`; float32 for anything but float64."""
    return exact if dtype == torch.float64 else float32
