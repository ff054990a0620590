"""Zero padding, cropping and upsampling of the spatial axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from converters.graph import Layer
from converters.layers.images import is_whole, resize_step, with_type_back
from converters.registry import Example, Plain, Shape, TorchStep, layer
from converters.rule_parts.windows import Frame, compact, extents, pad_argument
from converters.settings import text, unsupported


def _pairs(layer: Layer, key: str, rank: int) -> list[tuple[int, int]]:
    """Return how many cells before and after every axis: one number for all, one an axis, or a pair an axis."""
    value = layer.config.get(key, 1)
    values = value if isinstance(value, (list, tuple)) else [value] * rank
    if rank == 1 and len(values) == 2:
        values = [values]
    pairs = [tuple(item) if isinstance(item, (list, tuple)) else (item, item) for item in values]
    cells = [cell for pair in pairs for cell in pair]
    if len(pairs) != rank or len(cells) != 2 * rank:
        raise unsupported(layer, key, needed=f"{rank} pairs of integers")
    if not all(type(cell) is int and cell >= 0 for cell in cells):
        raise unsupported(layer, key, needed="integers from 0 on")
    return [(pair[0], pair[1]) for pair in pairs]


def _padded(layer: Layer, shape: Shape, pairs: Sequence[tuple[int, int]]) -> list[TorchStep]:
    """Return the step that adds cells, or takes them away where the number is negative."""
    frame = Frame.of(layer, shape, len(pairs))
    axes = dict(zip(frame.spatial_axes, pairs, strict=True))
    sizes = tuple(
        size if size is None else size + sum(axes.get(axis, (0, 0)))
        for axis, size in enumerate(shape)
    )
    if any(size is not None and size < 1 for size in sizes):
        raise unsupported(layer, "cropping", needed=f"less than the input has: {shape}")
    behind = [(0, 0)] if frame.channels_last else []
    return [TorchStep("F.pad", {"pad": pad_argument([*pairs, *behind])}, shape=sizes)]


def _zero_padding(layer: Layer, shape: Shape, rank: int) -> list[TorchStep]:
    return _padded(layer, shape, _pairs(layer, "padding", rank))


def _cropping(layer: Layer, shape: Shape, rank: int) -> list[TorchStep]:
    pairs = _pairs(layer, "cropping", rank)
    return _padded(layer, shape, [(-before, -after) for before, after in pairs])


@layer(
    "ZeroPadding1D",
    examples=(Example({}, ((5, 3),)), Example({"padding": [2, 0]}, ((5, 3),))),
    numbers="kept",
)
def zero_padding1d(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the steps with zeros before and after."""
    return _zero_padding(layer, shapes[0], 1)


@layer(
    "ZeroPadding2D",
    examples=(
        Example({}, ((5, 4, 3),)),
        Example({"padding": [2, 1]}, ((5, 4, 3),)),
        Example({"padding": [[0, 1], [2, 3]]}, ((5, 4, 3),)),
        Example({"padding": [2, 1], "data_format": "channels_first"}, ((3, 5, 4),)),
    ),
)
def zero_padding2d(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the image with zeros around it."""
    return _zero_padding(layer, shapes[0], 2)


@layer("ZeroPadding3D", examples=(Example({"padding": [[0, 1], [2, 3], [1, 0]]}, ((3, 4, 2, 2),)),))
def zero_padding3d(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the volume with zeros around it."""
    return _zero_padding(layer, shapes[0], 3)


@layer(
    "Cropping1D",
    examples=(Example({}, ((6, 3),)), Example({"cropping": [2, 0]}, ((6, 3),))),
    numbers="kept",
)
def cropping1d(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the steps without the first and last."""
    return _cropping(layer, shapes[0], 1)


@layer(
    "Cropping2D",
    examples=(
        Example({"cropping": [[0, 1], [2, 1]]}, ((5, 6, 3),)),
        Example({"cropping": 1, "data_format": "channels_first"}, ((3, 5, 6),)),
    ),
    numbers="kept",
)
def cropping2d(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the inner part of the image."""
    return _cropping(layer, shapes[0], 2)


@layer("Cropping3D", examples=(Example({"cropping": [[0, 1], [2, 1], [1, 0]]}, ((3, 5, 3, 2),)),))
def cropping3d(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the inner part of the volume."""
    return _cropping(layer, shapes[0], 3)


def _repeated(frame: Frame, shape: Shape, factors: Sequence[int]) -> list[TorchStep]:
    """Return the steps that repeat cells, which torch's interpolation does not do with whole numbers."""
    steps, sizes = [], list(shape)
    for axis, factor in zip(frame.spatial_axes, factors, strict=True):
        size = sizes[axis]
        sizes[axis] = None if size is None else size * factor
        kwargs: dict[str, Plain] = {"repeats": factor, "dim": axis}
        steps.append(TorchStep("torch.repeat_interleave", kwargs, shape=tuple(sizes)))
    return steps


def _upsampling(layer: Layer, shape: Shape, rank: int) -> list[TorchStep]:
    frame, factors = Frame.of(layer, shape, rank), extents(layer, "size", rank, 2)
    if is_whole(layer) and text(layer, "interpolation", "nearest") == "nearest":
        return _repeated(frame, shape, factors)
    sizes = tuple(
        None if size is None else size * factor
        for size, factor in zip(frame.sizes, factors, strict=True)
    )
    interpolation = text(layer, "interpolation", "nearest")
    # torch's "nearest" multiplies by a rounded 1 / factor; "nearest-exact" looks at the middles of the cells.
    kwargs: dict[str, Plain] = {"scale_factor": compact(factors), "mode": "nearest-exact"}
    if interpolation != "nearest" and rank != 2:
        raise unsupported(layer, "interpolation", needed="nearest")
    if interpolation == "bilinear":
        kwargs |= {"mode": "bilinear", "align_corners": False}
    elif interpolation != "nearest":
        step = resize_step(layer, frame, (sizes[0] or 0, sizes[1] or 0))
        if None in sizes:
            given = {"scale": (factors[0], factors[1]), "kernel": step.kwargs["kernel"]}
            step = replace(step, kwargs=given, shape=frame.shape(frame.any_channels, sizes))
        return with_type_back(
            layer, [*frame.enter(), step, *frame.leave(frame.any_channels, sizes)]
        )
    step = TorchStep("F.interpolate", kwargs, shape=frame.shape(frame.any_channels, sizes))
    return with_type_back(layer, [*frame.enter(), step, *frame.leave(frame.any_channels, sizes)])


@layer(
    "UpSampling1D",
    examples=(
        Example({}, ((4, 3),)),
        Example({"size": 3}, ((4, 3),)),
        Example({}, ((4, 3),), below=256),
    ),
    numbers="kept",
)
def up_sampling1d(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return every step several times."""
    return _upsampling(layer, shapes[0], 1)


@layer(
    "UpSampling2D",
    examples=(
        Example({}, ((4, 5, 3),)),
        Example({"size": [2, 3]}, ((4, 5, 3),)),
        Example({"size": 2, "interpolation": "bilinear"}, ((4, 5, 3),)),
        Example({"size": 3, "interpolation": "bicubic"}, ((4, 5, 3),)),
        Example({"size": [3, 2], "data_format": "channels_first"}, ((3, 4, 5),)),
        Example({"size": [3, 2], "data_format": "channels_first"}, ((3, 4, 5),), below=256),
        Example({"size": 3, "interpolation": "bicubic"}, ((4, 5, 3),), below=256),
    ),
    numbers="kept",
)
def up_sampling2d(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the enlarged image."""
    return _upsampling(layer, shapes[0], 2)


@layer(
    "UpSampling3D",
    examples=(
        Example({"size": [1, 2, 3]}, ((2, 3, 2, 2),)),
        Example({"size": [1, 2, 3]}, ((2, 3, 2, 2),), below=9),
    ),
    numbers="kept",
)
def up_sampling3d(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the enlarged volume."""
    return _upsampling(layer, shapes[0], 3)
