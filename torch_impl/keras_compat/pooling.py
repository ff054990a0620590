"""Pooling with TensorFlow's SAME padding, where no padding of a stock torch module gives the same windows.

Each function stands alone: its source is emitted as it is.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def max_pool_same(
    x: Tensor, *, kernel_size: tuple[int, ...], stride: tuple[int, ...]
) -> Tensor:
    """Return the largest value of every window of (batch, channels, *space); padded cells never win."""
    pad: list[int] = []
    for axis in range(
        len(kernel_size) - 1, -1, -1
    ):  # nn.functional.pad starts with the last axis
        size = x.shape[2 + axis]
        windows = -(-size // stride[axis])
        total = max((windows - 1) * stride[axis] + kernel_size[axis] - size, 0)
        pad += [total // 2, total - total // 2]
    x = nn.functional.pad(x, pad, value=-float("inf"))
    if len(kernel_size) == 1:
        return nn.functional.max_pool1d(x, kernel_size, stride)
    if len(kernel_size) == 2:
        return nn.functional.max_pool2d(x, kernel_size, stride)
    return nn.functional.max_pool3d(x, kernel_size, stride)


def average_pool_same(
    x: Tensor, *, kernel_size: tuple[int, ...], stride: tuple[int, ...]
) -> Tensor:
    """Return the mean over the cells of every window of (batch, channels, *space) that are not padding."""
    pad: list[int] = []
    for axis in range(
        len(kernel_size) - 1, -1, -1
    ):  # nn.functional.pad starts with the last axis
        size = x.shape[2 + axis]
        windows = -(-size // stride[axis])
        total = max((windows - 1) * stride[axis] + kernel_size[axis] - size, 0)
        pad += [total // 2, total - total // 2]
    pooled = []
    for values in (x, torch.ones_like(x[:1, :1])):
        padded = nn.functional.pad(values, pad)
        if len(kernel_size) == 1:
            pooled.append(nn.functional.avg_pool1d(padded, kernel_size, stride))
        elif len(kernel_size) == 2:
            pooled.append(nn.functional.avg_pool2d(padded, kernel_size, stride))
        else:
            pooled.append(nn.functional.avg_pool3d(padded, kernel_size, stride))
    return pooled[0] / pooled[1]
