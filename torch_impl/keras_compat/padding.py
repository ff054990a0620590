"""TensorFlow's SAME padding for sizes that are only known when the network runs."""

from __future__ import annotations

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
