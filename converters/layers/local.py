"""Locally connected layers of Keras 1 and 2: convolutions without shared weights."""

from __future__ import annotations

import math

from converters.graph import Layer
from converters.layers.activations import activation_steps
from converters.layers.convolution import AXES
from converters.registry import Param, Plain, Shape, TorchStep, Weight, layer
from converters.settings import flag, integer, text, unsupported
from converters.windows import Frame, extents, output_sizes

_WEIGHTS = (Weight("kernel"), Weight("bias", when="use_bias"))


def _locally_connected(layer: Layer, shape: Shape, rank: int) -> list[TorchStep]:
    frame, filters = Frame.of(layer, shape, rank), integer(layer, "filters")
    if integer(layer, "implementation", 1) != 1:
        raise unsupported(layer, "implementation", needed="1; others store the kernel otherwise")
    if text(layer, "padding", "valid") != "valid" or None in frame.sizes:
        raise unsupported(layer, "padding", needed="valid, with spatial axes of known size")
    kernel = extents(layer, "kernel_size", rank)
    strides = extents(layer, "strides", rank, 1)
    sizes = tuple(size or 0 for size in output_sizes(frame.sizes, kernel, strides, padding="valid"))
    kwargs: dict[str, Plain] = {
        "in_channels": frame.channels,
        "out_channels": filters,
        "kernel_size": kernel,
        "stride": strides,
        "sizes": sizes,
    }
    weight = (math.prod(sizes), math.prod(kernel) * frame.channels, filters)
    params = [Param("weight", "kernel", "position in out -> position in out", weight)]
    if flag(layer, "use_bias", default=True):
        axes = AXES[rank]
        # Channels first, Keras reshapes the bias and does not transpose it (keras 2.3.1, backend, `bias_add`).
        layout = (
            f"{axes} out -> out {axes}" if frame.channels_last else f"{axes} out -> ({axes} out)"
        )
        params.append(Param("bias", "bias", layout, (*sizes, filters)))
        kwargs["bias_shape"] = (
            (filters, *sizes) if frame.channels_last else (math.prod(sizes) * filters,)
        )
    if not frame.channels_last:
        kwargs["channels_last"] = False
    module = TorchStep(
        "compat.LocallyConnected", kwargs, tuple(params), shape=frame.shape(filters, sizes)
    )
    activation = activation_steps(layer, layer.config.get("activation"))
    return [*frame.enter(), module, *frame.leave(filters, sizes), *activation]


@layer("LocallyConnected1D", weights=_WEIGHTS)
def locally_connected1d(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return a convolution over time with another kernel at every position, and the activation."""
    return _locally_connected(layer, shapes[0], 1)


@layer("LocallyConnected2D", weights=_WEIGHTS)
def locally_connected2d(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return a convolution over images with another kernel at every position, and the activation."""
    return _locally_connected(layer, shapes[0], 2)
