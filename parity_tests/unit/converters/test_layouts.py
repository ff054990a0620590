from __future__ import annotations

import numpy as np
import pytest

from converters.layouts import Layout


def test_dense_kernel_is_transposed() -> None:
    kernel = np.arange(12).reshape(4, 3)

    moved = Layout.parse("in out -> out in").apply(kernel)

    assert moved.shape == (3, 4)
    assert [list(row) for row in moved] == [[0, 3, 6, 9], [1, 4, 7, 10], [2, 5, 8, 11]]


def test_transposing_is_a_view() -> None:
    kernel = np.zeros((4, 3))

    assert np.shares_memory(kernel, Layout.parse("in out -> out in").apply(kernel))


def test_merged_axes_are_split_and_ordered_anew() -> None:
    # Keras flattens (h, w, c), torch (c, h, w): row h * 6 + w * 3 + c becomes column c * 4 + h * 2 + w.
    kernel = np.arange(12 * 2).reshape(12, 2)

    moved = Layout.parse("(h w c) out -> out (c h w)").apply(kernel, h=2, w=2, c=3)

    for h, w, c in np.ndindex(2, 2, 3):
        assert moved[1, c * 4 + h * 2 + w] == kernel[h * 6 + w * 3 + c, 1]


@pytest.mark.parametrize(
    ("text", "shape", "sizes"),
    [
        ("in out -> out in", (4, 3), {}),
        ("(h w c) out -> out (c h w)", (30, 7), {"h": 2, "w": 3}),
        ("h w in out -> out in h w", (3, 5, 2, 4), {}),
        ("out -> out", (0,), {}),
    ],
)
def test_inverse_brings_everything_back(
    text: str, shape: tuple[int, ...], sizes: dict[str, int]
) -> None:
    layout, array = Layout.parse(text), np.arange(np.prod(shape)).reshape(shape)

    moved = layout.apply(array, **sizes)

    assert moved.shape == layout.shape(shape, **sizes)
    np.testing.assert_array_equal(
        layout.inverse.apply(moved, **{**sizes, **({"c": 5} if "c" in text else {})}), array
    )


def test_layout_prints_as_it_is_written() -> None:
    text = "(h w c) out -> out (c h w)"

    assert str(Layout.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("in out", "has no '->'"),
        ("in out -> out", "must name the same axes"),
        ("in in -> in in", "each once"),
        ("(in out -> out in", "is not closed"),
        ("in) out -> out in", "unexpected ')'"),
        ("[] out -> out", "unexpected"),
        ("2d out -> out 2d", "unexpected '2d'"),
        ("((a) b) -> a b", "unexpected"),
    ],
)
def test_nonsense_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match="layout") as caught:
        Layout.parse(text)

    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("shape", "sizes", "message"),
    [
        ((12,), {}, "needs 2 axes, the array has shape (12,)"),
        ((12, 2), {}, "give the sizes of all but one of h, w, c"),
        ((12, 2), {"h": 5, "w": 1}, "axis (h w c) is 12 long, its parts make 5"),
        ((12, 2), {"h": 2, "w": 2, "c": 2}, "axis (h w c) is 12 long, its parts make 8"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(
    shape: tuple[int, ...], sizes: dict[str, int], message: str
) -> None:
    with pytest.raises(ValueError, match="layout") as caught:
        Layout.parse("(h w c) out -> out (c h w)").apply(np.zeros(shape), **sizes)

    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("in [z r h] -> [r z h] in", [[2, 8], [3, 9], [0, 6], [1, 7], [4, 10], [5, 11]]),
        ("in [z r h] -> in [h z r]", [[4, 5, 0, 1, 2, 3], [10, 11, 6, 7, 8, 9]]),
    ],
)
def test_parts_of_an_axis_are_reordered_and_brought_back(text: str, wanted: list[int]) -> None:
    array = np.arange(12).reshape(2, 6)
    layout = Layout.parse(text)

    moved = layout.apply(array)

    np.testing.assert_array_equal(moved, wanted)
    np.testing.assert_array_equal(layout.inverse.apply(moved), array)
    assert layout.shape((2, 6)) == moved.shape
    assert str(layout) == text


@pytest.mark.parametrize(
    "text", ["[a b] -> (a b)", "[a b] -> [a c]", "[a b -> [b a]", "[a a] -> [a a]", "(a] -> a"]
)
def test_misplaced_parts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="layout"):
        Layout.parse(text)


def test_axis_that_has_not_that_many_equal_parts_is_refused() -> None:
    with pytest.raises(ValueError, match="not divisible"):
        Layout.parse("[z r h] -> [r z h]").apply(np.zeros(7))


def test_empty_parentheses_are_an_axis_of_size_one() -> None:
    layout = Layout.parse("() out -> out")

    assert layout.apply(np.zeros((1, 3))).shape == (3,)
    assert layout.inverse.shape((3,)) == (1, 3)
    with pytest.raises(ValueError, match="its parts make 1"):
        layout.apply(np.zeros((2, 3)))


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("in out -> out in", (4, 3)),
        ("h w in m -> (in m) () h w", (2, 3, 4, 5)),
        ("in [z r h] -> [r z h] in", (4, 9)),
        ("head size out -> out (head size)", (2, 5, 3)),
        (" -> ", ()),
    ],
)
def test_undo_gives_back_what_a_layout_was_applied_to(text: str, shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).normal(size=shape)
    layout = Layout.parse(text)

    assert np.array_equal(layout.undo(layout.apply(array), shape), array)


def test_undo_refuses_what_the_layout_did_not_make() -> None:
    with pytest.raises(ValueError, match=r"gives \(3, 4\) for \(4, 3\)"):
        Layout.parse("in out -> out in").undo(np.zeros((4, 3)), (4, 3))


def test_a_turned_axis_is_read_from_its_end_and_comes_back() -> None:
    kernel = np.arange(6.0).reshape(3, 2)
    layout = Layout.parse("h out -> out ~h")

    moved = layout.apply(kernel)

    assert [list(row) for row in moved] == [[4, 2, 0], [5, 3, 1]]
    assert np.array_equal(layout.undo(moved, kernel.shape), kernel)
    assert str(layout) == "h out -> out ~h"


def test_a_turned_axis_is_more_than_another_order_of_axes() -> None:
    assert Layout.parse("h out -> out h").only_permutes
    assert not Layout.parse("h -> ~h").only_permutes
    assert not Layout.parse("(h w) -> h w").only_permutes
