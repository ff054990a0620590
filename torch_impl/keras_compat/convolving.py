"""Convolutions whose kernel is a value like any other, not a weight. Each function stands alone: its source is emitted as it is."""

from __future__ import annotations

from torch import Tensor, nn


def convolve(
    x: Tensor,
    kernel: Tensor,
    *,
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    same: bool = False,
    depthwise: bool = False,
    channels_last: bool = True,
) -> Tensor:
    """Return the sums of products of the kernel with every window of x.

    Args:
        x: (batch, *space, in), or (batch, in, *space) unless `channels_last`.
        kernel: (*window, in / groups, out); depthwise (*window, in, outputs of each channel).
        stride: cells from one window to the next, for every spatial axis.
        dilation: cells from one element of a window to the next.
        same: pad with zeros as TensorFlow's SAME does, an odd one behind; otherwise windows lie inside.
        depthwise: every channel has kernels of its own.
        channels_last: where the channels of x and of the result are.
    """
    rank = len(stride)
    x = x.movedim(-1, 1) if channels_last else x
    if depthwise:
        weight = kernel.movedim((-2, -1), (0, 1)).flatten(0, 1).unsqueeze(1)
    else:
        weight = kernel.movedim((-1, -2), (0, 1))
    if same:
        pad: list[int] = []
        for axis in range(rank - 1, -1, -1):  # nn.functional.pad starts with the last
            size, span = (
                x.shape[2 + axis],
                (weight.shape[2 + axis] - 1) * dilation[axis],
            )
            windows = -(-size // stride[axis])
            total = max((windows - 1) * stride[axis] + span + 1 - size, 0)
            pad += [total // 2, total - total // 2]
        x = nn.functional.pad(x, pad)
    function = (nn.functional.conv1d, nn.functional.conv2d, nn.functional.conv3d)[
        rank - 1
    ]
    groups = x.shape[1] // weight.shape[1]
    y: Tensor = function(x, weight, None, stride, 0, dilation, groups)
    return y.movedim(1, -1) if channels_last else y


def convolve_transposed(
    x: Tensor,
    kernel: Tensor,
    *,
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    padding: tuple[int, ...],
    output_padding: tuple[int, ...],
    cut: tuple[int, ...],
    channels_last: bool = True,
) -> Tensor:
    """Return what a convolution with this kernel takes its gradient to.

    Args:
        x: (batch, *space, in), or (batch, in, *space) unless `channels_last`.
        kernel: (*window, out, in).
        stride: cells of the result from one window to the next, for every spatial axis.
        dilation: cells from one element of a window to the next.
        padding: cells that are cut on both sides of every spatial axis.
        output_padding: of those, how many are given back at the end.
        cut: cells that are cut at the end besides; not above 0.
        channels_last: where the channels of x and of the result are.
    """
    x = x.movedim(-1, 1) if channels_last else x
    weight = kernel.movedim((-1, -2), (0, 1))
    functions = (
        nn.functional.conv_transpose1d,
        nn.functional.conv_transpose2d,
        nn.functional.conv_transpose3d,
    )
    function = functions[len(stride) - 1]
    y: Tensor = function(x, weight, None, stride, padding, output_padding, 1, dilation)
    if any(cut):
        y = nn.functional.pad(y, [cells for end in reversed(cut) for cells in (0, end)])
    return y.movedim(1, -1) if channels_last else y


def extract_windows(
    x: Tensor,
    *,
    size: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    same: bool = False,
    channels_last: bool = True,
) -> Tensor:
    """Return all cells of every window of x as channels: of the first cell all channels, then of the next.

    Args:
        x: (batch, *space, channels), or (batch, channels, *space) unless `channels_last`; the batch may be missing.
        size: of a window, for every spatial axis.
        stride: cells from one window to the next.
        dilation: cells from one element of a window to the next.
        same: pad with zeros as TensorFlow's SAME does, an odd one behind; otherwise windows lie inside.
        channels_last: where the channels of x and of the result are.
    """
    rank = len(size)
    alone = x.dim() == rank + 1
    x = x.unsqueeze(0) if alone else x
    x = x.movedim(-1, 1) if channels_last else x
    if same:
        pad: list[int] = []
        for axis in range(rank - 1, -1, -1):
            cells, span = x.shape[2 + axis], (size[axis] - 1) * dilation[axis]
            windows = -(-cells // stride[axis])
            total = max((windows - 1) * stride[axis] + span + 1 - cells, 0)
            pad += [total // 2, total - total // 2]
        x = nn.functional.pad(x, pad)
    for axis in range(rank):
        x = x.unfold(2 + axis, (size[axis] - 1) * dilation[axis] + 1, stride[axis])
        x = x[..., :: dilation[axis]]
    # Now (batch, channels, *windows, *cells); the channels go behind the cells.
    x = x.movedim(1, -1).flatten(1 + rank)
    x = x if channels_last else x.movedim(-1, 1)
    return x.squeeze(0) if alone else x


def depth_to_space(x: Tensor, *, block: int, channels_last: bool = True) -> Tensor:
    """Return channels as blocks of cells: the first channels of all blocks belong to the first cell of a block.

    `nn.functional.pixel_shuffle` counts the cells of a block before its channels.
    """
    x = x if channels_last else x.movedim(1, -1)
    batch, height, width, channels = x.shape
    deep = channels // block**2
    x = x.reshape(batch, height, width, block, block, deep).transpose(2, 3)
    x = x.reshape(batch, height * block, width * block, deep)
    return x if channels_last else x.movedim(-1, 1)


def space_to_depth(x: Tensor, *, block: int, channels_last: bool = True) -> Tensor:
    """Return blocks of cells as channels: first all channels of a block's first cell, then of the next in its row."""
    x = x if channels_last else x.movedim(1, -1)
    batch, height, width, channels = x.shape
    rows, columns = height // block, width // block
    x = x.reshape(batch, rows, block, columns, block, channels).transpose(2, 3)
    x = x.reshape(batch, rows, columns, channels * block**2)
    return x if channels_last else x.movedim(-1, 1)
