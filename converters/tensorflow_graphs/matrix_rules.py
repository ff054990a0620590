"""Rules of operations on matrices and of arithmetic that Keras has no operation for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from converters.tensorflow_graphs.flatten import FlatNode
from converters.tensorflow_graphs.rules import (
    Translation,
    graph_rule,
    refused_node,
    shape_of,
    whole_number,
)
from converters.tensorflow_graphs.values import AnyArray, Filled, Known, Tensor, Value


def _call(node: FlatNode, translation: Translation, operation: str, **arguments: object) -> Tensor:
    return translation.operation(node, operation, arguments)[0]


@graph_rule("AddN")
def add_all(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return the sum of several tensors, from the first on."""
    result = inputs[0]
    for value in inputs[1:]:
        result = _call(node, translation, "Add", x1=result, x2=value)
    return result


@graph_rule("Xlogy", "Xlog1py", "Xdivy")
def product_of_logarithm(
    node: FlatNode, inputs: Sequence[Value], translation: Translation
) -> Value:
    """Return x log(y), x log(1 + y) or x / y, which is 0 where x is 0."""
    x = translation.tensor(node, inputs[0])
    none = _call(node, translation, "Equal", x1=x, x2=0)
    none = Tensor(none.ref, none.shape, "bool")
    y = _call(
        node, translation, "Where", condition=none, x1=1, x2=inputs[1], condition_dtype="bool"
    )
    y = Tensor(y.ref, y.shape, x.dtype)
    if node.op == "Xdivy":
        return _call(node, translation, "Divide", x1=x, x2=y)
    logarithm = "Log" if node.op == "Xlogy" else "Log1p"
    return _call(node, translation, "Multiply", x1=x, x2=_call(node, translation, logarithm, x=y))


@graph_rule("MulNoNan")
def product_without_nan(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return x y, which is 0 where y is 0, whatever x is."""
    x, y = inputs
    none = _call(node, translation, "Equal", x1=y, x2=0)
    product = _call(node, translation, "Multiply", x1=x, x2=y)
    chosen = {"condition": Tensor(none.ref, none.shape, "bool"), "x1": 0, "x2": product}
    return translation.operation(
        node, "Where", {**chosen, "condition_dtype": "bool"}, dtype=x.dtype
    )[0]


@graph_rule("TruncateDiv", "TruncateMod")
def truncated(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return the quotient of whole numbers cut towards zero, or what is left over by it."""
    x = translation.tensor(node, inputs[0])
    if x.dtype not in ("int8", "int16", "int32", "uint8"):
        raise refused_node(node, f"divides {x.dtype}; whole numbers of up to 32 bits are needed")
    wide = translation.cast(node, x, "float64")
    quotient = _call(
        node, translation, "Trunc", x=_call(node, translation, "Divide", x1=wide, x2=inputs[1])
    )
    whole = translation.cast(node, quotient, x.dtype)
    if node.op == "TruncateDiv":
        return whole
    product = _call(node, translation, "Multiply", x1=whole, x2=inputs[1])
    return _call(node, translation, "Subtract", x1=x, x2=product)


@graph_rule("MatrixBandPart")
def band(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return matrices with zeros outside of a band around the diagonal."""
    rows, columns = shape_of(node, inputs[0])[-2:]
    lower, upper = (whole_number(node, value, "the width") for value in inputs[1:3])
    if rows is None or columns is None:
        raise refused_node(node, "matrices of open size")
    translation.builder.count_made(rows * columns, node.name)
    below = np.arange(rows)[:, None] - np.arange(columns)
    inside = ((lower < 0) | (below <= lower)) & ((upper < 0) | (-below <= upper))
    value = inputs[0]
    if isinstance(value, Filled) and value.shape is not None and None not in value.shape:
        sizes = [size or 0 for size in value.shape]
        value = Known(np.broadcast_to(np.asarray(value.value, value.dtype), sizes), node.name)
    if isinstance(value, Known):
        return Known(np.where(inside, value.array, np.zeros((), value.array.dtype)), node.name)
    if value.dtype == "bool":
        found = _call(node, translation, "LogicalAnd", x1=value, x2=Known(inside, "band"))
        return Tensor(found.ref, found.shape, "bool")
    return _where(node, translation, inside, value)


@graph_rule("Cumsum", "Cumprod")
def running(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return running sums or products, from the end with `reverse`, without the entry itself with `exclusive`."""
    x = translation.tensor(node, inputs[0])
    axis = whole_number(node, inputs[1], "the axis") % max(1, len(x.shape))
    backwards = node.attributes.flag("reverse")
    if backwards:
        x = _call(node, translation, "Flip", x=x, axis=axis)
    if node.attributes.flag("exclusive"):
        ahead = [(int(place == axis), 0) for place in range(len(x.shape))]
        neutral = int(node.op == "Cumprod")
        x = _call(node, translation, "Pad", x=x, pad_width=tuple(ahead), constant_values=neutral)
        kept = tuple(slice(None, -1 if place == axis else None) for place in range(len(x.shape)))
        x = _call(node, translation, "GetItem", x=x, key=kept)
    result = _call(node, translation, node.op, x=x, axis=axis)
    return _call(node, translation, "Flip", x=result, axis=axis) if backwards else result


def _where(node: FlatNode, translation: Translation, inside: AnyArray, value: Value) -> Tensor:
    """Return a value inside of a pattern and 0 outside of it, whatever stood there (0 * infinity is no 0)."""
    chosen = {"condition": Known(inside, "pattern"), "x1": value, "x2": 0}
    return translation.operation(
        node, "Where", {**chosen, "condition_dtype": "bool"}, dtype=value.dtype
    )[0]


@graph_rule("L2Loss")
def half_of_squares(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return half of the sum of all squares."""
    squares = _call(node, translation, "Square", x=translation.tensor(node, inputs[0]))
    total = _call(node, translation, "Sum", x=squares)
    return _call(node, translation, "Multiply", x1=total, x2=0.5)


@graph_rule("MatrixDiag", "MatrixDiagV2", "MatrixDiagV3", "Diag")
def diagonal_matrix(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return matrices with vectors on their diagonal and zeros elsewhere."""
    x = translation.tensor(node, inputs[0])
    size = x.shape[-1] if x.shape else None
    plain = len(inputs) == 1 or _only_zeros(inputs[1:2])
    if size is None or not plain or (node.op == "Diag" and len(x.shape) != 1):
        raise refused_node(
            node, f"a diagonal of {x.shape} that is not the main one, or of open size"
        )
    translation.builder.count_made(size**2, node.name)
    spread = _call(node, translation, "ExpandDims", x=x, axis=-1)
    return _where(node, translation, np.eye(size, dtype=bool), spread)


@graph_rule("MatrixSetDiag", "MatrixSetDiagV2", "MatrixSetDiagV3")
def with_diagonal(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return matrices with another main diagonal."""
    rows, columns = shape_of(node, inputs[0])[-2:]
    if rows is None or rows != columns or (len(inputs) > 2 and not _only_zeros(inputs[2:3])):
        raise refused_node(
            node, f"matrices {rows} x {columns}; square ones and the main diagonal are needed"
        )
    translation.builder.count_made(rows**2, node.name)
    spread = _call(node, translation, "ExpandDims", x=translation.tensor(node, inputs[1]), axis=-1)
    chosen = {
        "condition": Known(np.eye(rows, dtype=bool), "diagonal"),
        "x1": spread,
        "x2": inputs[0],
    }
    return translation.operation(
        node, "Where", {**chosen, "condition_dtype": "bool"}, dtype=inputs[0].dtype
    )[0]


@graph_rule("MatrixDiagPart", "MatrixDiagPartV2", "MatrixDiagPartV3")
def diagonal(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return the diagonals of matrices."""
    x = translation.tensor(node, inputs[0])
    if len(inputs) > 1 and not _only_zeros(inputs[1:2]):
        raise refused_node(node, "a diagonal that is not the main one")
    return _call(node, translation, "Diagonal", x=x, offset=0, axis1=-2, axis2=-1)


def _only_zeros(values: Sequence[Value]) -> bool:
    return all(isinstance(each, Known) and not np.any(each.array) for each in values)
