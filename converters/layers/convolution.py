"""Convolutions: plain, transposed, depthwise and separable, over one to three spatial axes.

Every rule keeps the legacy layout at its ends: the channels are moved in front, the stock torch module runs, the
channels are moved back, the activation follows. `converters.passes.channels` takes out the moves that cancel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from converters.errors import UnsupportedError
from converters.graph import Layer
from converters.layers.activations import activation_steps
from converters.registry import Example, Param, Plain, Shape, TorchStep, Weight, layer
from converters.settings import flag, integer, integers, text, unsupported
from converters.stored_forms import kernel_param
from converters.windows import (
    Frame,
    compact,
    dilated,
    extents,
    output_sizes,
    same_padding,
    stock_padding,
)

AXES = {1: "time", 2: "h w", 3: "depth h w"}
"""Names of the spatial axes in layouts."""
_KERNEL = (Weight("kernel"), Weight("bias", when="use_bias"))


def pad_argument(pads: Sequence[tuple[int, int]]) -> tuple[int, ...]:
    """Return what `F.pad` wants: before and after, starting with the last axis."""
    return tuple(size for pair in reversed(pads) for size in pair)


def _padding(
    layer: Layer, frame: Frame, windows: Sequence[int], strides: Sequence[int]
) -> tuple[list[TorchStep], dict[str, Plain]]:
    """Return the steps that pad before the module and the module's own padding, whichever says it exactly."""
    padding = text(layer, "padding", "valid")
    if padding == "valid" or max(windows) == 1 == max(strides):
        return [], {}
    if padding == "causal" and frame.rank == 1:
        return [TorchStep("F.pad", {"pad": (windows[0] - 1, 0)}, shape=_grown(frame, windows))], {}
    if padding != "same":
        raise unsupported(layer, "padding", needed="valid, same or, in one dimension, causal")
    if layer.config.get("theano_windows") is True:
        return _half_padding(layer, frame, windows, strides)
    if max(strides) == 1:
        return _dense_padding(frame, windows)
    stock = stock_padding(frame.sizes, windows, strides, may_ceil=False)
    if stock is not None:
        return [], {"padding": compact(stock.before)} if max(stock.before) else {}
    if None in frame.sizes:
        kwargs: dict[str, Plain] = {"window": tuple(windows), "stride": tuple(strides)}
        free = frame.shape(frame.channels, (None,) * frame.rank)
        return [TorchStep("compat.pad_same", kwargs, shape=free)], {}
    pads = [
        same_padding(size or 0, window, stride)
        for size, window, stride in zip(frame.sizes, windows, strides, strict=True)
    ]
    sizes = tuple((size or 0) + sum(pair) for size, pair in zip(frame.sizes, pads, strict=True))
    shape = frame.shape(frame.channels, sizes)
    return [TorchStep("F.pad", {"pad": pad_argument(pads)}, shape=shape)], {}


def _half_padding(
    layer: Layer, frame: Frame, windows: Sequence[int], strides: Sequence[int]
) -> tuple[list[TorchStep], dict[str, Plain]]:
    """Return Theano's padding: half a window in front, and behind what the last window of SAME needs.

    Source: keras 1.2.2 and 2.2.4, backend/theano_backend.py, `conv2d` and `_postprocess_conv2d_output`.
    """
    if None in frame.sizes:
        raise unsupported(layer, "padding", needed="valid, or same with axes of known size: Theano")
    pads = []
    for size, window, stride in zip(frame.sizes, windows, strides, strict=True):
        ends = (-(-(size or 0) // stride) - 1) * stride + window
        pads.append((window // 2, ends - (size or 0) - window // 2))
    if all(before == after for before, after in pads):
        return [], {"padding": compact([before for before, _ in pads])}
    sizes = tuple((size or 0) + sum(pair) for size, pair in zip(frame.sizes, pads, strict=True))
    shape = frame.shape(frame.channels, sizes)
    return [TorchStep("F.pad", {"pad": pad_argument(pads)}, shape=shape)], {}


def _dense_padding(
    frame: Frame, windows: Sequence[int]
) -> tuple[list[TorchStep], dict[str, Plain]]:
    """Return SAME padding for a stride of 1, where it does not depend on the size."""
    if all(window % 2 for window in windows):
        return [], {"padding": "same"}
    # torch's own "same" puts the odd cell last as well, but copies the input and warns of it.
    pads = [((window - 1) // 2, window // 2) for window in windows]
    sizes = tuple(
        None if size is None else size + sum(pair)
        for size, pair in zip(frame.sizes, pads, strict=True)
    )
    shape = frame.shape(frame.channels, sizes)
    return [TorchStep("F.pad", {"pad": pad_argument(pads)}, shape=shape)], {}


def _grown(frame: Frame, windows: Sequence[int]) -> Shape:
    size = frame.sizes[0]
    return frame.shape(frame.channels, (None if size is None else size + windows[0] - 1,))


def _module_arguments(
    channels: tuple[int, int], kernel: Sequence[int], **others: Plain
) -> dict[str, Plain]:
    """Return the arguments of a convolution module without those that are torch's defaults."""
    defaults = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "output_padding": 0}
    kwargs: dict[str, Plain] = {
        "in_channels": channels[0],
        "out_channels": channels[1],
        "kernel_size": compact(kernel),
    }
    kwargs |= {name: value for name, value in others.items() if value != defaults.get(name, True)}
    return kwargs


def _params(kernel: Param, bias: int | None) -> tuple[Param, ...]:
    """Return the kernel and, where there is one, the bias of that size."""
    return (kernel,) if bias is None else (kernel, Param("bias", "bias", "out -> out", (bias,)))


def _convolution(layer: Layer, shape: Shape, rank: int) -> list[TorchStep]:
    frame = Frame.of(layer, shape, rank)
    filters, groups = integer(layer, "filters"), integer(layer, "groups", 1)
    kernel = extents(layer, "kernel_size", rank)
    strides, dilation = extents(layer, "strides", rank, 1), extents(layer, "dilation_rate", rank, 1)
    windows, bias = dilated(kernel, dilation), flag(layer, "use_bias", default=True)
    before, padding = _padding(layer, frame, windows, strides)
    sizes = output_sizes(frame.sizes, windows, strides, padding=text(layer, "padding", "valid"))
    others: dict[str, Plain] = {
        "stride": compact(strides),
        **padding,
        "dilation": compact(dilation),
        "groups": groups,
        "bias": bias,
    }
    channels = (frame.channels // groups, filters)
    weight = kernel_param(
        layer, "kernel", ("in", "out"), channels, kernel, axes=AXES[rank], given="out in"
    )
    module = TorchStep(
        f"nn.Conv{rank}d",
        _module_arguments((frame.channels, filters), kernel, **others),
        _params(weight, filters if bias else None),
        shape=frame.shape(filters, sizes),
    )
    activation = activation_steps(layer, layer.config.get("activation"))
    return [*frame.enter(), *before, module, *frame.leave(filters, sizes), *activation]


@layer(
    "Conv1D",
    weights=_KERNEL,
    examples=(
        Example({"filters": 4, "kernel_size": 3}, ((7, 2),)),
        Example({"filters": 4, "kernel_size": 2, "padding": "same", "use_bias": False}, ((7, 3),)),
        Example({"filters": 4, "kernel_size": 3, "padding": "same", "strides": 2}, ((8, 3),)),
        Example(
            {"filters": 3, "kernel_size": 3, "padding": "causal", "dilation_rate": 2}, ((7, 2),)
        ),
        Example({"filters": 4, "kernel_size": 4, "padding": "causal", "strides": 2}, ((7, 2),)),
        Example({"filters": 6, "kernel_size": 3, "groups": 2}, ((7, 4),)),
    ),
)
def conv1d(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return `nn.Conv1d` and the activation."""
    return _convolution(layer, shapes[0], 1)


@layer(
    "Conv2D",
    weights=_KERNEL,
    examples=(
        Example({"filters": 4, "kernel_size": 3}, ((7, 5, 2),)),
        Example({"filters": 4, "kernel_size": [3, 2], "activation": "relu"}, ((7, 5, 2),)),
        Example({"filters": 4, "kernel_size": 3, "activation": "softmax"}, ((7, 5, 2),)),
        Example({"filters": 4, "kernel_size": [4, 3], "padding": "same"}, ((7, 5, 2),)),
        Example({"filters": 3, "kernel_size": 3, "padding": "same", "strides": 2}, ((7, 5, 2),)),
        Example({"filters": 3, "kernel_size": 3, "padding": "same", "strides": 2}, ((8, 6, 2),)),
        Example(
            {"filters": 3, "kernel_size": [5, 2], "padding": "same", "strides": [2, 3]},
            ((8, 5, 2),),
        ),
        Example({"filters": 3, "kernel_size": 1, "padding": "same", "strides": 2}, ((8, 5, 2),)),
        Example(
            {"filters": 3, "kernel_size": [3, 2], "padding": "same", "dilation_rate": [2, 3]},
            ((9, 8, 2),),
        ),
        Example({"filters": 6, "kernel_size": 3, "groups": 2, "use_bias": False}, ((7, 5, 4),)),
    ),
)
def conv2d(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return `nn.Conv2d` and the activation."""
    return _convolution(layer, shapes[0], 2)


@layer(
    "Conv3D",
    weights=_KERNEL,
    examples=(
        Example({"filters": 4, "kernel_size": [2, 3, 2]}, ((5, 6, 4, 2),)),
        Example({"filters": 3, "kernel_size": 3, "padding": "same", "strides": 2}, ((5, 6, 4, 2),)),
    ),
)
def conv3d(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return `nn.Conv3d` and the activation."""
    return _convolution(layer, shapes[0], 3)


def _depthwise(
    layer: Layer, frame: Frame, role: str, *, bias: bool, suffix: str = ""
) -> tuple[list[TorchStep], Shape]:
    """Return the padding and the module that convolves every channel by itself, and the spatial sizes after it."""
    rank, multiplier = frame.rank, integer(layer, "depth_multiplier", 1)
    kernel = extents(layer, "kernel_size", rank)
    strides, dilation = extents(layer, "strides", rank, 1), extents(layer, "dilation_rate", rank, 1)
    windows, filters = dilated(kernel, dilation), frame.channels * multiplier
    before, padding = _padding(layer, frame, windows, strides)
    sizes = output_sizes(frame.sizes, windows, strides, padding=text(layer, "padding", "valid"))
    others: dict[str, Plain] = {
        "stride": compact(strides),
        **padding,
        "dilation": compact(dilation),
        "groups": frame.channels,
        "bias": bias,
    }
    weight = kernel_param(
        layer,
        role,
        ("in", "multiplier"),
        (frame.channels, multiplier),
        kernel,
        axes=AXES[rank],
        given="(in multiplier) ()",
    )
    module = TorchStep(
        f"nn.Conv{rank}d",
        _module_arguments((frame.channels, filters), kernel, **others),
        _params(weight, filters if bias else None),
        shape=frame.shape(filters, sizes),
        suffix=suffix,
    )
    return [*before, module], sizes


def _depthwise_layer(layer: Layer, shape: Shape, rank: int) -> list[TorchStep]:
    frame = Frame.of(layer, shape, rank)
    steps, sizes = _depthwise(layer, frame, "kernel", bias=flag(layer, "use_bias", default=True))
    filters = frame.channels * integer(layer, "depth_multiplier", 1)
    activation = activation_steps(layer, layer.config.get("activation"))
    return [*frame.enter(), *steps, *frame.leave(filters, sizes), *activation]


_DEPTHWISE_KERNEL = (
    Weight("kernel", formerly="depthwise_kernel"),
    Weight("bias", when="use_bias"),
)


@layer(
    "DepthwiseConv1D",
    weights=_DEPTHWISE_KERNEL,
    examples=(
        Example({"kernel_size": 3, "depth_multiplier": 2}, ((7, 3),)),
        Example({"kernel_size": 3, "padding": "same", "strides": 2}, ((8, 3),)),
    ),
)
def depthwise_conv1d(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return `nn.Conv1d` with as many groups as channels, and the activation."""
    return _depthwise_layer(layer, shapes[0], 1)


@layer(
    "DepthwiseConv2D",
    weights=_DEPTHWISE_KERNEL,
    examples=(
        Example({"kernel_size": 3, "depth_multiplier": 2, "activation": "relu"}, ((7, 5, 3),)),
        Example({"kernel_size": 3, "padding": "same", "strides": 2}, ((8, 6, 3),)),
        Example({"kernel_size": [3, 2], "use_bias": False, "dilation_rate": 2}, ((7, 5, 3),)),
    ),
)
def depthwise_conv2d(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return `nn.Conv2d` with as many groups as channels, and the activation."""
    return _depthwise_layer(layer, shapes[0], 2)


def _separable(layer: Layer, shape: Shape, rank: int) -> list[TorchStep]:
    frame, filters = Frame.of(layer, shape, rank), integer(layer, "filters")
    steps, sizes = _depthwise(layer, frame, "depthwise_kernel", bias=False, suffix="depthwise")
    between = frame.channels * integer(layer, "depth_multiplier", 1)
    bias, ones = flag(layer, "use_bias", default=True), (1,) * rank
    weight = kernel_param(
        layer,
        "pointwise_kernel",
        ("in", "out"),
        (between, filters),
        ones,
        axes=AXES[rank],
        given="out in",
    )
    pointwise = TorchStep(
        f"nn.Conv{rank}d",
        _module_arguments((between, filters), ones, bias=bias),
        _params(weight, filters if bias else None),
        shape=frame.shape(filters, sizes),
        suffix="pointwise",
    )
    activation = activation_steps(layer, layer.config.get("activation"))
    return [*frame.enter(), *steps, pointwise, *frame.leave(filters, sizes), *activation]


_SEPARABLE_KERNELS = (
    Weight("depthwise_kernel"),
    Weight("pointwise_kernel"),
    Weight("bias", when="use_bias"),
)


@layer(
    "SeparableConv1D",
    weights=_SEPARABLE_KERNELS,
    examples=(
        Example({"filters": 5, "kernel_size": 3, "depth_multiplier": 2}, ((7, 3),)),
        Example({"filters": 5, "kernel_size": 4, "padding": "same", "strides": 2}, ((7, 3),)),
    ),
)
def separable_conv1d(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return a depthwise and a pointwise `nn.Conv1d`, and the activation."""
    return _separable(layer, shapes[0], 1)


@layer(
    "SeparableConv2D",
    weights=_SEPARABLE_KERNELS,
    examples=(
        Example(
            {"filters": 5, "kernel_size": 3, "depth_multiplier": 2, "activation": "relu"},
            ((7, 5, 3),),
        ),
        Example(
            {"filters": 4, "kernel_size": 3, "padding": "same", "strides": 2, "use_bias": False},
            ((8, 6, 3),),
        ),
    ),
)
def separable_conv2d(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return a depthwise and a pointwise `nn.Conv2d`, and the activation."""
    return _separable(layer, shapes[0], 2)


def _added_cells(
    layer: Layer, frame: Frame, windows: Sequence[int], strides: Sequence[int]
) -> list[int]:
    """Return by how much the output of a transposed convolution is larger than input size times stride.

    Source: keras 3.15.1, backend/common/backend_utils.py, `_get_output_shape_given_tf_padding`.
    """
    rank = frame.rank
    if layer.config.get("output_shape") is not None:
        return _added_to_whole(layer, frame, windows, strides)
    same = text(layer, "padding", "valid") == "same"
    if layer.config.get("output_padding") is None:
        return [
            0 if same else max(window - stride, 0)
            for window, stride in zip(windows, strides, strict=True)
        ]
    added = layer.config["output_padding"]
    values = added if isinstance(added, (list, tuple)) else [added] * rank
    if len(values) != rank or not all(type(value) is int and value >= 0 for value in values):
        raise unsupported(layer, "output_padding", needed=f"{rank} integers from 0 on")
    return [
        (window % 2 if same else window) - stride + value
        for window, stride, value in zip(windows, strides, values, strict=True)
    ]


def _added_to_whole(
    layer: Layer, frame: Frame, windows: Sequence[int], strides: Sequence[int]
) -> list[int]:
    """Return the same where the configuration has the output's shape, as that of Keras 1 does."""
    whole = layer.config["output_shape"]
    sizes = whole[1:-1] if frame.channels_last else whole[2:]  # type: ignore[index]
    output = integers(replace(layer, config={"output_shape": sizes}), "output_shape")
    same = text(layer, "padding", "valid") == "same"
    added = []
    for size, wanted, window, stride in zip(frame.sizes, output, windows, strides, strict=True):
        count = -(-wanted // stride) if same else (wanted - window) // stride + 1
        if size is None or count != size:
            raise unsupported(layer, "output_shape", needed=f"one that {frame.sizes} can grow to")
        added.append(wanted - size * stride)
    return added


def _transposed(layer: Layer, shape: Shape, rank: int) -> list[TorchStep]:
    """Return the module and, where torch's symmetric cut cannot say it, the cut at the end.

    All windows together span (n - 1) * stride + window cells. Keras keeps n * stride + added of them; of what is
    too much, TensorFlow cuts the smaller half before. torch cuts `padding` on both sides and can give back
    `output_padding` at the end.
    """
    frame, filters = Frame.of(layer, shape, rank), integer(layer, "filters")
    if text(layer, "padding", "valid") not in ("valid", "same"):
        raise unsupported(layer, "padding", needed="valid or same")
    kernel = extents(layer, "kernel_size", rank)
    strides, dilation = extents(layer, "strides", rank, 1), extents(layer, "dilation_rate", rank, 1)
    windows, bias = dilated(kernel, dilation), flag(layer, "use_bias", default=True)
    added = _added_cells(layer, frame, windows, strides)
    padding, given_back, ends = [], [], []
    for window, stride, more, step in zip(windows, strides, added, dilation, strict=True):
        surplus = window - stride - more
        before = max(surplus, 0) // 2
        back = before - (surplus - before)
        if back >= max(stride, step):
            msg = f"layer '{layer.name}' ({layer.class_name}): output padding of {back} with stride {stride}"
            raise UnsupportedError(msg)
        padding.append(before)
        given_back.append(max(back, 0))
        ends.append((0, min(back, 0)))
    sizes = tuple(
        None if size is None else size * stride + more
        for size, stride, more in zip(frame.sizes, strides, added, strict=True)
    )
    others: dict[str, Plain] = {
        "stride": compact(strides),
        "padding": compact(padding),
        "dilation": compact(dilation),
        "bias": bias,
        "output_padding": compact(given_back),
    }
    stored, channels = ("out", "in"), (filters, frame.channels)
    if layer.config.get("output_shape") is not None:  # Keras 1 kept it as it did for Conv2D
        stored, channels = ("in", "out"), (frame.channels, filters)
    weight = kernel_param(
        layer, "kernel", stored, channels, kernel, axes=AXES[rank], given="in out"
    )
    module = TorchStep(
        f"nn.ConvTranspose{rank}d",
        _module_arguments((frame.channels, filters), kernel, **others),
        _params(weight, filters if bias else None),
        shape=frame.shape(filters, sizes),
    )
    cut = [TorchStep("F.pad", {"pad": pad_argument(ends)})] if any(map(sum, ends)) else []
    activation = activation_steps(layer, layer.config.get("activation"))
    return [*frame.enter(), module, *cut, *frame.leave(filters, sizes), *activation]


@layer(
    "Conv1DTranspose",
    weights=_KERNEL,
    examples=(
        Example({"filters": 4, "kernel_size": 3, "strides": 2, "padding": "same"}, ((6, 2),)),
        Example({"filters": 4, "kernel_size": 2, "strides": 3}, ((5, 2),)),
    ),
)
def conv1d_transpose(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return `nn.ConvTranspose1d` and the activation."""
    return _transposed(layer, shapes[0], 1)


@layer(
    "Conv2DTranspose",
    weights=_KERNEL,
    examples=(
        Example({"filters": 4, "kernel_size": 3, "activation": "relu"}, ((6, 5, 2),)),
        Example({"filters": 4, "kernel_size": 3, "strides": 2, "padding": "same"}, ((6, 5, 2),)),
        Example({"filters": 4, "kernel_size": 4, "strides": 2, "padding": "same"}, ((6, 5, 2),)),
        Example({"filters": 4, "kernel_size": 2, "strides": 3, "padding": "same"}, ((6, 5, 2),)),
        Example({"filters": 4, "kernel_size": 2, "strides": 3, "use_bias": False}, ((6, 5, 2),)),
        Example(
            {
                "filters": 3,
                "kernel_size": [3, 4],
                "strides": 2,
                "padding": "same",
                "output_padding": 1,
            },
            ((6, 5, 2),),
        ),
        Example({"filters": 3, "kernel_size": 3, "strides": 3, "output_padding": 2}, ((6, 5, 2),)),
    ),
)
def conv2d_transpose(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return `nn.ConvTranspose2d` and the activation."""
    return _transposed(layer, shapes[0], 2)


@layer(
    "Conv3DTranspose",
    weights=_KERNEL,
    examples=(
        Example({"filters": 3, "kernel_size": 3, "strides": 2, "padding": "same"}, ((3, 4, 2, 2),)),
    ),
)
def conv3d_transpose(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return `nn.ConvTranspose3d` and the activation."""
    return _transposed(layer, shapes[0], 3)
