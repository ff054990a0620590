"""Tensors of a mapped file as dense ones in memory of their own: what becomes a module's parameters.

A converted file holds kernels in the legacy order of their axes (`converters.writers.content`), so most of the time of
loading a large one is the rearranging done here.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch
from torch import Tensor

_LARGE_BYTES = 4 * 1024**2
"""From here on numpy asks the system for pages of 2 MB (numpy 2, _core/src/multiarray/alloc.c). torch takes pages of 4 KB,
and the first touch of those costs more than the copy."""
_ALIGNMENT = 64
"""Where torch's own tensors begin (c10/core/alignment.h)."""
_MAX_CELLS = 256
"""Copies of one tensor; kernels have fewer cells, a tensor that has more is no kernel."""


def owned_tensor(tensor: Tensor) -> Tensor:
    """Return a dense copy, however the axes of the tensor lie in memory."""
    if tensor.nbytes < _LARGE_BYTES or tensor.device.type != "cpu":
        return tensor.clone(memory_format=torch.contiguous_format)
    copy = _allocate(tensor)
    cells = tensor.shape[2:]
    if tensor.is_contiguous() or tensor.ndim < 2 or math.prod(cells) > _MAX_CELLS:
        return copy.copy_(tensor)
    # (out, in, h, w) stored as (h, w, in, out): cell by cell of the window these are transposed matrices, which takes
    # half the time of all axes at once.
    left, right = (x.movedim((0, 1), (-2, -1)) for x in (copy, tensor))
    for cell in itertools.product(*map(range, cells)):
        left[cell].copy_(right[cell])
    return copy


def _allocate(tensor: Tensor) -> Tensor:
    """Return a dense tensor of that shape and type with any values."""
    memory = np.empty(tensor.nbytes + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    values = torch.from_numpy(memory[start : start + tensor.nbytes])
    return values.view(tensor.dtype).view(tensor.shape)
