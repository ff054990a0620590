"""Poolings over windows and over everything."""

from __future__ import annotations

from dataclasses import replace

from converters.errors import UnsupportedError
from converters.graph import Layer
from converters.lowering.masking import masks_of
from converters.registry import Example, Lowered, Plain, Shape, TorchStep, layer
from converters.rule_parts.windows import Frame, compact, extents, output_sizes, stock_padding
from converters.settings import flag, text, unsupported


def _pooling(layer: Layer, shape: Shape, rank: int, kind: str) -> list[TorchStep]:
    """Return the stock module where its padding gives SAME windows, else our function; `kind` is Max or Avg."""
    frame = Frame.of(layer, shape, rank)
    windows = extents(layer, "pool_size", rank, 2)
    strides = windows if layer.config.get("strides") is None else extents(layer, "strides", rank)
    padding = text(layer, "padding", "valid")
    if padding not in ("valid", "same"):
        raise unsupported(layer, "padding", needed="valid or same")
    if padding == "same" and layer.config.get("theano_windows") is True:
        raise unsupported(layer, "padding", needed="valid: Theano laid its windows otherwise")
    sizes = output_sizes(frame.sizes, windows, strides, padding=padding)
    pooled = frame.shape(frame.any_channels, sizes)
    kwargs: dict[str, Plain] = {"kernel_size": compact(windows)}
    if strides != windows:
        kwargs["stride"] = compact(strides)
    step = TorchStep(f"nn.{kind}Pool{rank}d", kwargs, shape=pooled)
    if padding == "same":
        stock = stock_padding(frame.sizes, windows, strides, may_ceil=True)
        if stock is None:
            function = {"Max": "compat.max_pool_same", "Avg": "compat.average_pool_same"}[kind]
            step = TorchStep(function, {"kernel_size": windows, "stride": strides}, shape=pooled)
        else:
            if max(stock.before):
                kwargs["padding"] = compact(stock.before)
            if stock.ceil_mode:
                kwargs["ceil_mode"] = True
            if kind == "Avg" and max(stock.before):
                kwargs["count_include_pad"] = False
    return [*frame.enter(), step, *frame.leave(frame.any_channels, sizes)]


_SAME = {"padding": "same"}


@layer(
    "MaxPooling1D",
    examples=(
        Example({}, ((7, 3),)),
        Example({"pool_size": 3, "strides": 2, **_SAME}, ((8, 3),)),
        Example({"pool_size": 3, "strides": 1, **_SAME}, ((8, 3),)),
    ),
)
def max_pooling1d(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return `nn.MaxPool1d`."""
    return _pooling(layer, shapes[0], 1, "Max")


@layer(
    "MaxPooling2D",
    examples=(
        Example({}, ((7, 6, 3),)),
        Example({"pool_size": [3, 2], "strides": [1, 2]}, ((7, 6, 3),)),
        Example({"pool_size": 2, **_SAME}, ((7, 5, 3),)),
        Example({"pool_size": 3, "strides": 2, **_SAME}, ((6, 8, 3),)),
        Example({"pool_size": 3, "strides": 2, **_SAME}, ((7, 5, 3),)),
        Example({"pool_size": 2, "strides": 1, **_SAME}, ((7, 6, 3),)),
        Example({"pool_size": 3, "strides": 2, **_SAME}, ((6, 7, 3),)),
        Example({"data_format": "channels_first"}, ((3, 7, 6),)),
    ),
)
def max_pooling2d(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return `nn.MaxPool2d`."""
    return _pooling(layer, shapes[0], 2, "Max")


@layer(
    "MaxPooling3D",
    examples=(
        Example({}, ((5, 6, 4, 2),)),
        Example({"pool_size": 2, "strides": 1, **_SAME}, ((3, 4, 2, 2),)),
    ),
)
def max_pooling3d(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return `nn.MaxPool3d`."""
    return _pooling(layer, shapes[0], 3, "Max")


@layer(
    "AveragePooling1D",
    examples=(
        Example({"pool_size": 2}, ((7, 3),)),
        Example({"pool_size": 3, "strides": 2, **_SAME}, ((7, 3),)),
        Example({"pool_size": 4, "strides": 1, **_SAME}, ((7, 3),)),
    ),
)
def average_pooling1d(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return `nn.AvgPool1d`; padded cells are not counted."""
    return _pooling(layer, shapes[0], 1, "Avg")


@layer(
    "AveragePooling2D",
    examples=(
        Example({"pool_size": 2}, ((7, 6, 3),)),
        Example({"pool_size": [3, 2], "strides": [1, 2]}, ((7, 6, 3),)),
        Example({"pool_size": 2, **_SAME}, ((7, 5, 3),)),
        Example({"pool_size": 3, "strides": 2, **_SAME}, ((6, 8, 3),)),
        Example({"pool_size": 3, "strides": 2, **_SAME}, ((7, 5, 3),)),
        Example({"pool_size": 2, "strides": 1, **_SAME}, ((7, 6, 3),)),
    ),
)
def average_pooling2d(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return `nn.AvgPool2d`; padded cells are not counted."""
    return _pooling(layer, shapes[0], 2, "Avg")


@layer(
    "AveragePooling3D",
    examples=(
        Example({"pool_size": 2}, ((5, 6, 4, 2),)),
        Example({"pool_size": 2, "strides": 1, **_SAME}, ((3, 4, 2, 2),)),
    ),
)
def average_pooling3d(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return `nn.AvgPool3d`; padded cells are not counted."""
    return _pooling(layer, shapes[0], 3, "Avg")


def _global(layer: Layer, shape: Shape, rank: int, function: str) -> list[TorchStep]:
    frame, keep = Frame.of(layer, shape, rank), flag(layer, "keepdims", default=False)
    axes = frame.spatial_axes
    sizes = tuple(
        1 if axis in axes else size for axis, size in enumerate(shape) if keep or axis not in axes
    )
    dim = axes[0] if rank == 1 else axes
    kwargs: dict[str, Plain] = {"dim": dim, "keepdim": True} if keep else {"dim": dim}
    return [TorchStep(function, kwargs, shape=sizes)]


_GLOBAL_1D = (Example({}, ((5, 3),)), Example({"keepdims": True}, ((5, 3),)))
_GLOBAL_2D = (
    Example({}, ((5, 4, 3),)),
    Example({"keepdims": True}, ((5, 4, 3),)),
    Example({"data_format": "channels_first"}, ((3, 5, 4),)),
)
_GLOBAL_3D = (Example({}, ((5, 4, 2, 3),)), Example({"keepdims": True}, ((5, 4, 2, 3),)))


_MASKED_1D = (
    Example({}, ((5, 3),), masked=(0,)),
    Example({"keepdims": True, "data_format": "channels_first"}, ((3, 3),), masked=(0,)),
)


@layer("GlobalAveragePooling1D", examples=(*_GLOBAL_1D, *_MASKED_1D), mask="use")
def global_average_pooling1d(layer: Layer, *shapes: Shape) -> list[TorchStep] | Lowered:
    """Return the mean over the steps, those that a mask keeps; the mask ends here."""
    masks = masks_of(layer)
    mask = masks.of_input()
    steps = _global(layer, shapes[0], 1, "torch.mean")
    if mask is None:
        return steps
    if len(masks.shapes[mask]) != 2:
        msg = f"layer '{layer.name}' (GlobalAveragePooling1D): its mask {masks.shapes[mask]} is not (batch, steps)"
        raise UnsupportedError(msg)
    step = replace(steps[-1], op="compat.masked_mean", inputs=("input_0", mask), results=("mean",))
    return Lowered((step,), ("mean",), masks=(None,))


@layer("GlobalAveragePooling2D", examples=_GLOBAL_2D)
def global_average_pooling2d(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the mean over height and width."""
    return _global(layer, shapes[0], 2, "torch.mean")


@layer("GlobalAveragePooling3D", examples=_GLOBAL_3D)
def global_average_pooling3d(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the mean over the three spatial axes."""
    return _global(layer, shapes[0], 3, "torch.mean")


@layer("GlobalMaxPooling1D", examples=_GLOBAL_1D)
def global_max_pooling1d(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the largest of all steps; at a tie the gradient is shared, as in TensorFlow."""
    return _global(layer, shapes[0], 1, "torch.amax")


@layer("GlobalMaxPooling2D", examples=_GLOBAL_2D)
def global_max_pooling2d(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the largest over height and width; at a tie the gradient is shared, as in TensorFlow."""
    return _global(layer, shapes[0], 2, "torch.amax")


@layer("GlobalMaxPooling3D", examples=_GLOBAL_3D)
def global_max_pooling3d(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the largest over the three spatial axes; at a tie the gradient is shared, as in TensorFlow."""
    return _global(layer, shapes[0], 3, "torch.amax")


def _adaptive(layer: Layer, shape: Shape, rank: int, kind: str) -> list[TorchStep]:
    """Return torch's adaptive module: both cut the axis at floor(i size / count) and ceil((i + 1) size / count)."""
    frame, sizes = Frame.of(layer, shape, rank), extents(layer, "output_size", rank)
    pooled = frame.shape(frame.any_channels, sizes)
    step = TorchStep(f"nn.Adaptive{kind}Pool{rank}d", {"output_size": compact(sizes)}, shape=pooled)
    return [*frame.enter(), step, *frame.leave(frame.any_channels, sizes)]


_ADAPTIVE_1D = (Example({"output_size": 3}, ((7, 2),)),)
_ADAPTIVE_2D = (
    Example({"output_size": [3, 2]}, ((7, 6, 2),)),
    Example({"output_size": [4, 5], "data_format": "channels_first"}, ((2, 10, 7),)),
)
_ADAPTIVE_3D = (Example({"output_size": [2, 1, 3]}, ((3, 4, 5, 2),)),)


@layer("AdaptiveAveragePooling1D", examples=_ADAPTIVE_1D)
def adaptive_average_pooling1d(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return `nn.AdaptiveAvgPool1d`."""
    return _adaptive(layer, shapes[0], 1, "Avg")


@layer("AdaptiveAveragePooling2D", examples=_ADAPTIVE_2D)
def adaptive_average_pooling2d(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return `nn.AdaptiveAvgPool2d`."""
    return _adaptive(layer, shapes[0], 2, "Avg")


@layer("AdaptiveAveragePooling3D", examples=_ADAPTIVE_3D)
def adaptive_average_pooling3d(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return `nn.AdaptiveAvgPool3d`."""
    return _adaptive(layer, shapes[0], 3, "Avg")


@layer("AdaptiveMaxPooling1D", examples=_ADAPTIVE_1D)
def adaptive_max_pooling1d(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return `nn.AdaptiveMaxPool1d`."""
    return _adaptive(layer, shapes[0], 1, "Max")


@layer("AdaptiveMaxPooling2D", examples=_ADAPTIVE_2D)
def adaptive_max_pooling2d(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return `nn.AdaptiveMaxPool2d`."""
    return _adaptive(layer, shapes[0], 2, "Max")


@layer("AdaptiveMaxPooling3D", examples=_ADAPTIVE_3D)
def adaptive_max_pooling3d(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return `nn.AdaptiveMaxPool3d`."""
    return _adaptive(layer, shapes[0], 3, "Max")
