"""Convolutions whose kernel is computed or constant, windows of images, and channels that become cells."""

from __future__ import annotations

import math
from dataclasses import replace

from converters.graph import Layer
from converters.layers.transposed_convolution import added_cells, cut_cells
from converters.registry import Plain, Shape, TorchStep, layer
from converters.rule_parts.operations import Operation, refused
from converters.rule_parts.windows import Frame, dilated, extents, output_sizes
from converters.settings import integer, text, unsupported


def _frame(operation: Operation, name: str, rank: int) -> Frame:
    """Return the frame of an argument; operations that were called without a data format have null."""
    config = dict(operation.settings)
    config["data_format"] = config.get("data_format") or "channels_last"
    operation.layer = replace(operation.layer, config=config)
    return Frame.of(operation.layer, operation.shape(name), rank)


def _windows(
    operation: Operation, frame: Frame, kernel: tuple[int, ...]
) -> tuple[dict[str, Plain], Shape]:
    """Return the arguments that say where windows lie, and how many there are along every axis."""
    bound, rank = operation.layer, frame.rank
    strides = extents(bound, "strides", rank, 1)
    dilation = extents(bound, "dilation_rate", rank, 1)
    padding = text(bound, "padding", "valid").lower()
    if padding not in ("valid", "same"):
        raise unsupported(bound, "padding", needed="valid or same")
    kwargs: dict[str, Plain] = {"stride": strides, "dilation": dilation}
    kwargs |= {"same": True} if padding == "same" else {}
    kwargs |= {} if frame.channels_last else {"channels_last": False}
    sizes = output_sizes(frame.sizes, dilated(kernel, dilation), strides, padding=padding)
    return kwargs, sizes


def _kernel(operation: Operation, name: str) -> tuple[tuple[int, ...], int, int]:
    """Return the size of a kernel's windows and its last two axes."""
    shape = operation.shape(name)
    sizes = tuple(size for size in shape if size is not None)
    if len(sizes) != len(shape) or not 3 <= len(shape) <= 5:
        raise refused(operation.layer, f"kernel {shape}, known sizes of 3 to 5 axes are needed")
    return sizes[:-2], sizes[-2], sizes[-1]


def _whole(frame: Frame, channels: int, sizes: Shape) -> Shape:
    shape = frame.shape(channels, sizes)
    return (shape[0], *shape[2:], channels) if frame.channels_last else shape


@layer("ops.Conv", "ops.DepthwiseConv", takes_call=True, numbers="floats")
def convolution(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the convolution of a tensor with a kernel."""
    operation = Operation.of(layer, shapes, "inputs", "kernel")
    operation.only("inputs", "kernel")
    _convolve(operation, operation.value("inputs"), "kernel")
    return operation.steps


@layer("ops.SeparableConv", takes_call=True, numbers="floats")
def separable_convolution(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the convolution of every channel with kernels of its own, and of the results with one of single cells."""
    names = ("inputs", "depthwise_kernel", "pointwise_kernel")
    operation = Operation.of(layer, shapes, *names)
    operation.only(*names)
    frame = _convolve(operation, operation.value("inputs"), "depthwise_kernel")
    window, _, channels = _kernel(operation, "pointwise_kernel")
    before = operation.steps[-1]
    ones = (1,) * len(window)
    kwargs: dict[str, Plain] = {"stride": ones, "dilation": ones}
    kwargs |= {} if frame.channels_last else {"channels_last": False}
    shape = before.shape or ()
    shape = (*shape[:-1], channels) if frame.channels_last else (shape[0], channels, *shape[2:])
    point = operation.value("pointwise_kernel")
    operation.result("compat.convolve", kwargs, of=[before.results[0], point], shape=shape)
    return operation.steps


def _convolve(operation: Operation, x: str, name: str) -> Frame:
    window, inside, outside = _kernel(operation, name)
    frame = _frame(operation, "inputs", len(window))
    depthwise = operation.layer.class_name != "ops.Conv"
    channels = inside * outside if depthwise else outside
    if frame.channels % inside or (depthwise and inside != frame.channels):
        raise refused(operation.layer, f"a kernel for {inside} channels of {frame.channels}")
    kwargs, sizes = _windows(operation, frame, window)
    kwargs |= {"depthwise": True} if depthwise else {}
    kernel = operation.value(name)
    shape = _whole(frame, channels, sizes)
    operation.result("compat.convolve", kwargs, of=[x, kernel], shape=shape)
    return frame


@layer("ops.ConvTranspose", takes_call=True, numbers="floats")
def transposed_convolution(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return what a convolution with this kernel takes its gradient to."""
    operation = Operation.of(layer, shapes, "inputs", "kernel")
    operation.only("inputs", "kernel")
    window, channels, _ = _kernel(operation, "kernel")
    frame = _frame(operation, "inputs", len(window))
    bound = operation.layer
    if text(bound, "padding", "valid") not in ("valid", "same"):
        raise unsupported(bound, "padding", needed="valid or same")
    strides = extents(bound, "strides", frame.rank, 1)
    dilation = extents(bound, "dilation_rate", frame.rank, 1)
    windows = dilated(window, dilation)
    added = added_cells(bound, frame, windows, strides)
    padding, given_back, ends = cut_cells(bound, windows, strides, added, dilation)
    sizes = tuple(
        None if size is None else size * stride + more
        for size, stride, more in zip(frame.sizes, strides, added, strict=True)
    )
    kwargs: dict[str, Plain] = {
        "stride": strides,
        "dilation": dilation,
        "padding": tuple(padding),
        "output_padding": tuple(given_back),
        "cut": tuple(end for _, end in ends),
    }
    kwargs |= {} if frame.channels_last else {"channels_last": False}
    names = [operation.value("inputs"), operation.value("kernel")]
    shape = _whole(frame, channels, sizes)
    operation.result("compat.convolve_transposed", kwargs, of=names, shape=shape)
    return operation.steps


@layer("ops.ExtractPatches", takes_call=True)
def extract_patches(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the cells of every window of images or volumes as channels."""
    operation = Operation.of(layer, shapes, "images")
    operation.only("images")
    given = operation.settings.get("size")
    rank = len(given) if isinstance(given, (tuple, list)) else 2
    size = extents(operation.layer, "size", rank)
    strides = operation.settings.get("strides") or size
    operation.layer = replace(operation.layer, config={**operation.settings, "strides": strides})
    alone = len(shapes[0]) == rank + 1
    operation.shapes = ((1, *shapes[0]) if alone else shapes[0],)
    frame = _frame(operation, "images", rank)
    kwargs, sizes = _windows(operation, frame, size)
    shape = _whole(frame, frame.channels * math.prod(size), sizes)
    arguments: dict[str, Plain] = {"size": size, **kwargs}
    return [TorchStep("compat.extract_windows", arguments, shape=shape[1:] if alone else shape)]


@layer("ops.DepthToSpace", "ops.SpaceToDepth", takes_call=True)
def cells_and_channels(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return channels as blocks of cells, or blocks of cells as channels."""
    operation = Operation.of(layer, shapes, "x")
    operation.only("x")
    frame = _frame(operation, "x", 2)
    block = integer(operation.layer, "block_size")
    deeper = layer.class_name == "ops.SpaceToDepth"
    uneven = frame.channels % block**2 if not deeper else any((n or 0) % block for n in frame.sizes)
    if block < 1 or uneven:
        raise refused(layer, f"blocks of {block} of {shapes[0]}")
    channels = frame.channels * block**2 if deeper else frame.channels // block**2
    sizes = tuple(
        None if size is None else size // block if deeper else size * block for size in frame.sizes
    )
    kwargs: dict[str, Plain] = {"block": block}
    kwargs |= {} if frame.channels_last else {"channels_last": False}
    op = "compat.space_to_depth" if deeper else "compat.depth_to_space"
    return [TorchStep(op, kwargs, shape=_whole(frame, channels, sizes))]


@layer("ops.Unfold", takes_call=True)
def unfold(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the cells of every window of (batch, channels, h, w) in a column."""
    operation = Operation.of(layer, shapes, "x")
    operation.only("x")
    said = _columns(operation.layer)
    batch, channels, *sizes = shapes[0]
    deep = None if channels is None else channels * math.prod(said["kernel_size"])
    count: int | None = 1
    for axis, size in enumerate(sizes):
        kernel, dilation, stride, padding = (each[axis] for each in said.values())
        fits = (
            None if size is None else (size + 2 * padding - dilation * (kernel - 1) - 1) // stride
        )
        count = None if count is None or fits is None else count * (fits + 1)
    return [TorchStep("F.unfold", dict(said), shape=(batch, deep, count))]


@layer("ops.Fold", takes_call=True)
def fold(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the images that windows in columns add up to."""
    operation = Operation.of(layer, shapes, "x")
    operation.only("x")
    said = _columns(operation.layer)
    size = extents(operation.layer, "output_size", 2)
    batch, deep = shapes[0][:2]
    channels = None if deep is None else deep // math.prod(said["kernel_size"])
    return [TorchStep("F.fold", {"output_size": size, **said}, shape=(batch, channels, *size))]


def _columns(layer: Layer) -> dict[str, tuple[int, int]]:
    """Return how windows lie: size, dilation, stride and padding for both axes."""
    said: dict[str, tuple[int, int]] = {}
    for key, least, default in (
        *(("kernel_size", 1, None), ("dilation", 1, 1), ("stride", 1, 1)),
        ("padding", 0, 0),
    ):
        value = layer.config.get(key, default)
        pair = value if isinstance(value, (list, tuple)) else (value, value)
        whole = [cells for cells in pair if type(cells) is int and cells >= least]
        if len(whole) != 2 or len(pair) != 2:
            raise unsupported(layer, key, needed=f"one or two whole numbers from {least} on")
        said[key] = (whole[0], whole[1])
    return said
