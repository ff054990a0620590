"""Layers that move or average axes and have no weights."""

from __future__ import annotations

import math

from converters.graph import Layer
from converters.registry import Example, Shape, TorchStep, layer
from converters.settings import flag, integers, text


def _product(sizes: Shape) -> int | None:
    return None if None in sizes else math.prod(size for size in sizes if size is not None)


@layer(
    "Flatten", examples=(Example({}, ((5,),)), Example({}, ((3, 4),)), Example({}, ((2, 3, 4),)))
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
    return [*steps, TorchStep("torch.unflatten", {"dim": 1, "sizes": sizes}, shape=result)]


@layer(
    "GlobalAveragePooling1D",
    examples=(Example({}, ((5, 3),)), Example({"keepdims": True}, ((5, 3),))),
)
def global_average_pooling1d(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the mean over the steps."""
    first = text(layer, "data_format", "channels_last") == "channels_first"
    keep = flag(layer, "keepdims", default=False)
    axis = 2 if first else 1
    sizes = list(shapes[0])
    sizes[axis : axis + 1] = [1] if keep else []
    return [TorchStep("torch.mean", {"dim": axis, "keepdim": keep}, shape=tuple(sizes))]
