"""Rows, grids and correlations of `keras.ops`. Each function stands alone: its source is emitted as it is."""

from __future__ import annotations

import torch
from torch import Tensor


def evenly_spaced(
    start: Tensor, stop: Tensor, *, num: int, endpoint: bool = True, axis: int = 0
) -> Tensor:
    """Return `num` numbers from start on, on a new axis; the last is `stop`, or would be the next without `endpoint`.

    Source: tensorflow 2.21.0, python/ops/math_ops.py, `linspace_nd`.
    """
    start, stop = torch.broadcast_tensors(start, stop)  # type: ignore[no-untyped-call]
    if not endpoint:
        stop = stop - (stop - start) / num
    places = torch.arange(num, dtype=start.dtype, device=start.device)
    step = ((stop - start) / max(num - 1, 1)).unsqueeze(-1)
    row = start.unsqueeze(-1) + step * places
    if num > 1:
        row = torch.cat([row[..., :-1], stop.unsqueeze(-1)], -1)
    return row.movedim(-1, axis)


def mesh_grid(*rows: Tensor, indexing: str) -> tuple[Tensor, ...]:
    """Return a grid for each tensor, its elements in a row along an axis of their own; "xy" has the second's first."""
    return tuple(torch.meshgrid(*[row.reshape(-1) for row in rows], indexing=indexing))


def correlate(x: Tensor, y: Tensor, *, mode: str) -> Tensor:
    """Return the sums of products of y with each part of x; "full" and "same" let y reach over the ends.

    Args:
        x: (n,).
        y: (m,).
        mode: "valid" gives n - m + 1 sums, "same" max(n, m) from the middle of the n + m - 1 of "full".

    Source: keras 3.15.1, backend/tensorflow/numpy.py, `correlate`.
    """
    beyond = 0 if mode == "valid" else len(y) - 1
    dtype = torch.result_type(x, y)
    row, kernel = x.to(dtype).reshape(1, 1, -1), y.to(dtype).reshape(1, 1, -1)
    found = torch.nn.functional.conv1d(row, kernel, padding=beyond).reshape(-1)
    if mode != "same":
        return found
    count = max(len(x), len(y))
    start = (len(found) - count) // 2
    return found[start : start + count]


def correlation_coefficients(x: Tensor) -> Tensor:
    """Return (variables, variables) of x (variables, samples): covariances by both deviations, within -1 and 1."""
    centered = x - x.mean(-1, keepdim=True)
    covariance = centered @ centered.T / (x.shape[-1] - 1)
    deviation = torch.sqrt(torch.diagonal(covariance))
    return torch.clamp(covariance / torch.outer(deviation, deviation), -1.0, 1.0)


def cross_product(
    x: Tensor, y: Tensor, *, axes: tuple[int, int, int] = (-1, -1, -1)
) -> Tensor:
    """Return the vectors at right angles to those of x and y; of two with two elements only the third element.

    Args:
        x: vectors of 2 or 3 elements, the third 0 if it is missing.
        y: likewise; other axes broadcast.
        axes: of the vectors in x, in y and in the result.
    """
    x, y = x.movedim(axes[0], -1), y.movedim(axes[1], -1)
    flat = x.shape[-1] == y.shape[-1] == 2
    x = torch.nn.functional.pad(x, (0, 3 - x.shape[-1]))
    y = torch.nn.functional.pad(y, (0, 3 - y.shape[-1]))
    x, y = torch.broadcast_tensors(x, y)  # type: ignore[no-untyped-call]
    z: Tensor = torch.linalg.cross(x, y)
    return z[..., 2] if flat else z.movedim(-1, axes[2])


def count_elements(x: Tensor) -> Tensor:
    """Return how many elements x has, as a tensor."""
    return torch.full((), x.numel(), dtype=torch.int32, device=x.device)


def spread_like(value: Tensor, x: Tensor) -> Tensor:
    """Return a number, or numbers of axes that x has, in x's shape and type."""
    return value.to(x.dtype).expand(x.shape)


def saturate_cast(x: Tensor, *, dtype: str) -> Tensor:
    """Return x in a type of whole numbers; what lies beyond its bounds is at them."""
    bounds = torch.iinfo(getattr(torch, dtype))
    low, high = bounds.min, bounds.max
    if x.is_floating_point():
        high -= high >> 24  # float32 would round the bound up, out of the type
    else:
        own = torch.iinfo(x.dtype)
        low, high = max(low, own.min), min(high, own.max)
    return torch.clamp(x, low, high).to(getattr(torch, dtype))
