"""Convolutions of every channel by itself: depthwise, and separable with a pointwise one behind."""

from __future__ import annotations

from converters.graph import Layer
from converters.layers.activations import activation_steps
from converters.layers.convolution import convolution_arguments, kernel_and_bias
from converters.matching.stored_forms import kernel_param
from converters.registry import Example, Plain, Shape, TorchStep, Weight, layer
from converters.rule_parts.windows import (
    SPATIAL_AXES,
    Frame,
    compact,
    dilated,
    extents,
    output_sizes,
    padding_steps,
)
from converters.settings import flag, integer, text


def _depthwise(
    layer: Layer, frame: Frame, role: str, *, bias: bool, suffix: str = ""
) -> tuple[list[TorchStep], Shape]:
    """Return the padding and the module that convolves every channel by itself, and the spatial sizes after it."""
    rank, multiplier = frame.rank, integer(layer, "depth_multiplier", 1)
    kernel = extents(layer, "kernel_size", rank)
    strides, dilation = extents(layer, "strides", rank, 1), extents(layer, "dilation_rate", rank, 1)
    windows, filters = dilated(kernel, dilation), frame.channels * multiplier
    before, padding = padding_steps(layer, frame, windows, strides)
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
        axes=SPATIAL_AXES[rank],
        given="(in multiplier) ()",
    )
    module = TorchStep(
        f"nn.Conv{rank}d",
        convolution_arguments((frame.channels, filters), kernel, **others),
        kernel_and_bias(weight, filters if bias else None),
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
        axes=SPATIAL_AXES[rank],
        given="out in",
    )
    pointwise = TorchStep(
        f"nn.Conv{rank}d",
        convolution_arguments((between, filters), ones, bias=bias),
        kernel_and_bias(weight, filters if bias else None),
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
