"""Numbers that a graph computes from constants, computed in numpy: shapes, axes, ranges, conditions.

Only operations of the table are computed, on arrays whose size is bounded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from converters.readers.tensorflow.attributes import Attributes
from converters.rule_parts.strided_slices import MASKS, slice_index
from converters.tensorflow_graphs.values import AnyArray

MAX_FOLDED_NUMBERS = 1 << 22
"""Of one result; larger constants come as they are stored or not at all."""
MAX_JOINED_NUMBERS = 1 << 26
"""Of parts that are there already, as those of a partitioned variable."""
_Fold = Callable[..., AnyArray]
_UNARY: dict[str, _Fold] = {
    "Neg": np.negative, "Abs": np.abs, "Exp": np.exp, "Log": np.log, "Sqrt": np.sqrt, "Square": np.square,
    "Tanh": np.tanh, "Floor": np.floor, "Ceil": np.ceil, "Sign": np.sign, "LogicalNot": np.logical_not,
    "Rsqrt": lambda x: (1 / np.sqrt(x)).astype(x.dtype), "Reciprocal": lambda x: (1 / x).astype(x.dtype),
    "Identity": lambda x: x, "StopGradient": lambda x: x, "Snapshot": lambda x: x, "EnsureShape": lambda x: x,
    "ZerosLike": np.zeros_like, "OnesLike": np.ones_like, "Round": np.round, "Sin": np.sin, "Cos": np.cos,
    "Log1p": np.log1p, "Expm1": np.expm1, "Sigmoid": lambda x: (1 / (1 + np.exp(-x))).astype(x.dtype),
}  # fmt: skip
_BINARY: dict[str, _Fold] = {
    "Add": np.add, "AddV2": np.add, "Sub": np.subtract, "Mul": np.multiply, "Maximum": np.maximum,
    "Minimum": np.minimum, "Pow": np.power, "Greater": np.greater, "GreaterEqual": np.greater_equal,
    "Less": np.less, "LessEqual": np.less_equal, "Equal": np.equal, "NotEqual": np.not_equal,
    "LogicalAnd": np.logical_and, "LogicalOr": np.logical_or, "FloorDiv": np.floor_divide,
    "FloorMod": np.mod, "SquaredDifference": lambda x, y: np.square(x - y),
    "RealDiv": lambda x, y: np.true_divide(x, y).astype(x.dtype), "BiasAdd": np.add,
    "Div": lambda x, y: (np.true_divide(x, y) if x.dtype.kind == "f" else np.trunc(x / y)).astype(x.dtype),
    "TruncateDiv": lambda x, y: np.trunc(x / y).astype(x.dtype),
}  # fmt: skip
_REDUCTIONS: dict[str, _Fold] = {
    "Prod": np.prod, "Sum": np.sum, "Max": np.max, "Min": np.min, "Mean": np.mean, "All": np.all, "Any": np.any,
}  # fmt: skip


class NotFolded(Exception):  # noqa: N818  # no error: the graph's own computation is taken
    """The operation is not computed here."""


def fold(op: str, attributes: Attributes, inputs: Sequence[AnyArray]) -> AnyArray:
    """Return the first result of an operation on constants.

    Raises:
        NotFolded: It has no rule here, would be too large, or its inputs do not fit.
    """
    rule = _RULES.get(op)
    try:
        with np.errstate(all="ignore"):
            if op in _UNARY:
                return np.asarray(_UNARY[op](inputs[0]))
            if op in _BINARY:
                _check(math.prod(np.broadcast_shapes(inputs[0].shape, inputs[1].shape)))
                return np.asarray(_BINARY[op](inputs[0], inputs[1]))
            if op in _REDUCTIONS:
                return _reduce(op, attributes, inputs)
            if rule is not None:
                return np.asarray(rule(attributes, *inputs))
    except (ValueError, IndexError, TypeError, ArithmeticError) as error:
        raise NotFolded(op) from error
    raise NotFolded(op)


def _check(count: int) -> None:
    if count > MAX_FOLDED_NUMBERS:
        raise NotFolded


def _reduce(op: str, attributes: Attributes, inputs: Sequence[AnyArray]) -> AnyArray:
    array, axes = inputs
    keep = attributes.flag("keep_dims")
    axis = tuple(int(each) for each in np.ravel(axes))
    result = _REDUCTIONS[op](array, axis=axis, keepdims=keep)
    return np.asarray(result, dtype=None if op in ("All", "Any") else array.dtype)


def _cast(attributes: Attributes, x: AnyArray) -> AnyArray:
    name = attributes.dtype("DstT")
    if name in ("", "string"):
        raise NotFolded
    return x.astype("float32" if name == "bfloat16" else name)


def _range(_: Attributes, start: AnyArray, limit: AnyArray, step: AnyArray) -> AnyArray:
    first, last, by = (array.item() for array in (start, limit, step))
    _check(max(0, math.ceil((last - first) / by)))
    return np.arange(first, last, by, dtype=start.dtype)


def _lin_space(_: Attributes, start: AnyArray, stop: AnyArray, count: AnyArray) -> AnyArray:
    _check(int(count))
    return np.linspace(start.item(), stop.item(), int(count), dtype=start.dtype)


def _fill(_: Attributes, sizes: AnyArray, value: AnyArray) -> AnyArray:
    shape = tuple(int(size) for size in sizes)
    _check(math.prod(shape))
    return np.full(shape, value)


def _reshape(_: Attributes, x: AnyArray, sizes: AnyArray) -> AnyArray:
    return x.reshape([int(size) for size in np.ravel(sizes)])


def _concat(_: Attributes, *inputs: AnyArray) -> AnyArray:
    *parts, axis = inputs
    if sum(part.size for part in parts) > MAX_JOINED_NUMBERS:
        raise NotFolded
    return np.concatenate(parts, int(axis))


def _pack(attributes: Attributes, *inputs: AnyArray) -> AnyArray:
    _check(sum(part.size for part in inputs))
    return np.stack(inputs, attributes.integer("axis"))


def _pad(_: Attributes, x: AnyArray, pairs: AnyArray, value: AnyArray | None = None) -> AnyArray:
    around = [(int(before), int(behind)) for before, behind in np.asarray(pairs, np.int64)]
    _check(math.prod(size + sum(pair) for size, pair in zip(x.shape, around, strict=True)))
    constant = 0 if value is None else np.asarray(value).item()
    return np.pad(x, around, constant_values=constant)


def _tile(_: Attributes, x: AnyArray, times: AnyArray) -> AnyArray:
    _check(x.size * math.prod(int(each) for each in times))
    return np.tile(x, [int(each) for each in times])


def _broadcast(_: Attributes, x: AnyArray, sizes: AnyArray) -> AnyArray:
    shape = tuple(int(size) for size in sizes)
    _check(math.prod(shape))
    return np.broadcast_to(x, shape).copy()


def _matmul(attributes: Attributes, x: AnyArray, y: AnyArray) -> AnyArray:
    x = x.T if attributes.flag("transpose_a") else x
    y = y.T if attributes.flag("transpose_b") else y
    _check(x.size * y.shape[-1])
    return np.asarray(np.matmul(x, y))


def _squeeze(attributes: Attributes, x: AnyArray) -> AnyArray:
    axes = attributes.integers("squeeze_dims")
    return np.squeeze(x, axes or None)


def _gather(
    attributes: Attributes, x: AnyArray, indices: AnyArray, axis: AnyArray | None = None
) -> AnyArray:
    if attributes.integer("batch_dims"):
        raise NotFolded
    return np.take(x, indices.astype(np.int64), 0 if axis is None else int(axis))


def _slice(_: Attributes, x: AnyArray, begin: AnyArray, size: AnyArray) -> AnyArray:
    index = [
        slice(int(first), None if count < 0 else int(first) + int(count))
        for first, count in zip(begin, size, strict=True)
    ]
    return x[tuple(index)]


def strided_index(
    attributes: Attributes, begins: AnyArray, ends: AnyArray, strides: AnyArray
) -> tuple[object, ...]:
    """Return the index of a strided slice."""
    masks = {key: attributes.integer(f"{key}_mask") for key in MASKS}
    return slice_index(begins.tolist(), ends.tolist(), strides.tolist(), masks)


def _strided_slice(
    attributes: Attributes, x: AnyArray, begins: AnyArray, ends: AnyArray, strides: AnyArray
) -> AnyArray:
    return np.asarray(x[strided_index(attributes, begins, ends, strides)])  # type: ignore[index]


def _one_hot(
    attributes: Attributes, x: AnyArray, depth: AnyArray, on: AnyArray, off: AnyArray
) -> AnyArray:
    _check(x.size * int(depth))
    found = x[..., None] == np.arange(int(depth))
    return np.moveaxis(np.where(found, on, off), -1, attributes.integer("axis", -1))


def _select(_: Attributes, condition: AnyArray, x: AnyArray, y: AnyArray) -> AnyArray:
    if condition.ndim == 1 and x.ndim > 1:  # TensorFlow 1 chooses whole rows
        condition = condition.reshape(-1, *[1] * (x.ndim - 1))
    return _select_v2(_, condition, x, y)


def _select_v2(_: Attributes, condition: AnyArray, x: AnyArray, y: AnyArray) -> AnyArray:
    return np.where(condition, x, y).astype(x.dtype)


_RULES: dict[str, _Fold] = {
    "Cast": _cast, "Range": _range, "LinSpace": _lin_space, "MatMul": _matmul,
    "Where": lambda _, x: np.argwhere(x).astype(np.int64), "Fill": _fill, "Reshape": _reshape, "ConcatV2": _concat, "Pack": _pack,
    "Tile": _tile, "Pad": _pad, "PadV2": _pad, "BroadcastTo": _broadcast, "Squeeze": _squeeze, "GatherV2": _gather, "Gather": _gather,
    "StridedSlice": _strided_slice, "Slice": _slice, "OneHot": _one_hot, "Select": _select,
    "SelectV2": _select_v2,
    "ExpandDims": lambda _, x, axis: np.expand_dims(x, int(axis)),
    "Transpose": lambda _, x, axes: np.transpose(x, [int(axis) for axis in axes]),
    "BroadcastArgs": lambda _, a, b: np.array(
        np.broadcast_shapes(tuple(map(int, a)), tuple(map(int, b))), np.int32
    ),
    "Shape": lambda _, x: np.array(x.shape, np.int32), "Size": lambda _, x: np.array(x.size, np.int32),
    "Rank": lambda _, x: np.array(x.ndim, np.int32), "InvertPermutation": lambda _, x: np.argsort(x),
    "ConcatOffset": lambda _, *x: x[1] * 0,
}  # fmt: skip

FOLDED = frozenset((*_UNARY, *_BINARY, *_REDUCTIONS, *_RULES))
"""Operations that are computed on constants."""
