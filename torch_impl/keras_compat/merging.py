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


def cosine(
    first: Tensor, second: Tensor, *, equation: str, axes: tuple[int, int]
) -> Tensor:
    """Return the einsum of two tensors of length 1 along one axis each (at least 1e-7 counts as their length)."""
    units = []
    for x, axis in ((first, axes[0]), (second, axes[1])):
        length = torch.rsqrt((x * x).sum(axis, keepdim=True))
        units.append(x * torch.clamp(length, max=1e7))
    return torch.einsum(equation, units[0], units[1])
