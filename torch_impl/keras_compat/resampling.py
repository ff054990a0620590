"""Resizing of images as TensorFlow's kernels do it. Each function stands alone: its source is emitted as it is."""

from __future__ import annotations

import torch
from torch import Tensor


def resample(
    x: Tensor,
    *,
    size: tuple[int, int] | None = None,
    scale: tuple[int, int] = (1, 1),
    kernel: str = "bicubic",
    antialias: bool = False,
) -> Tensor:
    """Return images of another size; every new cell is a weighted mean of the old cells near its middle.

        middle = (cell + 0.5) * old size / new size,  weight = kernel(|old middle - middle| / stretch)

    `F.interpolate` has another cubic (a = -0.75, cells beyond the border repeated) and no Lanczos kernel. Without
    `antialias`, TensorFlow rounds the place between two cells to 1/1024 for "bicubic", and leaves out what lies beyond
    the border.

    Args:
        x: (batch, channels, height, width).
        size: the new height and width; None: as many times the old ones as `scale` says.
        scale: what the height and the width are multiplied by.
        kernel: "bilinear", "bicubic", "lanczos3", "lanczos5", "gaussian", "mitchellcubic" or "area".
        antialias: stretch the kernel by how much the image shrinks, so that every old cell counts.

    Source: tensorflow 2.21.0, core/kernels/image/scale_and_translate_op.cc, sampling_kernels.h, resize_bicubic_op.cc.
    """
    height, width = size or (x.shape[2] * scale[0], x.shape[3] * scale[1])
    for axis, count in ((2, height), (3, width)):
        old = x.shape[axis]
        ratio = old / count
        stretch = max(ratio, 1.0) if antialias else 1.0
        cells = torch.arange(old, dtype=x.dtype, device=x.device)
        places = (torch.arange(count, dtype=x.dtype, device=x.device) + 0.5) * ratio
        if kernel == "bicubic" and not antialias:
            before = torch.floor(places - 0.5)
            places = before + torch.round((places - 0.5 - before) * 1024) / 1024 + 0.5
        d = (cells + 0.5 - places.unsqueeze(1)).abs() / stretch
        if kernel == "bilinear":
            weights = torch.clamp(1 - d, min=0)
        elif kernel == "bicubic":
            near, far = (
                ((1.5 * d - 2.5) * d) * d + 1,
                ((-0.5 * d + 2.5) * d - 4) * d + 2,
            )
            weights = torch.where(d < 1, near, far) * (d < 2)
        elif kernel == "mitchellcubic":
            near = ((7 * d - 12) * d * d + 16 / 3) / 6
            far = (((-7 / 3 * d + 12) * d - 20) * d + 32 / 3) / 6
            weights = torch.where(d < 1, near, far) * (d < 2)
        elif kernel == "gaussian":
            weights = torch.exp(-2 * d * d) * (d < 1.5)
        elif kernel == "area":
            start, end = places - 0.5 * ratio, places + 0.5 * ratio
            overlap = torch.minimum(end.unsqueeze(1), cells + 1) - torch.maximum(
                start.unsqueeze(1), cells
            )
            weights = torch.clamp(overlap, min=0)
        else:
            radius = 3 if kernel == "lanczos3" else 5
            weights = torch.where(d > 1e-3, torch.sinc(d) * torch.sinc(d / radius), 1.0)
            weights = weights * (d <= radius)
        weights = weights / weights.sum(1, keepdim=True)
        x = (x.movedim(axis, -1) @ weights.T).movedim(-1, axis)
    return x


def crop_to_ratio(x: Tensor, *, size: tuple[int, int]) -> Tensor:
    """Return the largest middle part of (batch, channels, height, width) with the ratio of height and width of `size`."""
    height, width = x.shape[2], x.shape[3]
    rows = max(min(height, width * size[0] // size[1]), 1)
    columns = max(min(width, height * size[1] // size[0]), 1)
    top, left = (height - rows) // 2, (width - columns) // 2
    return x[:, :, top : top + rows, left : left + columns]


def crop_middle(x: Tensor, *, size: tuple[int, int]) -> Tensor:
    """Return the middle of (batch, channels, height, width); images smaller than `size` are cut to its ratio and enlarged.

    Source: keras 3.15.1, layers/preprocessing/image_preprocessing/center_crop.py; utils/image_utils.py, `smart_resize`.
    """
    height, width = x.shape[2], x.shape[3]
    if height >= size[0] and width >= size[1]:
        top, left = (height - size[0]) // 2, (width - size[1]) // 2
        return x[:, :, top : top + size[0], left : left + size[1]]
    rows = max(min(height, width * size[0] // size[1]), 1)
    columns = max(min(width, height * size[1] // size[0]), 1)
    top, left = (height - rows) // 2, (width - columns) // 2
    x = x[:, :, top : top + rows, left : left + columns]
    return torch.nn.functional.interpolate(
        x, size, mode="bilinear", align_corners=False
    )


def pad_to_ratio(x: Tensor, *, size: tuple[int, int], value: float = 0.0) -> Tensor:
    """Return the images with a border, the same on both sides, so that height and width have the ratio of `size`.

    Where an odd number of cells is needed, Keras leaves the last one out.
    """
    height, width = x.shape[2], x.shape[3]
    rows = (max(height, width * size[0] // size[1]) - height) // 2
    columns = (max(width, height * size[1] // size[0]) - width) // 2
    return torch.nn.functional.pad(x, (columns, columns, rows, rows), value=value)
