"""Sums by segment, counts and places. Each function stands alone: its source is emitted as it is."""

from __future__ import annotations

import torch
from torch import Tensor


def segment_reduce(x: Tensor, segments: Tensor, *, count: int, reduce: str) -> Tensor:
    """Return what the rows of every segment come to; rows of a segment below 0 count for none.

    Args:
        x: (*rows, ...).
        segments: (*rows), whole numbers below `count`.
        count: of segments.
        reduce: "sum", "prod", "amax" or "amin". One without rows has 0, 1, the least or the largest number there is.
    """
    rest = x.shape[segments.dim() :]
    rows, places = x.reshape(segments.numel(), -1), segments.reshape(-1).long()
    places = torch.where(places < 0, count, places).unsqueeze(1).expand_as(rows)
    bounds = torch.finfo(x.dtype) if x.is_floating_point() else torch.iinfo(x.dtype)
    first = {"sum": 0, "prod": 1, "amax": bounds.min, "amin": bounds.max}[reduce]
    start = rows.new_full((count + 1, rows.shape[1]), first)
    found = start.scatter_reduce(0, places, rows, reduce)
    return found[:count].reshape(count, *rest)


def in_top_k(targets: Tensor, predictions: Tensor, *, k: int) -> Tensor:
    """Return for every row whether fewer than k predictions are above that of its target; never where one is not finite.

    Args:
        targets: (batch,), whole numbers.
        predictions: (batch, classes).
        k: how many count.
    """
    classes = predictions.shape[1]
    known = (targets >= 0) & (targets < classes) & predictions.isfinite().all(1)
    place = targets.long().clamp(0, classes - 1).unsqueeze(1)
    above = (predictions > predictions.gather(1, place)).sum(1)
    return known & (above < k)


def unravel_index(indices: Tensor, *, sizes: tuple[int, ...]) -> tuple[Tensor, ...]:
    """Return the places on several axes that numbers of a row stand for; `sizes` are divided by in this order."""
    found = []
    for size in sizes:
        found.append(indices % size)
        indices = torch.div(indices, size, rounding_mode="floor")
    return tuple(reversed(found))


def power_columns(
    x: Tensor, *, count: int | None = None, increasing: bool = False
) -> Tensor:
    """Return x to the powers from `count` - 1 down to 0 on a new axis; None: as many as x has elements."""
    count = x.shape[0] if count is None else count
    dtype = x.dtype if x.is_floating_point() else torch.float32
    powers = torch.arange(count, dtype=dtype, device=x.device)
    powers = powers if increasing else powers.flip(0)
    return torch.pow(x.to(dtype).unsqueeze(-1), powers).to(x.dtype)


def bits_as(x: Tensor, *, dtype: str) -> Tensor:
    """Return the same bits as numbers of another type; the last axis grows or shrinks as these are smaller or larger."""
    return x.contiguous().view(getattr(torch, dtype))
