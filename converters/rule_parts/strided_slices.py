"""The index that a strided slice of TensorFlow means: bounds for every axis, and masks whose bits say what is no slice.

Source: tensorflow 2.21, core/util/strided_slice_op.cc.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

MASKS = ("begin", "end", "ellipsis", "new_axis", "shrink_axis")
"""Attributes of the node, each with "_mask" behind: bit i speaks of entry i of the bounds."""


def slice_index(
    begins: Sequence[int], ends: Sequence[int], strides: Sequence[int], masks: Mapping[str, int]
) -> tuple[object, ...]:
    """Return the index as Python and numpy write it.

    Args:
        begins: first place of every entry.
        ends: the place behind its last.
        strides: steps between places.
        masks: bits by the names in `MASKS`.
    """
    index: list[object] = []
    for place, (begin, end, stride) in enumerate(zip(begins, ends, strides, strict=True)):
        bit = 1 << place
        if masks["ellipsis"] & bit:
            index.append(...)
        elif masks["new_axis"] & bit:
            index.append(None)
        elif masks["shrink_axis"] & bit:
            index.append(begin)
        else:
            start = None if masks["begin"] & bit else begin
            stop = None if masks["end"] & bit else end
            index.append(slice(start, stop, None if stride == 1 else stride))
    return tuple(index)
