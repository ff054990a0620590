"""Transposed convolutions, whose output torch and Keras cut to size differently."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from converters.errors import UnsupportedError
from converters.graph import Layer
from converters.layers.activations import activation_steps
from converters.layers.convolution import KERNEL, convolution_arguments, kernel_and_bias
from converters.matching.stored_forms import kernel_param
from converters.registry import Example, Plain, Shape, TorchStep, layer
from converters.rule_parts.windows import (
    SPATIAL_AXES,
    Frame,
    compact,
    dilated,
    extents,
    pad_argument,
)
from converters.settings import flag, integer, integers, text, unsupported


def added_cells(
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


def cut_cells(
    layer: Layer,
    windows: Sequence[int],
    strides: Sequence[int],
    added: Sequence[int],
    dilation: Sequence[int],
) -> tuple[list[int], list[int], list[tuple[int, int]]]:
    """Return what torch cuts on both sides, what it gives back at the end, and what is left to cut there.

    All windows together span (n - 1) * stride + window cells. Keras keeps n * stride + added of them; of what is
    too much, TensorFlow cuts the smaller half before. torch cuts `padding` on both sides and can give back
    `output_padding` at the end.

    Raises:
        UnsupportedError: torch would have to give back a whole stride or more.
    """
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
    return padding, given_back, ends


def _transposed(layer: Layer, shape: Shape, rank: int) -> list[TorchStep]:
    """Return the module and, where torch's symmetric cut cannot say it, the cut at the end."""
    frame, filters = Frame.of(layer, shape, rank), integer(layer, "filters")
    if text(layer, "padding", "valid") not in ("valid", "same"):
        raise unsupported(layer, "padding", needed="valid or same")
    kernel = extents(layer, "kernel_size", rank)
    strides, dilation = extents(layer, "strides", rank, 1), extents(layer, "dilation_rate", rank, 1)
    windows, bias = dilated(kernel, dilation), flag(layer, "use_bias", default=True)
    added = added_cells(layer, frame, windows, strides)
    padding, given_back, ends = cut_cells(layer, windows, strides, added, dilation)
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
        layer, "kernel", stored, channels, kernel, axes=SPATIAL_AXES[rank], given="in out"
    )
    module = TorchStep(
        f"nn.ConvTranspose{rank}d",
        convolution_arguments((frame.channels, filters), kernel, **others),
        kernel_and_bias(weight, filters if bias else None),
        shape=frame.shape(filters, sizes),
    )
    cut = [TorchStep("F.pad", {"pad": pad_argument(ends)})] if any(map(sum, ends)) else []
    activation = activation_steps(layer, layer.config.get("activation"))
    return [*frame.enter(), module, *cut, *frame.leave(filters, sizes), *activation]


@layer(
    "Conv1DTranspose",
    weights=KERNEL,
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
    weights=KERNEL,
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
    weights=KERNEL,
    examples=(
        Example({"filters": 3, "kernel_size": 3, "strides": 2, "padding": "same"}, ((3, 4, 2, 2),)),
    ),
)
def conv3d_transpose(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return `nn.ConvTranspose3d` and the activation."""
    return _transposed(layer, shapes[0], 3)
