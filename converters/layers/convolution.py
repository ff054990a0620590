"""Convolutions over one to three spatial axes, and what their depthwise and transposed kinds share.

Every rule keeps the legacy layout at its ends: the channels are moved in front, the stock torch module runs, the
channels are moved back, the activation follows. `converters.passes.channels` takes out the moves that cancel.
"""

from __future__ import annotations

from collections.abc import Sequence

from converters.graph import Layer
from converters.layers.activations import activation_steps
from converters.matching.stored_forms import kernel_param
from converters.registry import Example, Param, Plain, Shape, TorchStep, Weight, layer
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

KERNEL = (Weight("kernel"), Weight("bias", when="use_bias"))


def convolution_arguments(
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


def kernel_and_bias(kernel: Param, bias: int | None) -> tuple[Param, ...]:
    """Return the kernel and, where there is one, the bias of that size."""
    return (kernel,) if bias is None else (kernel, Param("bias", "bias", "out -> out", (bias,)))


def _convolution(layer: Layer, shape: Shape, rank: int) -> list[TorchStep]:
    frame = Frame.of(layer, shape, rank)
    filters, groups = integer(layer, "filters"), integer(layer, "groups", 1)
    kernel = extents(layer, "kernel_size", rank)
    strides, dilation = extents(layer, "strides", rank, 1), extents(layer, "dilation_rate", rank, 1)
    windows, bias = dilated(kernel, dilation), flag(layer, "use_bias", default=True)
    before, padding = padding_steps(layer, frame, windows, strides)
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
        layer, "kernel", ("in", "out"), channels, kernel, axes=SPATIAL_AXES[rank], given="out in"
    )
    module = TorchStep(
        f"nn.Conv{rank}d",
        convolution_arguments((frame.channels, filters), kernel, **others),
        kernel_and_bias(weight, filters if bias else None),
        shape=frame.shape(filters, sizes),
    )
    activation = activation_steps(layer, layer.config.get("activation"))
    return [*frame.enter(), *before, module, *frame.leave(filters, sizes), *activation]


@layer(
    "Conv1D",
    weights=KERNEL,
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
    weights=KERNEL,
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
    weights=KERNEL,
    examples=(
        Example({"filters": 4, "kernel_size": [2, 3, 2]}, ((5, 6, 4, 2),)),
        Example({"filters": 3, "kernel_size": 3, "padding": "same", "strides": 2}, ((5, 6, 4, 2),)),
    ),
)
def conv3d(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return `nn.Conv3d` and the activation."""
    return _convolution(layer, shapes[0], 3)
