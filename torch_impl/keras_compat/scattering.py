"""Elements at places that tensors name. Each function stands alone: its source is emitted as it is."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def slice_at(x: Tensor, starts: Tensor, *, shape: tuple[int, ...]) -> Tensor:
    """Return a block of x; `starts` (axes,) is its first place. Raises IndexError beyond the end."""
    for axis, size in enumerate(shape):
        places = torch.arange(size, device=x.device) + starts[axis]
        x = torch.index_select(x, axis, places)
    return x


def update_at(x: Tensor, starts: Tensor, updates: Tensor) -> Tensor:
    """Return x with the block `updates`, whose first place is `starts` (axes,), moved so that all of it lies within."""
    places: list[Tensor] = []
    for axis, size in enumerate(updates.shape):
        start = starts[axis].long().clamp(0, x.shape[axis] - size)
        row = torch.arange(size, device=x.device) + start
        places.append(
            row.reshape([-1 if axis == each else 1 for each in range(x.dim())])
        )
    return x.index_put(tuple(places), updates.to(x.dtype))


def scatter_values(
    indices: Tensor, values: Tensor, *, shape: tuple[int, ...]
) -> Tensor:
    """Return zeros with values at some places; what is put at one place twice is added.

    Args:
        indices: (..., depth), places on the first axes.
        values: (..., *rest), elements or rows of them.
        shape: of the result, (*first, *rest).
    """
    zeros = torch.zeros(shape, dtype=values.dtype, device=values.device)
    return zeros.index_put(tuple(indices.long().unbind(-1)), values, accumulate=True)


def scatter_onto(
    x: Tensor, indices: Tensor, updates: Tensor, *, reduce: str = ""
) -> Tensor:
    """Return x with other elements at some places, or joined there by "sum", "amax", "amin" or "prod".

    Args:
        x: (*first, *rest).
        indices: (..., depth), places on the first axes.
        updates: (..., *rest).
        reduce: one of these words; none: what is there is replaced.
    """
    first = x.shape[: indices.shape[-1]]
    numbers = torch.arange(math.prod(first), device=x.device).reshape(first)
    places = numbers[tuple(indices.long().unbind(-1))].reshape(-1)
    rows = x.reshape(math.prod(first), -1)
    new = updates.to(x.dtype).reshape(places.shape[0], -1)
    if not reduce:
        return rows.index_copy(0, places, new).reshape(x.shape)
    where = places.unsqueeze(1).expand_as(new)
    return rows.scatter_reduce(0, where, new, reduce=reduce).reshape(x.shape)
