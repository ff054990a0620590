"""Operations of `keras.ops` that are not one call in torch. Each stands alone: its source is emitted as it is."""

from __future__ import annotations

import torch
from torch import Tensor


def constant(x: Tensor, *, values: object, dtype: str) -> Tensor:
    """Return numbers of the configuration as a tensor beside x: "like" is x's type if that is floating, else float32."""
    if dtype == "like":
        return torch.tensor(
            values,
            device=x.device,
            dtype=x.dtype if x.is_floating_point() else torch.float32,
        )
    return torch.tensor(values, device=x.device, dtype=getattr(torch, dtype))


def cast(x: Tensor, *, dtype: str) -> Tensor:
    """Return x in the type of that name; floating numbers lose what is behind the point."""
    return x.to(getattr(torch, dtype))


def round_as(x: Tensor, like: Tensor) -> Tensor:
    """Return x rounded to whole numbers of the type of `like`, those beyond its bounds at them."""
    bounds = torch.iinfo(like.dtype)
    # float32 has no 2**31 - 1 and rounds it up, out of the type; the largest below that it has are 24 bits long.
    largest = bounds.max - (bounds.max >> 24)
    return torch.round(x).clamp(bounds.min, largest).to(like.dtype)


def cube_root(x: Tensor) -> Tensor:
    """Return the real number whose third power is x."""
    return torch.sign(x) * torch.abs(x) ** (1 / 3)


def round_decimals(x: Tensor, *, decimals: int) -> Tensor:
    """Return x with some decimals, or with zeros before the point; whole numbers stay such."""
    if not x.is_floating_point():
        if decimals > 0:
            return x
        return torch.round(x.to(torch.float32), decimals=decimals).to(x.dtype)
    return torch.round(x, decimals=decimals)


def divide_no_nan(x: Tensor, y: Tensor) -> Tensor:
    """Return x / y, and 0 with gradients of 0 where y is 0."""
    zero = y == 0
    return torch.where(zero, torch.zeros_like(x), x) / torch.where(
        zero, torch.ones_like(y), y
    )


def heaviside(x: Tensor, y: Tensor) -> Tensor:
    """Return 0 where x is negative, 1 where it is positive, else y; with gradients, which torch's own lacks."""
    return torch.where(
        x < 0, torch.zeros_like(y), torch.where(x > 0, torch.ones_like(y), y)
    )


def ldexp(x: Tensor, y: Tensor) -> Tensor:
    """Return x * 2**y; the gradient of torch's own is 0 for whole y below 0 (torch 2.13)."""
    return x * torch.pow(2.0, y.to(x.dtype))


def floor_divide(x: Tensor, y: Tensor) -> Tensor:
    """Return the whole number at or below x / y; of floating numbers with a gradient of 0, which torch's own lacks."""
    if x.is_floating_point() or y.is_floating_point():
        return torch.floor(x / y)
    return torch.div(x, y, rounding_mode="floor")


def is_close(
    x: Tensor, y: Tensor, *, rtol: float, atol: float, equal_nan: bool = False
) -> Tensor:
    """Return where |x - y| <= atol + rtol |y|, of any two types; torch's own wants one."""
    dtype = torch.promote_types(x.dtype, y.dtype)
    if not dtype.is_floating_point:
        dtype = torch.float64
    return torch.isclose(x.to(dtype), y.to(dtype), rtol, atol, equal_nan)


def numpy_dot(x: Tensor, y: Tensor) -> Tensor:
    """Return the sum of products over the last axis of x and the last but one of y, as NumPy's dot."""
    if x.dim() == 0 or y.dim() == 0:
        return x * y
    product: Tensor = torch.tensordot(x, y, dims=([x.dim() - 1], [max(y.dim() - 2, 0)]))
    return product


def one_hot_along(x: Tensor, *, classes: int, axis: int, dtype: str) -> Tensor:
    """Return 1 at the index that x gives on a new axis, 0 elsewhere; indices out of range have no 1."""
    places = torch.arange(classes, device=x.device)
    return (x.unsqueeze(-1) == places).to(getattr(torch, dtype)).movedim(-1, axis)


def multi_hot_along(x: Tensor, *, classes: int, axis: int, dtype: str) -> Tensor:
    """Return for every sample which indices are among those of its last axis."""
    places = torch.arange(classes, device=x.device)
    found = (x.unsqueeze(-1) == places).any(-2 if x.dim() > 1 else -1 - x.dim())
    return found.to(getattr(torch, dtype)).movedim(-1, axis)


def product_over(x: Tensor, *, dim: tuple[int, ...], keepdim: bool = False) -> Tensor:
    """Return the product over some axes."""
    for axis in sorted(dim, reverse=True):
        x = torch.prod(x, dim=axis, keepdim=keepdim)
    return x


def sort_along(x: Tensor, *, dim: int) -> Tensor:
    """Return x with ascending elements along an axis; equal ones keep their order."""
    return torch.sort(x, dim=dim, stable=True).values


def top_k(x: Tensor, *, k: int) -> tuple[Tensor, Tensor]:
    """Return the k largest elements of the last axis, descending, and their places.

    Of equal elements the first counts, as in TensorFlow; torch.topk promises no order, ONNX's TopK this one.
    """
    if torch.onnx.is_in_onnx_export():
        found, where = torch.topk(x, k, dim=-1)
        return found, where
    values, places = torch.sort(x, dim=-1, descending=True, stable=True)
    return values[..., :k], places[..., :k]


def take_places(x: Tensor, *, indices: object, dim: int) -> Tensor:
    """Return the elements at fixed places of an axis; `indices` is a number or nested tuples of them."""
    places = torch.tensor(indices, device=x.device)
    taken = torch.index_select(x, dim, places.reshape(-1))
    return taken.reshape(x.shape[:dim] + places.shape + x.shape[dim + 1 :])


def gather_places(x: Tensor, indices: Tensor, *, dim: int) -> Tensor:
    """Return the elements of an axis at the places that a tensor of whole numbers gives; its shape replaces the axis."""
    places = indices.reshape(-1).long()
    places = torch.where(places < 0, places + x.shape[dim], places)
    taken = torch.index_select(x, dim, places)
    return taken.reshape(x.shape[:dim] + indices.shape + x.shape[dim + 1 :])


def take_of_samples(x: Tensor, indices: Tensor) -> Tensor:
    """Return (batch, *places, ...) of x (batch, n, ...): what each sample has at its own places (batch, *places)."""
    rows = torch.arange(len(x), device=x.device)
    rows = rows.reshape(-1, *[1] * (indices.dim() - 1))
    return x[rows, indices.long()]


def sequence_mask(x: Tensor, *, size: int, dtype: str) -> Tensor:
    """Return (..., size) of lengths (...): true at the places before a length."""
    places = torch.arange(size, device=x.device)
    return (places < x.unsqueeze(-1)).to(getattr(torch, dtype))


def moments(
    x: Tensor, *, dim: tuple[int, ...], keepdim: bool = False
) -> tuple[Tensor, Tensor]:
    """Return the mean and the variance over some axes; the variance of all elements, not of a sample."""
    return x.mean(dim, keepdim=keepdim), x.var(dim, correction=0, keepdim=keepdim)


def reshape_by_batch(x: Tensor, *, shape: tuple[int | None, ...]) -> Tensor:
    """Return x in another shape, in which None stands for the size of the batch."""
    return x.reshape([x.shape[0] if size is None else size for size in shape])


def weighted_average(x: Tensor, weights: Tensor, *, dim: int | None) -> Tensor:
    """Return the mean with weights of x's shape, or of one number for every element of the axis."""
    if dim is None:
        return (x * weights).sum() / weights.sum()
    if weights.dim() != x.dim():
        weights = weights.reshape(
            [-1 if axis == dim % x.dim() else 1 for axis in range(x.dim())]
        )
        weights = weights.expand_as(x)
    return (x * weights).sum(dim) / weights.sum(dim)
