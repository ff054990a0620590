"""Reductions that leave out NaN, as NumPy's. Each function stands alone: its source is emitted as it is."""

from __future__ import annotations

import torch
from torch import Tensor


def replace_nan(x: Tensor, *, value: float) -> Tensor:
    """Return x with a number in place of NaN; infinities stay."""
    return torch.where(torch.isnan(x), torch.full_like(x, value), x)


def extreme_without_nan(
    x: Tensor, *, dim: tuple[int, ...], largest: bool, keepdim: bool = False
) -> Tensor:
    """Return the largest or smallest element over some axes; NaN where there is no other."""
    if not x.is_floating_point():
        return torch.amax(x, dim, keepdim) if largest else torch.amin(x, dim, keepdim)
    absent = torch.isnan(x)
    filled = x.masked_fill(absent, float("-inf") if largest else float("inf"))
    found = (
        torch.amax(filled, dim, keepdim)
        if largest
        else torch.amin(filled, dim, keepdim)
    )
    return found.masked_fill(torch.all(absent, dim, keepdim), float("nan"))


def place_without_nan(
    x: Tensor, *, largest: bool, dim: int | None = None, keepdim: bool = False
) -> Tensor:
    """Return where along an axis, or among all elements, the extreme is; -1 where there is only NaN."""
    absent = torch.isnan(x)
    filled = x
    if x.is_floating_point():
        filled = x.masked_fill(absent, float("-inf") if largest else float("inf"))
    found = (
        torch.argmax(filled, dim, keepdim)
        if largest
        else torch.argmin(filled, dim, keepdim)
    )
    nothing = absent.all() if dim is None else torch.all(absent, dim, keepdim)
    return found.masked_fill(nothing, -1)


def variance_without_nan(
    x: Tensor, *, dim: tuple[int, ...], keepdim: bool = False
) -> Tensor:
    """Return the variance over some axes of all elements that are not NaN, not of a sample."""
    present = ~torch.isnan(x)
    away = torch.where(
        present, x - torch.nanmean(x, dim, keepdim=True), torch.zeros_like(x)
    )
    count = present.to(x.dtype).sum(dim, keepdim)
    return away.square().sum(dim, keepdim) / count
