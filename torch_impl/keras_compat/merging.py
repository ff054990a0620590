"""Merges whose gradient or order of operations differs from torch's. Each stands alone: its source is emitted as it is."""

from __future__ import annotations

import torch
from torch import Tensor


def average(*inputs: Tensor) -> Tensor:
    """Return the sum, left to right, divided by the number of inputs."""
    total = inputs[0]
    for x in inputs[1:]:
        total = total + x
    return total / len(inputs)


def maximum(*inputs: Tensor) -> Tensor:
    """Return the elementwise maximum; at a tie the whole gradient goes to the first (torch would halve it)."""
    result = inputs[0]
    for x in inputs[1:]:
        result = torch.where(result >= x, result, x)
    return result


def minimum(*inputs: Tensor) -> Tensor:
    """Return the elementwise minimum; at a tie the whole gradient goes to the first (torch would halve it)."""
    result = inputs[0]
    for x in inputs[1:]:
        result = torch.where(result <= x, result, x)
    return result
