"""Convolutions whose kernel is another one at every position. Each stands alone: its source is emitted as it is."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class LocallyConnected(nn.Module):
    """y[position] = patch of x at the position, flattened, times weight[position], plus bias[position].

    Args:
        in_channels: of the input (batch, channels, *space).
        out_channels: of the output.
        kernel_size: of the patches, one number for each spatial axis.
        stride: cells from one patch to the next.
        sizes: how many patches there are along each spatial axis.
        bias_shape: of the bias: channels and positions, or all of them in one row; None leaves it out.
        channels_last: the channels are the last of a flattened patch, otherwise the first.

    Source: keras 2.3.1, layers/local.py and backend/common, `local_conv`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel_size: Sequence[int],
        stride: Sequence[int],
        sizes: Sequence[int],
        bias_shape: tuple[int, ...] | None = None,
        channels_last: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride = tuple(kernel_size), tuple(stride)
        self.sizes, self.channels_last = tuple(sizes), channels_last
        positions, cells = math.prod(self.sizes), math.prod(self.kernel_size)
        self.weight = nn.Parameter(
            torch.zeros(positions, cells * in_channels, out_channels)
        )
        self.bias = (
            None if bias_shape is None else nn.Parameter(torch.zeros(bias_shape))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, out_channels, *sizes)."""
        batch, rank = x.shape[0], len(self.sizes)
        for axis, (size, step) in enumerate(
            zip(self.kernel_size, self.stride, strict=True)
        ):
            x = x.unfold(2 + axis, size, step)
        positions = list(range(2, 2 + rank))
        patch = list(range(2 + rank, 2 + 2 * rank))
        patch = [*patch, 1] if self.channels_last else [1, *patch]
        positions_count, features, filters = self.weight.shape
        patches = x.permute(*positions, 0, *patch).reshape(
            positions_count, batch, features
        )
        y = torch.bmm(patches, self.weight).permute(1, 2, 0)
        y = y.reshape(batch, filters, *self.sizes)
        return y if self.bias is None else y + self.bias.view(filters, *self.sizes)
