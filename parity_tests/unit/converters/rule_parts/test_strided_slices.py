"""Indices worked out by hand from the bits of TensorFlow's masks."""

from __future__ import annotations

import pytest

from converters.rule_parts.strided_slices import MASKS, slice_index


@pytest.mark.parametrize(
    ("bits", "index"),
    [
        ({}, (slice(1, 5, 2), slice(2, 6))),
        ({"begin": 0b01}, (slice(None, 5, 2), slice(2, 6))),
        ({"end": 0b10}, (slice(1, 5, 2), slice(2, None))),
        ({"ellipsis": 0b01}, (..., slice(2, 6))),
        ({"new_axis": 0b10}, (slice(1, 5, 2), None)),
        ({"shrink_axis": 0b01}, (1, slice(2, 6))),
        ({"begin": 0b01, "shrink_axis": 0b01}, (1, slice(2, 6))),
    ],
    ids=["plain", "begin", "end", "ellipsis", "new-axis", "shrink-axis", "shrink-before-begin"],
)
def test_bits_say_what_is_no_plain_slice(bits: dict[str, int], index: tuple[object, ...]) -> None:
    masks = {**dict.fromkeys(MASKS, 0), **bits}

    assert slice_index([1, 2], [5, 6], [2, 1], masks) == index
