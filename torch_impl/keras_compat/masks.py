"""Masks of time steps: bool tensors (batch, time), False where a step counts for nothing. Emitted as they are."""

from __future__ import annotations

import torch
from torch import Tensor


def mask_steps(x: Tensor, *, value: float) -> tuple[Tensor, Tensor]:
    """Return x with 0 in the steps that hold nothing but `value`, and the mask, False there; time is all but the last axis."""
    mask = (x != value).any(-1)
    return torch.where(mask.unsqueeze(-1), x, 0.0), mask


def keep_all(x: Tensor) -> Tensor:
    """Return the mask of a tensor that has none: True for every step."""
    return torch.ones(x.shape[:-1], dtype=torch.bool, device=x.device)


def zero_masked(y: Tensor, mask: Tensor) -> Tensor:
    """Return (batch, time, ...) with 0 in masked steps; of (batch, units), an output of the last step, where that is masked."""
    keep = mask if y.dim() > mask.dim() else mask[:, -1]
    keep = keep.reshape(*keep.shape, *[1] * (y.dim() - keep.dim()))
    return torch.where(keep, y, 0.0)


def masked_mean(
    x: Tensor, mask: Tensor, *, dim: int = 1, keepdim: bool = False
) -> Tensor:
    """Return the mean over the steps that the mask keeps, which lie along `dim`; NaN where there is none, as in Keras."""
    keep = mask.unsqueeze(3 - dim)
    total = torch.where(keep, x, 0.0).sum(dim, keepdim=keepdim)
    return total / keep.to(x.dtype).sum(dim, keepdim=keepdim)


def joint_softmax(x: Tensor, *, dim: tuple[int, ...]) -> Tensor:
    """Return the softmax over several axes at once: all elements along them sum to 1."""
    return (x - x.logsumexp(dim, keepdim=True)).exp()


def masked_softmax(
    x: Tensor, mask: Tensor, *, dim: int | tuple[int, ...] = -1
) -> Tensor:
    """Return the softmax over the elements that the mask keeps, and 0 elsewhere; a mask of numbers keeps those above 0.5."""
    keep = mask if mask.dtype == torch.bool else mask > 0.5
    kept = torch.where(keep, x, -1e9)
    of_kept = (
        kept.softmax(dim) if isinstance(dim, int) else joint_softmax(kept, dim=dim)
    )
    return torch.where(keep, of_kept, 0.0)


def lowered_softmax(
    x: Tensor, mask: Tensor, *, dim: int | tuple[int, ...] = -1
) -> Tensor:
    """Return the softmax as Keras 2 masks it: 1e9 is taken from elements that the mask leaves out, all of them or not.

    Source: keras 2.15.0, layers/activation/softmax.py.
    """
    lowered = x - (1 - mask.to(x.dtype)) * min(1e9, torch.finfo(x.dtype).max / 2)
    if isinstance(dim, int):
        return lowered.softmax(dim)
    return joint_softmax(lowered, dim=dim)
