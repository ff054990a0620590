"""Contrast of images as Keras changes it. Each function stands alone: its source is emitted as it is."""

from __future__ import annotations

import torch
from torch import Tensor


def stretch_contrast(x: Tensor, *, value_range: tuple[float, float]) -> Tensor:
    """Return (batch, height, width, channels) with every channel of every image stretched over the whole range.

    A channel of one value stays as it is. Source: keras 3.15.1, image_preprocessing/auto_contrast.py.
    """
    first, last = value_range
    images = (x - first) / (last - first) * 255.0
    low, high = images.amin((1, 2), keepdim=True), images.amax((1, 2), keepdim=True)
    scale = 255.0 / (high - low)
    stretched = torch.clamp(images * scale + -low * scale, 0.0, 255.0)
    stretched = stretched / 255.0 * (last - first) + first
    return torch.where(torch.isnan(stretched), x, stretched)


def equalize_tiles(
    x: Tensor,
    *,
    value_range: tuple[float, float],
    clip_limit: float,
    grid: tuple[int, int],
) -> Tensor:
    """Return (batch, height, width, channels) where each pixel goes by the histograms of the tiles around it.

    Args:
        x: channels last.
        value_range: of the values, which are counted in 256 steps.
        clip_limit: how many times the mean a histogram may hold in one step; the rest is spread; 0: no limit.
        grid: rows and columns of tiles.

    Source: keras 3.15.1, layers/preprocessing/image_preprocessing/clahe.py.
    """
    first, last = value_range
    batch, height, width, channels = x.shape
    (rows, columns), device = grid, x.device
    tall, wide = (height + rows - 1) // rows, (width + columns - 1) // columns
    down = torch.arange(rows * tall, device=device)
    along = torch.arange(columns * wide, device=device)
    images = (x - first) / (last - first) * 255.0
    # The last tiles are filled up with the mirrored border.
    images = images[:, torch.where(down < height, down, 2 * height - 1 - down)]
    images = images[:, :, torch.where(along < width, along, 2 * width - 1 - along)]
    pixels = images.clamp(0, 255).long()
    tiles = pixels.reshape(batch, rows, tall, columns, wide, channels)
    tiles = tiles.permute(0, 1, 3, 5, 2, 4).flatten(-2)
    counts = torch.zeros(
        batch, rows, columns, channels, 256, dtype=x.dtype, device=device
    )
    counts = counts.scatter_add(-1, tiles, torch.ones_like(tiles, dtype=x.dtype))
    if clip_limit > 0:
        kept = counts.clamp(max=clip_limit * (tall * wide) / 256.0)
        counts = kept + (counts - kept).sum(-1, keepdim=True) / 256.0
    shares = counts.cumsum(-1)
    least = shares.amin(-1, keepdim=True)
    spare = tall * wide - least
    shares = (
        (shares - least)
        * 255.0
        / torch.where(spare == 0, torch.ones_like(spare), spare)
    )
    shares = shares.clamp(0, 255)
    shares = torch.cat([shares[:, :1], shares, shares[:, -1:]], 1)
    shares = torch.cat([shares[:, :, :1], shares, shares[:, :, -1:]], 2)
    # Each pixel lies between the middles of four tiles; those at the border count twice.
    y, z = (
        (down.to(x.dtype) - tall / 2) / tall + 1,
        (along.to(x.dtype) - wide / 2) / wide + 1,
    )
    above, left = torch.floor(y), torch.floor(z)
    low, right = (y - above).reshape(-1, 1, 1), (z - left).reshape(-1, 1)
    top, bottom = [
        (above + step).clamp(0, rows + 1).long().reshape(-1, 1, 1) for step in (0, 1)
    ]
    near, far = [
        (left + step).clamp(0, columns + 1).long().reshape(-1, 1) for step in (0, 1)
    ]
    image = torch.arange(batch, device=device).reshape(-1, 1, 1, 1)
    channel = torch.arange(channels, device=device)
    upper = shares[image, top, near, channel, pixels] * (1 - right)
    upper = upper + shares[image, top, far, channel, pixels] * right
    lower = shares[image, bottom, near, channel, pixels] * (1 - right)
    lower = lower + shares[image, bottom, far, channel, pixels] * right
    mixed = (upper * (1 - low) + lower * low)[:, :height, :width]
    return mixed / 255.0 * (last - first) + first
