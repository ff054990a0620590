"""Convolutions whose kernel is another one at every position. Each stands alone: its source is emitted as it is."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
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


class LocallyConnectedMatrix(nn.Module):
    """A matrix from all numbers of the input to all of the output, of which only near ones count; others stay unused.

    Args:
        sizes: of the input along each spatial axis.
        out_sizes: of the output.
        channels: of the input and of the output.
        kernel_size: of the cells that count, one number for each spatial axis.
        stride: cells from those of one position to those of the next.
        before: cells that the first position lies beyond the input's begin.
        bias: whether there is one, for every position.
        channels_last: of input, output and weight.

    Source: keras 2.15, layers/locally_connected, implementation=2.
    """

    def __init__(
        self,
        *,
        sizes: Sequence[int],
        out_sizes: Sequence[int],
        channels: Sequence[int],
        kernel_size: Sequence[int],
        stride: Sequence[int],
        before: Sequence[int],
        bias: bool = True,
        channels_last: bool = True,
    ) -> None:
        super().__init__()
        self.sizes, self.out_sizes = tuple(sizes), tuple(out_sizes)
        self.kernel_size, self.stride = tuple(kernel_size), tuple(stride)
        self.before, self.channels_last = tuple(before), channels_last
        taken, given = channels
        shape = (*sizes, taken, *out_sizes, given)
        if not channels_last:
            shape = (taken, *sizes, given, *out_sizes)
        self.weight = nn.Parameter(torch.zeros(shape))
        # Keras stores (*positions, channels) and reads it as (channels, *positions) where those come first.
        self.bias = nn.Parameter(torch.zeros(*out_sizes, given)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, ...) with the channels where the input has them."""
        rank = len(self.sizes)
        near = self.near(x.device)
        near = near.reshape(*self.sizes, 1, *self.out_sizes, 1)
        if not self.channels_last:
            near = near.reshape(1, *self.sizes, 1, *self.out_sizes)
        matrix = (self.weight * near).flatten(0, rank).flatten(1)
        y = x.flatten(1) @ matrix
        y = y.reshape(x.shape[0], *self.weight.shape[rank + 1 :])
        return y if self.bias is None else y + self.bias.reshape(y.shape[1:])

    def near(self, device: torch.device) -> Tensor:
        """Return (*sizes, *out_sizes): whether a cell of the input counts for a position of the output."""
        rank = len(self.sizes)
        near = torch.ones((), dtype=torch.bool, device=device)
        for axis in range(rank):
            cell = torch.arange(self.sizes[axis], device=device)
            first = torch.arange(self.out_sizes[axis], device=device)
            first = first * self.stride[axis] - self.before[axis]
            distance = cell.unsqueeze(1) - first
            inside = (distance >= 0) & (distance < self.kernel_size[axis])
            shape = [1] * 2 * rank
            shape[axis], shape[rank + axis] = inside.shape
            near = near & inside.reshape(shape)
        return near


class LocallyConnectedSparse(nn.Module):
    """A convolution with another kernel at every position; what would reach beyond the input has no weight.

    Args:
        sizes: of the input along each spatial axis.
        out_sizes: of the output.
        channels: of the input and of the output.
        kernel_size: of the patches.
        stride: cells from one patch to the next.
        before: cells that the first patch begins before the input.
        count: of the weights: a number for every place in a patch that lies in the input.
        bias: whether there is one, for every position.
        channels_last: of the input and output in the order of weights and bias; the module has them in front.

    Source: keras 2.15, layers/locally_connected, implementation=3.
    """

    def __init__(
        self,
        *,
        sizes: Sequence[int],
        out_sizes: Sequence[int],
        channels: Sequence[int],
        kernel_size: Sequence[int],
        stride: Sequence[int],
        before: Sequence[int],
        count: int,
        bias: bool = True,
        channels_last: bool = True,
    ) -> None:
        super().__init__()
        self.sizes, self.out_sizes = tuple(sizes), tuple(out_sizes)
        self.kernel_size, self.stride = tuple(kernel_size), tuple(stride)
        self.before, self.channels_last = tuple(before), channels_last
        self.channels = tuple(channels)
        self.weight = nn.Parameter(torch.zeros(count))
        # Keras stores (*positions, channels) and reads it as (channels, *positions) where those come first.
        shape = (*out_sizes, self.channels[1])
        self.bias = nn.Parameter(torch.zeros(shape)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, out_channels, *out_sizes) for (batch, in_channels, *sizes)."""
        rank, patches = len(self.sizes), x
        for axis in range(rank):
            size, step = self.kernel_size[axis], self.stride[axis]
            before, positions = self.before[axis], self.out_sizes[axis]
            behind = (positions - 1) * step + size - before - self.sizes[axis]
            padding = [0, 0] * (patches.dim() - 3 - axis) + [before, max(behind, 0)]
            patches = F.pad(patches, padding).unfold(2 + axis, size, step)
            patches = patches.narrow(2 + axis, 0, positions)
        inside = self.inside(x.device)
        kernel = self.weight.new_zeros(*inside.shape).masked_scatter(
            inside, self.weight
        )
        position, cell = "pqr"[:rank], "uvw"[:rank]
        axes = f"{position}f{cell}c" if self.channels_last else f"f{position}c{cell}"
        y = torch.einsum(f"bc{position}{cell},{axes}->bf{position}", patches, kernel)
        if self.bias is None:
            return y
        if self.channels_last:
            return y + self.bias.movedim(-1, 0)
        return y + self.bias.reshape(y.shape[1:])

    def inside(self, device: torch.device) -> Tensor:
        """Return which places of a dense kernel have a weight: positions, filter, cells of the patch, channel."""
        rank, (taken, given) = len(self.sizes), self.channels
        inside = torch.ones((), dtype=torch.bool, device=device)
        for axis in range(rank):
            first = torch.arange(self.out_sizes[axis], device=device)
            first = first * self.stride[axis] - self.before[axis]
            cell = torch.arange(self.kernel_size[axis], device=device)
            place = first.unsqueeze(1) + cell
            there = (place >= 0) & (place < self.sizes[axis])
            shape = [1] * 2 * rank
            shape[axis], shape[rank + axis] = there.shape
            inside = inside & there.reshape(shape)
        if self.channels_last:
            inside = inside.reshape(*self.out_sizes, 1, *self.kernel_size, 1)
            return inside.expand(*self.out_sizes, given, *self.kernel_size, taken)
        inside = inside.reshape(1, *self.out_sizes, 1, *self.kernel_size)
        return inside.expand(given, *self.out_sizes, taken, *self.kernel_size)
