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
        limit = min(1e7, torch.finfo(x.dtype).max)  # float16 ends before
        units.append(x * torch.clamp(length, max=limit))
    return torch.einsum(equation, units[0], units[1])


def masked_merge(*tensors: Tensor, kind: str, masked: tuple[bool, ...]) -> Tensor:
    """Return the product, maximum or minimum without the steps that a mask takes out of one of the inputs.

    Args:
        tensors: the inputs, (batch, time, ...) each, then the masks of those that have one, (batch, time).
        kind: "multiply", "maximum" or "minimum".
        masked: which inputs have a mask.

    Source: keras 3.15.1, layers/merging/base_merge.py (_apply_merge_op_and_or_mask) and multiply.py.
    """
    masks = list(tensors[len(masked) :])
    output, kept = tensors[0], None
    for place, is_masked in enumerate(masked):
        x = tensors[place]
        mask = masks.pop(0).unsqueeze(-1) if is_masked else None
        if kind == "multiply":
            x = x if mask is None else torch.where(mask, x, torch.ones_like(x))
            output = x if place == 0 else output * x
        elif place == 0:
            kept = mask
        else:
            x = x if mask is None else torch.where(mask, x, output)
            output = output if kept is None else torch.where(kept, output, x)
            kept = None if mask is None or kept is None else kept | mask
            first = output >= x if kind == "maximum" else output <= x
            output = torch.where(first, output, x)
    return output
