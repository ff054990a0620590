"""Locally connected layers of Keras 1 and 2: convolutions without shared weights."""

from __future__ import annotations

import math

from converters.graph import Layer
from converters.layers.activations import activation_steps
from converters.registry import Param, Plain, Shape, TorchStep, Weight, layer
from converters.rule_parts.windows import SPATIAL_AXES, Frame, extents, output_sizes
from converters.settings import flag, integer, text, unsupported

MAX_CELLS = 2**16
"""Along one axis of a kernel, which are counted one by one."""
_WEIGHTS = (Weight("kernel"), Weight("bias", when="use_bias"))


def _locally_connected(layer: Layer, shape: Shape, rank: int) -> list[TorchStep]:
    frame, filters = Frame.of(layer, shape, rank), integer(layer, "filters")
    if integer(layer, "implementation", 1) != 1:
        return [
            *_stored_otherwise(layer, frame, filters),
            *activation_steps(layer, layer.config.get("activation")),
        ]
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
        axes = SPATIAL_AXES[rank]
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


def _used(size: int, count: int, width: int, step: int, before: int) -> int:
    """Return how many pairs of a patch and a cell of it lie in the input, along one axis."""
    lasts = [min((size - 1 + before - cell) // step, count - 1) for cell in range(width)]
    firsts = [max(-((cell - before) // step), 0) for cell in range(width)]
    return sum(max(last - first + 1, 0) for first, last in zip(firsts, lasts, strict=True))


def _stored_otherwise(layer: Layer, frame: Frame, filters: int) -> list[TorchStep]:
    """Return the steps for a kernel stored as a matrix with unused numbers (2), or as the used ones in a row (3)."""
    form, padding = integer(layer, "implementation"), text(layer, "padding", "valid")
    if form not in (2, 3):
        raise unsupported(layer, "implementation", needed="1, 2 or 3")
    if padding not in ("valid", "same") or None in frame.sizes:
        raise unsupported(layer, "padding", needed="valid or same, with spatial axes of known size")
    inside = tuple(size or 0 for size in frame.sizes)
    kernel = extents(layer, "kernel_size", frame.rank)
    strides = extents(layer, "strides", frame.rank, 1)
    sizes = tuple(size or 0 for size in output_sizes(inside, kernel, strides, padding=padding))
    # Not TensorFlow's SAME: half a window lies before the first cell (keras 2.15, utils/conv_utils.py,
    # `conv_connected_inputs`).
    before = tuple(size // 2 if padding == "same" else 0 for size in kernel)
    kwargs: dict[str, Plain] = {
        "sizes": inside, "out_sizes": sizes, "channels": (frame.channels, filters),
        "kernel_size": kernel, "stride": strides, "before": before,
    }  # fmt: skip
    taken, given = (frame.channels,), (filters,)
    stored = (*inside, *taken, *sizes, *given)
    if not frame.channels_last:
        kwargs["channels_last"] = False
        stored = (*taken, *inside, *given, *sizes)
    if form == 3:
        if max(kernel) > MAX_CELLS:
            raise unsupported(layer, "kernel_size", needed=f"at most {MAX_CELLS:,} cells")
        used = map(_used, inside, sizes, kernel, strides, before)
        stored = (math.prod(used) * frame.channels * filters,)
        kwargs["count"] = stored[0]
    axes = " ".join("abcdef"[: len(stored)])
    params = [Param("weight", "kernel", f"{axes} -> {axes}", stored)]
    if flag(layer, "use_bias", default=True):
        axes = f"{SPATIAL_AXES[frame.rank]} out"
        params.append(Param("bias", "bias", f"{axes} -> {axes}", (*sizes, filters)))
    else:
        kwargs["bias"] = False
    if form == 2:
        shape = (frame.batch, *sizes, filters)
        if not frame.channels_last:
            shape = frame.shape(filters, sizes)
        return [TorchStep("compat.LocallyConnectedMatrix", kwargs, tuple(params), shape=shape)]
    module = TorchStep(
        "compat.LocallyConnectedSparse", kwargs, tuple(params), shape=frame.shape(filters, sizes)
    )
    return [*frame.enter(), module, *frame.leave(filters, sizes)]


@layer("LocallyConnected1D", weights=_WEIGHTS)
def locally_connected1d(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return a convolution over time with another kernel at every position, and the activation."""
    return _locally_connected(layer, shapes[0], 1)


@layer("LocallyConnected2D", weights=_WEIGHTS)
def locally_connected2d(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return a convolution over images with another kernel at every position, and the activation."""
    return _locally_connected(layer, shapes[0], 2)
