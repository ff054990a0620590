"""Windows that slide over the spatial axes: how many fit, and what Keras pads so that they do.

Sizes, windows and strides are counted per spatial axis, dilation included in the window. Used by the rules of
convolutions and poolings; no framework in here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from converters.graph import Layer
from converters.registry import Plain, Shape, TorchStep
from converters.settings import integers, text, unsupported

_Value = TypeVar("_Value", int, bool)
SPATIAL_AXES = {1: "time", 2: "h w", 3: "depth h w"}
"""Names of the spatial axes in layouts."""


@dataclass(frozen=True, slots=True)
class Frame:
    """The input of a spatial layer: what is batch, what is channels, what is space."""

    layer: Layer
    batch: int | None
    any_channels: int | None  # number of channels, for rules that take any; None: it is free
    sizes: Shape  # of the spatial axes
    channels_last: bool

    @staticmethod
    def of(layer: Layer, shape: Shape, rank: int) -> Frame:
        """Return the frame of an input of a layer with `rank` spatial axes.

        Raises:
            UnsupportedError: No Keras has such a data format.
            ValueError: The input has another rank.
        """
        data_format = text(layer, "data_format", "channels_last")
        if data_format not in ("channels_last", "channels_first"):
            raise unsupported(layer, "data_format", needed="channels_last or channels_first")
        last = data_format == "channels_last"
        if len(shape) != rank + 2:
            msg = f"{layer.class_name} takes {rank + 2} axes, got {len(shape)}"
            raise ValueError(msg)
        sizes = shape[1:-1] if last else shape[2:]
        return Frame(layer, shape[0], shape[-1] if last else shape[1], sizes, last)

    @property
    def channels(self) -> int:
        """Number of channels, for rules that must know it. Raises UnsupportedError if it is free."""
        if self.any_channels is None:
            raise unsupported(self.layer, "data_format", needed="a known number of channels")
        return self.any_channels

    @property
    def rank(self) -> int:
        """Number of spatial axes."""
        return len(self.sizes)

    @property
    def spatial_axes(self) -> tuple[int, ...]:
        """The spatial axes as the legacy layer counts them."""
        start = 1 if self.channels_last else 2
        return tuple(range(start, start + self.rank))

    def shape(self, channels: int | None, sizes: Shape) -> Shape:
        """Return a shape in torch's order: batch, channels, space."""
        return (self.batch, channels, *sizes)

    def enter(self) -> list[TorchStep]:
        """Return the step that moves the channels to where torch wants them."""
        if not self.channels_last:
            return []
        order = (0, self.rank + 1, *range(1, self.rank + 1))
        return [
            TorchStep(
                "torch.permute", {"dims": order}, shape=self.shape(self.any_channels, self.sizes)
            )
        ]

    def leave(self, channels: int | None, sizes: Shape) -> list[TorchStep]:
        """Return the step that moves the channels back to where Keras had them."""
        if not self.channels_last:
            return []
        order = (0, *range(2, self.rank + 2), 1)
        return [TorchStep("torch.permute", {"dims": order}, shape=(self.batch, *sizes, channels))]


def extents(layer: Layer, key: str, rank: int, default: int | None = None) -> tuple[int, ...]:
    """Return a positive integer for every spatial axis; a single one counts for all.

    Raises:
        UnsupportedError: The setting is something else.
    """
    values = (default,) if layer.config.get(key) is None and default else integers(layer, key)
    values = values * rank if len(values) == 1 else values
    if len(values) != rank or any(value is None or value < 1 for value in values):
        raise unsupported(layer, key, needed=f"{rank} positive integers")
    return tuple(value for value in values if value is not None)


def compact(values: Sequence[_Value]) -> _Value | tuple[_Value, ...]:
    """Return one number where all axes have the same, as one writes it by hand."""
    return values[0] if len(set(values)) == 1 else tuple(values)


def dilated(kernel: Sequence[int], dilation: Sequence[int]) -> tuple[int, ...]:
    """Return how many cells a dilated kernel spans."""
    return tuple((size - 1) * step + 1 for size, step in zip(kernel, dilation, strict=True))


def same_padding(size: int, window: int, stride: int) -> tuple[int, int]:
    """Return the cells TensorFlow's SAME adds before and after an axis: an odd one comes after.

        total = max((ceil(size / stride) - 1) * stride + window - size, 0)

    Source: tensorflow 2.21.0, core/framework/kernel_shape_util.cc.
    """
    total = max((-(-size // stride) - 1) * stride + window - size, 0)
    return total // 2, total - total // 2


def output_sizes(
    sizes: Shape, windows: Sequence[int], strides: Sequence[int], *, padding: str
) -> Shape:
    """Return how many windows fit along every axis; None where the size is free.

    Raises:
        ValueError: Not even one fits.
    """
    result: list[int | None] = []
    for size, window, stride in zip(sizes, windows, strides, strict=True):
        if size is None:
            result.append(None)
            continue
        if padding == "full":
            size += 2 * (window - 1)
        whole = padding in ("valid", "full")  # same and causal have a window for every stride
        count = (size - window) // stride + 1 if whole else -(-size // stride)
        if count < 1:
            msg = f"a window of {window} does not fit into {size} cells"
            raise ValueError(msg)
        result.append(count)
    return tuple(result)


@dataclass(frozen=True, slots=True)
class StockPadding:
    """Arguments with which a stock torch module sees the same windows as SAME padding."""

    before: tuple[int, ...]
    ceil_mode: bool


def stock_padding(
    sizes: Shape, windows: Sequence[int], strides: Sequence[int], *, may_ceil: bool
) -> StockPadding | None:
    """Return the padding of a torch module that is SAME for these sizes, or None if there is none.

    A free size needs one padding for all sizes. What SAME adds depends on the size modulo the stride, and for
    sizes below the window on the size itself, so trying one round of each covers them all.

    Args:
        sizes: None where the size is free.
        windows: dilation included.
        strides: cells from one window to the next.
        may_ceil: the module has a `ceil_mode`, which counts windows that only begin inside.
    """
    axes = [
        (range(1, window + 2 * stride + 1) if size is None else (size,), window, stride)
        for size, window, stride in zip(sizes, windows, strides, strict=True)
    ]
    before = tuple(same_padding(tried[-1], window, stride)[0] for tried, window, stride in axes)
    for ceil_mode in (False, True) if may_ceil else (False,):
        if all(
            same_padding(size, window, stride)[0] == start
            and _torch_count(size, window, stride, start, ceil_mode=ceil_mode) == -(-size // stride)
            for start, (tried, window, stride) in zip(before, axes, strict=True)
            for size in tried
        ):
            return StockPadding(before, ceil_mode)
    return None


def _torch_count(size: int, window: int, stride: int, before: int, *, ceil_mode: bool) -> int:
    """Return how many windows a torch module with this symmetric padding sees.

    Source: torch 2.13, aten/src/ATen/native/Pool.h, `pooling_output_shape_pad_lr`.
    """
    span = size + 2 * before - window
    if not ceil_mode:
        return span // stride + 1
    count = -(-span // stride) + 1
    return count - 1 if (count - 1) * stride >= size + before else count


def pad_argument(pads: Sequence[tuple[int, int]]) -> tuple[int, ...]:
    """Return what `F.pad` wants: before and after, starting with the last axis."""
    return tuple(size for pair in reversed(pads) for size in pair)


def padding_steps(
    layer: Layer, frame: Frame, windows: Sequence[int], strides: Sequence[int]
) -> tuple[list[TorchStep], dict[str, Plain]]:
    """Return the steps that pad before the module and the module's own padding, whichever says it exactly."""
    padding = text(layer, "padding", "valid")
    if padding == "valid" or max(windows) == 1 == max(strides):
        return [], {}
    if padding == "causal" and frame.rank == 1:
        return [TorchStep("F.pad", {"pad": (windows[0] - 1, 0)}, shape=_grown(frame, windows))], {}
    if padding == "full":  # of Keras 1 on Theano
        return [], {"padding": compact([window - 1 for window in windows])}
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
