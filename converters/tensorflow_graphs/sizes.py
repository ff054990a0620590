"""Sizes that are only known when the network runs: followed through the arithmetic of shapes, and computed where needed.

A size stays what it is while a graph slices, joins and casts shapes: `tf.shape(x)[0]` is the first size of x. So zeros of
that many rows, the rows' numbers and the size itself can be computed from x.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from converters.errors import UnsupportedError
from converters.graph import TensorRef
from converters.tensorflow_graphs.values import (
    AnyArray,
    Elements,
    Filled,
    Known,
    Origin,
    Sizes,
    Tensor,
    Value,
)

if TYPE_CHECKING:
    from converters.tensorflow_graphs.builder import GraphBuilder

SENTINELS = (1_000_003, 2_000_029)
"""Two sizes that stand for an open one: what comes out equal for both does not depend on it."""
_APART = 7919
_UNKNOWN = 40
"""Axes from here on are none: sizes that are no tensor's any more."""


def sizes_of_value(value: Value, builder: GraphBuilder) -> tuple[Origin | None, ...]:
    """Return what the open sizes of a value's shape are the sizes of."""
    if isinstance(value, Filled) and value.like is None:
        return value.origins
    tensor = value.like if isinstance(value, Filled) else value
    if not isinstance(tensor, Tensor):
        return ()
    return tuple(
        None if size is not None else _first_seen(Origin(tensor, axis), builder)
        for axis, size in enumerate(tensor.shape or ())
    )


def _first_seen(origin: Origin, builder: GraphBuilder) -> Origin:
    """Return the axis of the tensor that was transposed, where one was."""
    known = builder.transposed.get(origin.tensor.ref)
    return origin if known is None else Origin(known[0], known[1][origin.axis])


def sizes_value(
    entries: Sequence[int | None],
    origins: Sequence[Origin | None] = (),
    *,
    scalar: bool = False,
) -> Value:
    """Return sizes: numbers if all are known."""
    if None in entries:
        return Sizes(tuple(entries), scalar, tuple(origins))
    array = np.array([size or 0 for size in entries], np.int32)
    return Known(array[0] if scalar else array)


class Stand:
    """Numbers that stand for open sizes while shapes are computed with, and what the results stand for.

    Open sizes of the same axis have the same number, since graphs join what belongs together row by row.
    """

    def __init__(self, inputs: Sequence[Value], row_of: Mapping[TensorRef, str]) -> None:
        self._row_of = row_of
        self._origins: dict[int, Origin | None] = {}
        self._open = any(isinstance(value, Sizes) for value in inputs)
        for value in inputs:
            if isinstance(value, Sizes):
                for place, entry in enumerate(value.entries):
                    if entry is None:
                        self._note(_number(value, place), _origin(value, place))

    def _note(self, number: int, origin: Origin | None) -> None:
        known = self._origins.setdefault(number, origin)
        if known != origin and not self._same_rows(known, origin):
            self._origins[number] = None

    def _same_rows(self, one: Origin | None, other: Origin | None) -> bool:
        """Tell whether two sizes are both the number of the same rows."""
        if one is None or other is None or one.axis or other.axis:
            return False
        rows_of = (self._row_of.get(each.tensor.ref, "") for each in (one, other))
        return len(set(rows_of)) == 1

    @property
    def sentinels(self) -> tuple[int, ...]:
        """Return what is computed with: two numbers, or one if nothing is open."""
        return SENTINELS if self._open else SENTINELS[:1]

    def numbers(self, value: Value, sentinel: int) -> AnyArray:
        """Return a value as numbers."""
        if isinstance(value, Known):
            return value.array
        entries = value.entries if isinstance(value, Sizes) else ()
        filled = [
            sentinel + _APART * _number(value, place) if each is None else each
            for place, each in enumerate(entries)
            if isinstance(value, Sizes)
        ]
        array = np.array(filled, np.int64)
        return array.reshape(()) if isinstance(value, Sizes) and value.scalar else array

    def meaning(self, results: Sequence[AnyArray], name: str) -> Value | None:
        """Return what the results of both numbers stand for; None if it is no size."""
        first, last = results[0], results[-1]
        if first.shape == last.shape and (len(results) == 1 or np.array_equal(first, last)):
            return Known(first, name)
        if first.shape != last.shape or first.ndim > 1 or first.dtype.kind not in "iu":
            return None
        pairs = list(zip(np.ravel(first).tolist(), np.ravel(last).tolist(), strict=True))
        known = {
            tuple(sentinel + _APART * number for sentinel in SENTINELS): origin
            for number, origin in self._origins.items()
        }
        return Sizes(
            tuple(one if one == other else None for one, other in pairs),
            first.ndim == 0,
            tuple(None if one == other else known.get((one, other)) for one, other in pairs),
        )


def _origin(value: Sizes, place: int) -> Origin | None:
    return value.origins[place] if place < len(value.origins) else None


def _number(value: Value, place: int) -> int:
    origin = _origin(value, place) if isinstance(value, Sizes) else None
    return _UNKNOWN + place if origin is None else origin.axis


def rows(builder: GraphBuilder, origin: Origin, dtype: str) -> Tensor:
    """Return as many zeros as a size says."""
    key = (origin.tensor.ref, origin.axis, dtype)
    found = builder.rows.get(key)
    if found is None:
        shape = origin.tensor.shape or ()
        index = tuple(slice(None) if axis == origin.axis else 0 for axis in range(len(shape)))
        x = origin.tensor
        if len(shape) > 1:
            x = builder.operation("rows", "GetItem", {"x": x, "key": index})[0]
        if x.dtype != dtype:
            x = builder.operation("rows", "Cast", {"x": x, "dtype": dtype}, dtype=dtype)[0]
        found = builder.operation("zeros", "ZerosLike", {"x": x})[0]
        builder.rows[key] = found
    return found


def filled_tensor(builder: GraphBuilder, value: Filled) -> Tensor | None:
    """Return one number in every place of a shape with open sizes; None if it is not known what they are."""
    shape = value.shape or ()
    origins = [
        value.origins[axis] if axis < len(value.origins) else None for axis in range(len(shape))
    ]
    if any(size is None and origin is None for size, origin in zip(shape, origins, strict=True)):
        return None
    dtype = "int32" if value.dtype == "bool" else value.dtype
    builder.count_made(math.prod(1 if size is None else size for size in shape), "full")
    one = np.full([1 if size is None else size for size in shape], value.value, dtype)
    result: Value = Known(one if one.ndim > 1 or one.size > 1 else one.reshape(()), "full")
    for axis, (size, origin) in enumerate(zip(shape, origins, strict=True)):
        if size is not None or origin is None:
            continue
        zeros = rows(builder, origin, dtype)
        wanted = tuple(-1 if each == axis else 1 for each in range(len(shape)))
        if len(shape) > 1:
            zeros = builder.operation("zeros", "Reshape", {"x": zeros, "newshape": wanted})[0]
        result = builder.operation("full", "Add", {"x1": zeros, "x2": result})[0]
    if value.dtype == "bool":
        [result] = builder.operation("full", "Cast", {"x": result, "dtype": "bool"}, dtype="bool")
    return result if isinstance(result, Tensor) else None


def size_tensor(builder: GraphBuilder, value: Sizes) -> Tensor | None:
    """Return sizes as numbers of the network; None if it is not known what they are."""
    parts: list[object] = []
    for place, entry in enumerate(value.entries):
        origin = _origin(value, place)
        if entry is not None:
            parts.append(Known(np.array(entry, np.int32)))
        elif origin is None:
            return None
        else:
            zeros = rows(builder, origin, "int32")
            ones = builder.operation("ones", "OnesLike", {"x": zeros})[0]
            total = builder.operation("size", "Sum", {"x": ones, "axis": 0})[0]
            parts.append(
                builder.operation("size", "Cast", {"x": total, "dtype": "int32"}, dtype="int32")[0]
            )
    if value.scalar:
        return parts[0] if isinstance(parts[0], Tensor) else None
    tensors = tuple(
        builder.tensor(each, "size") if isinstance(each, Known) else each for each in parts
    )
    return builder.operation("sizes", "Stack", {"xs": tensors, "axis": 0})[0]


def counted(builder: GraphBuilder, origin: Origin, dtype: str) -> Tensor:
    """Return 0, 1, 2, ... up to a size."""
    zeros = rows(builder, origin, dtype)
    ones = builder.operation("ones", "OnesLike", {"x": zeros})[0]
    counts = builder.operation("counts", "Cumsum", {"x": ones, "axis": 0})[0]
    arguments: dict[str, object] = {"x1": counts, "x2": 1}
    return builder.operation("places", "Subtract", arguments, dtype=dtype)[0]


def refused_size(value: Value, place: str) -> UnsupportedError:
    """Return the error for what is no tensor and cannot be made one."""
    kind = "list" if isinstance(value, Elements) else "size of the batch"
    msg = f"{place}what depends on a {kind} is computed with; only sizes of shapes may"
    return UnsupportedError(msg)
