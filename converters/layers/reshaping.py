"""Layers that move axes and have no weights."""

from __future__ import annotations

import math

from converters.graph import Layer
from converters.registry import Example, Shape, TorchStep, layer
from converters.settings import integer, integers, text, unsupported


def _product(sizes: Shape) -> int | None:
    return None if None in sizes else math.prod(size for size in sizes if size is not None)


@layer(
    "Flatten",
    examples=(Example({}, ((5,),)), Example({}, ((3, 4),)), Example({}, ((2, 3, 4),))),
    numbers="kept",
)
def flatten(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return all axes but the batch as one, channels last in either data format."""
    shape = shapes[0]
    if len(shape) == 1:
        return [TorchStep("torch.unsqueeze", {"dim": 1}, shape=(shape[0], 1))]
    flat = TorchStep("torch.flatten", {"start_dim": 1}, shape=(shape[0], _product(shape[1:])))
    if text(layer, "data_format", "channels_last") == "channels_first" and len(shape) > 2:
        order = (0, *range(2, len(shape)), 1)
        moved = tuple(shape[axis] for axis in order)
        return [TorchStep("torch.permute", {"dims": order}, shape=moved), flat]
    return [flat]


@layer(
    "Reshape",
    examples=(
        Example({"target_shape": (3, 2)}, ((6,),)),
        Example({"target_shape": (-1, 2)}, ((3, 4),)),
    ),
    numbers="kept",
)
def reshape(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the axes after the batch in another shape, rows first in both frameworks."""
    sizes = integers(layer, "target_shape")
    total = _product(shapes[0][1:])
    known = math.prod(size for size in sizes if size != -1)
    free = None if total is None or known == 0 else total // known
    result = (shapes[0][0], *(free if size == -1 else size for size in sizes))
    steps = []
    if len(shapes[0]) != 2:  # (batch, one axis) needs no flattening first
        steps.append(TorchStep("torch.flatten", {"start_dim": 1}, shape=(shapes[0][0], total)))
    if len(sizes) == 1:
        return steps
    if len(sizes) > 2 and all(size == 1 for size in sizes[:-1]):
        # Channels of images of one pixel: written as torch has them, so that their move cancels with the images'.
        count, ones = sizes[-1], result[1:-1]
        front = (shapes[0][0], result[-1], *ones)
        back = (0, *range(2, len(result)), 1)
        return [
            *steps,
            TorchStep("torch.unflatten", {"dim": 1, "sizes": (count, *sizes[:-1])}, shape=front),
            TorchStep("torch.permute", {"dims": back}, shape=result),
        ]
    return [*steps, TorchStep("torch.unflatten", {"dim": 1, "sizes": sizes}, shape=result)]


@layer(
    "Permute",
    examples=(Example({"dims": (2, 1)}, ((5, 3),)), Example({"dims": (3, 1, 2)}, ((5, 3, 2),))),
    numbers="kept",
)
def permute(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the axes after the batch in another order; Keras counts them from 1."""
    order = (0, *integers(layer, "dims"))
    if sorted(order) != list(range(len(shapes[0]))):
        raise unsupported(layer, "dims", needed=f"the axes 1 to {len(shapes[0]) - 1}, each once")
    moved = tuple(shapes[0][axis] for axis in order)
    return [TorchStep("torch.permute", {"dims": order}, shape=moved)]


@layer("RepeatVector", examples=(Example({"n": 3}, ((4,),)),), numbers="kept")
def repeat_vector(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return (batch, n, size): the input n times."""
    batch, size = shapes[0]
    count = integer(layer, "n")
    return [
        TorchStep("torch.unsqueeze", {"dim": 1}, shape=(batch, 1, size)),
        TorchStep("torch.tile", {"dims": (1, count, 1)}, shape=(batch, count, size)),
    ]
