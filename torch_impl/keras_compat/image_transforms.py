"""Colors, blurs and projections of images as TensorFlow computes them. Each function stands alone: its source is emitted as it is."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def rgb_to_hsv(x: Tensor, *, channels_last: bool = True) -> Tensor:
    """Return hue, saturation and value in [0, 1] of red, green and blue.

    Source: tensorflow 2.21.0, core/kernels/image/colorspace_op.h.
    """
    red, green, blue = x.movedim(-1 if channels_last else -3, 0).unbind(0)
    value = torch.maximum(torch.maximum(red, green), blue)
    span = value - torch.minimum(torch.minimum(red, green), blue)
    saturation = torch.where(value > 0, span / torch.where(value > 0, value, 1), 0)
    step = 1 / (6 * torch.where(span > 0, span, 1))
    hue = torch.where(
        red == value,
        step * (green - blue),
        torch.where(
            green == value,
            step * (blue - red) + 2 / 6,
            step * (red - green) + 4 / 6,
        ),
    )
    hue = torch.where(span > 0, hue, 0)
    hue = torch.where(hue < 0, hue + 1, hue)
    return torch.stack([hue, saturation, value], -1 if channels_last else -3)


def hsv_to_rgb(x: Tensor, *, channels_last: bool = True) -> Tensor:
    """Return red, green and blue of hue, saturation and value in [0, 1].

    Source: tensorflow 2.21.0, core/kernels/image/colorspace_op.h.
    """
    hue, saturation, value = x.movedim(-1 if channels_last else -3, 0).unbind(0)
    sixth = hue * 6
    shares = (
        torch.clamp(torch.abs(sixth - 3) - 1, 0, 1),
        torch.clamp(2 - torch.abs(sixth - 2), 0, 1),
        torch.clamp(2 - torch.abs(sixth - 4), 0, 1),
    )
    parts = [((1 - saturation) + saturation * share) * value for share in shares]
    return torch.stack(parts, -1 if channels_last else -3)


def gaussian_blur(
    x: Tensor,
    *,
    size: int,
    sigma: tuple[float, float],
    channels_last: bool = True,
) -> Tensor:
    """Return images of which every cell is a mean of a square around it, weighted by a bell; zeros are around them.

    Args:
        x: (batch, h, w, channels), or channels first; the batch may be missing.
        size: cells of the square.
        sigma: deviation of the bell in a row, and over the rows.
        channels_last: where the channels are.

    Source: keras 3.15.1, backend/tensorflow/image.py, `gaussian_blur`.
    """
    images = x.movedim(-1, -3) if channels_last else x
    places = torch.arange(size, dtype=x.dtype, device=x.device) - (size - 1) / 2
    bells = [torch.exp(-0.5 * (places / deviation) ** 2) for deviation in sigma]
    right, down = [bell / bell.sum() for bell in bells]
    before = (size - 1) // 2
    pad = (before, size - 1 - before) * 2
    single = images.reshape(-1, 1, *images.shape[-2:])
    kernel = torch.outer(down, right)[None, None]
    found = nn.functional.conv2d(nn.functional.pad(single, pad), kernel)
    found = found.reshape(images.shape)
    return found.movedim(-3, -1) if channels_last else found


def sobel_edges(x: Tensor, *, channels_last: bool = True) -> Tensor:
    """Return the slopes of images downwards and to the right on a new last axis; the border is mirrored.

    Args:
        x: (batch, h, w, channels), or channels first.
        channels_last: where the channels are.

    Source: tensorflow 2.21.0, python/ops/image_ops_impl.py, `sobel_edges`.
    """
    images = x.movedim(-1, 1) if channels_last else x
    down = x.new_tensor([[-1, -2, -1], [0, 0, 0], [1, 2, 1]])
    kernels = torch.stack([down, down.T]).unsqueeze(1)
    padded = nn.functional.pad(images, (1, 1, 1, 1), mode="reflect")
    found = nn.functional.conv2d(padded.flatten(0, 1).unsqueeze(1), kernels)
    found = found.reshape(*images.shape[:2], *found.shape[1:]).movedim(2, -1)
    return found.movedim(1, 3) if channels_last else found


def structural_similarity(
    x: Tensor,
    y: Tensor,
    *,
    largest: float,
    size: int,
    sigma: float,
    k1: float,
    k2: float,
    channels_last: bool = True,
) -> Tensor:
    """Return how alike two images are in means, contrasts and structure, 1 for equal ones.

    Args:
        x: (batch, h, w, channels), or channels first; the batch may be missing.
        y: likewise.
        largest: value of a cell.
        size: cells of the square that is weighted by a bell.
        sigma: deviation of the bell.
        k1: share of `largest` whose square is added to means.
        k2: share of `largest` whose square is added to variances.
        channels_last: where the channels are.

    Source: keras 3.15.1, ops/image.py, `_ssim`.
    """
    places = torch.arange(size, dtype=x.dtype, device=x.device) - (size - 1) / 2
    bell = torch.exp(-(places**2) / (2 * sigma**2))
    bell = bell / bell.sum()
    kernel = torch.outer(bell, bell)[None, None]
    images = [image.movedim(-1, -3) if channels_last else image for image in (x, y)]
    one, two = [image.reshape(-1, 1, *image.shape[-2:]) for image in images]
    products = torch.cat([one, two, one * one, two * two, one * two], 1)
    means = nn.functional.conv2d(products, kernel.expand(5, -1, -1, -1), groups=5)
    first, second, first_square, second_square, both = means.unbind(1)
    c1, c2 = (k1 * largest) ** 2, (k2 * largest) ** 2
    above = (2 * first * second + c1) * (2 * (both - first * second) + c2)
    spread = first_square - first**2 + second_square - second**2
    below = (first**2 + second**2 + c1) * (spread + c2)
    found = (above / below).mean((1, 2))
    return found.reshape(images[0].shape[:-2]).mean(-1)


def project_images(
    x: Tensor,
    transform: Tensor,
    *,
    nearest: bool = False,
    fill: str = "constant",
    value: float = 0.0,
    channels_last: bool = True,
) -> Tensor:
    """Return images of which every cell (column, row) shows what lies at a projected place.

        column' = (a0 column + a1 row + a2) / k,  row' = (a3 column + a4 row + a5) / k,  k = a6 column + a7 row + 1

    The gradient is that of the cells that are read; TensorFlow's goes through the inverse projection instead.

    Args:
        x: (batch, h, w, channels), or channels first; the batch may be missing.
        transform: (8,), (1, 8) or (batch, 8): a0 to a7.
        nearest: read the nearest cell, otherwise between the four around.
        fill: beyond the border: "constant", "nearest", "reflect" or "wrap".
        value: of what is beyond with "constant", and where k is 0.
        channels_last: where the channels are.

    Source: tensorflow 2.21.0, core/kernels/image/image_ops.h, `ProjectiveGenerator`; places are float32 there.
    """
    images = x if channels_last else x.movedim(-3, -1)
    images = images.unsqueeze(0) if x.dim() == 3 else images
    a = transform.to(torch.float32).reshape(-1, 8, 1, 1).unbind(1)
    height, width = images.shape[1:3]
    row = torch.arange(height, dtype=torch.float32, device=x.device).reshape(1, -1, 1)
    column = torch.arange(width, dtype=torch.float32, device=x.device).reshape(1, 1, -1)
    k = a[6] * column + a[7] * row + 1
    places = []
    for count, (first, second, third) in ((height, a[3:6]), (width, a[:3])):
        place = (first * column + second * row + third) / k
        if fill == "reflect":
            turn = 2.0 * count
            below = torch.where(
                place < -turn, turn * torch.trunc(-place / turn) + place, place
            )
            below = torch.where(below < -count, below + turn, -below - 1)
            above = place - turn * torch.trunc(place / turn)
            above = torch.where(above >= count, turn - above - 1, above)
            mirrored = torch.where(place < 0, below, above)
            inside = (place >= 0) & (place <= count - 1)
            place = torch.where(inside, place, mirrored).clamp(0, count - 1)
        elif fill == "wrap":
            last = max(count - 1, 1)
            below = place + count * (torch.trunc(-place / last) + 1)
            above = place - count * torch.trunc(place / last)
            wrapped = torch.where(place < 0, below, above)
            inside = (place >= 0) & (place <= count - 1)
            place = torch.where(inside, place, wrapped).clamp(0, count - 1)
        elif fill == "nearest":
            place = place.clamp(0, count - 1)
        places.append(place)
    batch = torch.arange(images.shape[0], device=x.device).reshape(-1, 1, 1)
    above, left = [torch.floor(place) for place in places]
    beyond = [(0, 0), (0, 1), (1, 0), (1, 1)]
    if nearest:
        above, left = [torch.sign(p) * torch.floor(p.abs() + 0.5) for p in places]
        beyond = beyond[:1]
    found = torch.zeros_like(images)
    for down, right in beyond:
        row, column = above + down, left + right
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        rows = row.nan_to_num().clamp(0, height - 1).long()
        columns = column.nan_to_num().clamp(0, width - 1).long()
        cells = images[batch, rows, columns]
        cells = torch.where(inside.unsqueeze(-1), cells, value)
        if nearest:
            found = cells
        else:
            share = places[0] - above if down else above + 1 - places[0]
            share = share * (places[1] - left if right else left + 1 - places[1])
            found = found + share.unsqueeze(-1).to(x.dtype) * cells
    found = torch.where((k == 0).unsqueeze(-1), torch.full_like(found, value), found)
    found = found.squeeze(0) if x.dim() == 3 else found
    return found if channels_last else found.movedim(-1, -3)


def homography(start: Tensor, end: Tensor) -> Tensor:
    """Return (batch, 8): the projection that takes four end points (column, row) to where they come from.

    Args:
        start: (4, 2) or (batch, 4, 2).
        end: likewise.

    Source: keras 3.15.1, backend/tensorflow/image.py, `compute_homography_matrix`.
    """
    x, y = start.to(torch.float32).reshape(-1, 4, 2).unbind(-1)
    u, v = end.to(torch.float32).reshape(-1, 4, 2).unbind(-1)
    one, none = torch.ones_like(u), torch.zeros_like(u)
    columns = torch.stack([u, v, one, none, none, none, -x * u, -x * v], -1)
    rows = torch.stack([none, none, none, u, v, one, -y * u, -y * v], -1)
    matrix = torch.stack([columns, rows], 2).flatten(1, 2)
    wanted = torch.stack([x, y], 2).flatten(1)
    found: Tensor = torch.linalg.solve(matrix, wanted.unsqueeze(-1))
    return found.squeeze(-1)


def read_places(
    x: Tensor, places: Tensor, *, order: int, fill: str, value: float = 0.0
) -> Tensor:
    """Return what lies at places of a tensor that need not be whole numbers.

    Args:
        x: of any rank.
        places: (rank of x, ...).
        order: 0 reads the nearest element, 1 between those around.
        fill: beyond the ends: "constant", "nearest", "wrap", "mirror" or "reflect".
        value: of what is beyond with "constant".

    Source: keras 3.15.1, backend/tensorflow/image.py, `map_coordinates`.
    """
    # Every way to take one of the nodes on each axis: how much it counts, whether it lies inside, and its place.
    inside = torch.ones_like(places[0]) > 0
    ways: list[tuple[Tensor, Tensor, list[Tensor]]] = [
        (torch.ones_like(places[0]), inside, [])
    ]
    for size, place in zip(x.shape, places.unbind(0), strict=True):
        near = torch.round(place) if order == 0 else torch.floor(place)
        nodes = [(near, 1 - (place - near)), (near + 1, place - near)]
        if order == 0:
            nodes = [(near, torch.ones_like(place))]
        longer = []
        for node, weight in nodes:
            index = node.long()
            if fill == "constant":
                inside = (index >= 0) & (index < size)
            if fill in ("constant", "nearest"):
                index = index.clamp(0, size - 1)
            elif fill == "wrap":
                index = index % size
            else:
                index = index.abs() % (2 * size)
                other = 2 * size - index - (1 if fill == "reflect" else 0)
                index = torch.where(index < size, index, other)
            for share, whole, before in ways:
                longer.append((share * weight, whole & inside, [*before, index]))
        ways = longer
    found = torch.zeros_like(places[0])
    for share, whole, where in ways:
        cells = x[tuple(where)].to(places.dtype)
        found = found + share * torch.where(whole, cells, value)
    found = found if x.is_floating_point() else torch.round(found)
    return found.to(x.dtype)


def to_gray(x: Tensor, *, channels_last: bool = True) -> Tensor:
    """Return 0.2989 red + 0.587 green + 0.114 blue as the one channel; whole numbers lose what is behind the point."""
    axis = -1 if channels_last else -3
    factors = x.new_tensor(
        [0.2989, 0.587, 0.114],
        dtype=x.dtype if x.is_floating_point() else torch.float32,
    )
    found = (x.movedim(axis, -1).to(factors.dtype) * factors).sum(-1)
    return found.unsqueeze(axis).to(x.dtype)
