"""Padding by TensorFlow's rule, with values worked out by hand, and by counting windows one by one."""

from __future__ import annotations

import itertools

import pytest

from converters.errors import UnsupportedError
from converters.graph import Layer
from converters.rule_parts.windows import Frame, extents, output_sizes, same_padding, stock_padding


@pytest.mark.parametrize(
    ("size", "window", "stride", "pads"),
    [
        (84, 8, 4, (2, 2)),
        (21, 4, 2, (1, 2)),
        (11, 3, 1, (1, 1)),
        (10, 3, 2, (0, 1)),
        (11, 3, 2, (1, 1)),
        (6, 1, 2, (0, 0)),
        (1, 5, 2, (2, 2)),
    ],
)
def test_odd_cell_of_same_padding_comes_last(
    size: int, window: int, stride: int, pads: tuple[int, int]
) -> None:
    assert same_padding(size, window, stride) == pads


@pytest.mark.parametrize(("padding", "count"), [("valid", 3), ("same", 4), ("causal", 4)])
def test_windows_are_counted(padding: str, count: int) -> None:
    assert output_sizes((7, None), (3, 3), (2, 2), padding=padding) == (count, None)


def test_window_larger_than_the_input_is_refused() -> None:
    with pytest.raises(ValueError, match="a window of 5 does not fit into 4 cells"):
        output_sizes((4,), (5,), (1,), padding="valid")


def windows_of_torch(size: int, window: int, stride: int, before: int, *, ceil: bool) -> list[int]:
    """Return where the windows of a torch module start, by its documentation."""
    starts = list(range(-before, size + before - window + 1, stride))
    following = starts[-1] + stride if starts else -before
    # With ceil_mode one more counts that sticks out, if it begins inside the input or the padding before it.
    if ceil and following + window > size + before and following < size:
        starts += [following] if not starts or starts[-1] + window < size + before else []
    return starts


@pytest.mark.parametrize("may_ceil", [False, True])
def test_stock_padding_gives_the_windows_of_same(*, may_ceil: bool) -> None:
    found = 0
    for size, window, stride in itertools.product(range(1, 12), range(1, 6), range(1, 5)):
        stock = stock_padding((size,), (window,), (stride,), may_ceil=may_ceil)
        if stock is None:
            continue
        found += 1
        before = same_padding(size, window, stride)[0]
        wanted = [index * stride - before for index in range(-(-size // stride))]
        starts = windows_of_torch(size, window, stride, stock.before[0], ceil=stock.ceil_mode)
        assert starts == wanted, (size, window, stride)

    assert found > 100


@pytest.mark.parametrize(
    ("window", "stride", "may_ceil", "expressible"),
    [(2, 2, True, True), (2, 2, False, False), (3, 2, True, False), (3, 1, False, True)],
)
def test_free_size_needs_one_padding_for_all_sizes(
    window: int, stride: int, *, may_ceil: bool, expressible: bool
) -> None:
    stock = stock_padding((None,), (window,), (stride,), may_ceil=may_ceil)

    assert (stock is not None) == expressible


@pytest.mark.parametrize("value", [[3], 0, [3, -1], "3", None, [3, 3, 3]])
def test_setting_that_is_not_one_size_an_axis_is_refused(value: object) -> None:
    layer = Layer("pool", "MaxPooling2D", {"pool_size": value})

    if value == [3]:
        assert extents(layer, "pool_size", 2) == (3, 3)
    else:
        with pytest.raises(UnsupportedError, match="pool_size"):
            extents(layer, "pool_size", 2)


def test_unknown_data_format_is_refused() -> None:
    layer = Layer("conv", "Conv2D", {"data_format": "channels_middle"})

    with pytest.raises(UnsupportedError, match="data_format"):
        Frame.of(layer, (None, 4, 5, 3), 2)


def test_free_number_of_channels_is_refused_where_it_is_needed() -> None:
    frame = Frame.of(Layer("conv", "Conv2D", {}), (None, 4, 5, None), 2)

    assert frame.any_channels is None
    with pytest.raises(UnsupportedError, match="known number of channels"):
        _ = frame.channels
