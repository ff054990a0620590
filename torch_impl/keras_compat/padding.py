"""Padding whose cells depend on the size, or are taken from the tensor itself. Each function stands alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def pad_same(x: Tensor, *, window: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
    """Return (batch, channels, *space) with the zeros that TensorFlow's SAME adds; an odd one comes after.

        total = max((ceil(size / stride) - 1) * stride + window - size, 0)

    Args:
        x: (batch, channels, *space).
        window: cells that a kernel spans, dilation included, for every spatial axis.
        stride: for every spatial axis.

    torch's `padding="same"` is the same for a stride of 1 and refuses others.
    """
    pad: list[int] = []
    for axis in range(
        len(window) - 1, -1, -1
    ):  # nn.functional.pad starts with the last axis
        size = x.shape[2 + axis]
        windows = -(-size // stride[axis])
        total = max((windows - 1) * stride[axis] + window[axis] - size, 0)
        pad += [total // 2, total - total // 2]
    return nn.functional.pad(x, pad)


def pad_with_own(x: Tensor, *, pad: tuple[tuple[int, int], ...], mode: str) -> Tensor:
    """Return x with elements of its own before and after its axes.

    Args:
        x: of any type and rank; `F.pad` knows floating numbers and some ranks only.
        pad: cells before and after, for every axis.
        mode: "reflect" mirrors about the border element, "symmetric" about the border, "edge" repeats the border
            element, "wrap" goes on at the other end.
    """
    for axis, (before, after) in enumerate(pad):
        size = x.shape[axis]
        places = torch.arange(-before, size + after, device=x.device)
        if mode == "reflect":
            places = places.abs()
            places = torch.where(places < size, places, 2 * (size - 1) - places)
        elif mode == "symmetric":
            places = torch.where(places < 0, -1 - places, places)
            places = torch.where(places < size, places, 2 * size - 1 - places)
        elif mode == "edge":
            places = places.clamp(0, size - 1)
        else:
            places = places % size
        x = torch.index_select(x, axis, places) if before or after else x
    return x
