"""Tensors of a mapped file as dense ones in memory of their own: what becomes a module's parameters.

A converted file holds kernels in the legacy order of their axes (`converters.writers.content`), so most of the time of
loading a large one is the rearranging done here.
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

_LARGE_BYTES = 4 * 1024**2
"""Smaller tensors stay in the cache while they are rearranged, in any order."""
_MAX_CELLS = 256
"""Copies of one tensor; kernels have fewer cells, a tensor that has more is no kernel."""


def owned_tensor(tensor: Tensor) -> Tensor:
    """Return a dense copy, however the axes of the tensor lie in memory.

    (out, in, h, w) stored as (h, w, in, out) is copied cell by cell of the window: these are transposed matrices, which
    takes half the time of all axes at once.
    """
    cells = tensor.shape[2:]
    is_kernel = bool(cells) and math.prod(cells) <= _MAX_CELLS
    if not is_kernel or tensor.nbytes < _LARGE_BYTES or tensor.is_contiguous():
        return tensor.clone(memory_format=torch.contiguous_format)
    copy = torch.empty(tensor.shape, dtype=tensor.dtype, device=tensor.device)
    left, right = (x.movedim((0, 1), (-2, -1)) for x in (copy, tensor))
    for cell in itertools.product(*map(range, cells)):
        left[cell].copy_(right[cell])
    return copy
