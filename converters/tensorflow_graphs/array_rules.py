"""Rules of operations on shapes, parts and choices that the table of nodes does not settle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from converters.tensorflow_graphs.flatten import CHOOSE, FlatNode
from converters.tensorflow_graphs.folding import strided_index
from converters.tensorflow_graphs.rules import (
    Translation,
    graph_rule,
    known,
    rank_of,
    refused_node,
    shape_of,
    sizes_of,
    whole_number,
    whole_numbers,
)
from converters.tensorflow_graphs.sizes import sizes_of_value, sizes_value
from converters.tensorflow_graphs.values import (
    AnyArray,
    Filled,
    Known,
    Sizes,
    Tensor,
    Value,
    Weights,
    plain_number,
    plain_numbers,
)
from converters.tensorflow_graphs.weights import derived


@graph_rule("Shape")
def shape(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return the sizes of a tensor."""
    return sizes_value(shape_of(node, inputs[0]), sizes_of_value(inputs[0], translation.builder))


@graph_rule("ShapeN")
def shapes(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Sequence[Value]:
    """Return the sizes of several tensors."""
    return [
        sizes_value(shape_of(node, value), sizes_of_value(value, translation.builder))
        for value in inputs
    ]


@graph_rule("Rank")
def rank(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return the number of axes."""
    return Known(np.array(rank_of(node, inputs[0]), np.int32))


@graph_rule("Size")
def size(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return the number of elements."""
    found = shape_of(node, inputs[0])
    total = None if None in found else int(np.prod([each or 0 for each in found]))
    return sizes_value([total], scalar=True)


@graph_rule("Squeeze")
def squeeze(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return a tensor without axes of 1."""
    axes = node.attributes.integers("squeeze_dims")
    x = translation.tensor(node, inputs[0])
    return translation.operation(node, "Squeeze", {"x": x, **({"axis": axes} if axes else {})})[0]


@graph_rule("StridedSlice")
def strided_slice(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return x[...] as NumPy writes it."""
    if isinstance(inputs[1], Sizes) or isinstance(inputs[2], Sizes):
        return _slice_by_sizes(node, inputs, translation)
    bounds = [known(node, value, "a bound").array for value in inputs[1:4]]
    index = strided_index(node.attributes, *bounds)
    x, index = _forwards(node, translation.tensor(node, inputs[0]), index, translation)
    plain = tuple(
        slice(None) if _covers(entry, x, place) else entry for place, entry in enumerate(index)
    )
    if all(entry == slice(None) for entry in plain):
        return x
    if (
        plain[0] == -1
        and all(entry == slice(None) for entry in plain[1:])
        and x.ref in translation.builder.last_of
    ):
        return translation.builder.last_of[x.ref]
    return translation.operation(node, "GetItem", {"x": x, "key": plain})[0]


def _forwards(
    node: FlatNode, x: Tensor, index: tuple[object, ...], translation: Translation
) -> tuple[Tensor, tuple[object, ...]]:
    """Return a tensor and an index of it that goes backwards nowhere: torch slices only forwards."""
    whole = slice(None, None, -1)
    axes = tuple(place for place, entry in enumerate(index) if entry == whole)
    if not axes or any(entry is None or entry is ... for entry in index):
        return x, index
    x = translation.operation(node, "Flip", {"x": x, "axis": axes})[0]
    return x, tuple(slice(None) if entry == whole else entry for entry in index)


def _covers(entry: object, x: Tensor, place: int) -> bool:
    """Tell whether a slice takes all of an axis."""
    if not isinstance(entry, slice) or entry.step not in (None, 1) or entry.start not in (None, 0):
        return False
    size_ = x.shape[place] if place < len(x.shape) else None
    return entry.stop is None or (
        size_ is not None and isinstance(entry.stop, int) and entry.stop >= size_
    )


def _slice_by_sizes(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return a slice of which a bound is a size: up to it means all, if it is the size of that axis."""
    begins = sizes_of(node, inputs[1], "begin")
    ends = sizes_of(node, inputs[2], "end")
    strides = whole_numbers(node, inputs[3], "strides")
    x = translation.tensor(node, inputs[0])
    fine = [
        x.shape[place] is None or end is not None
        for place, end in enumerate(ends)
        if place < len(x.shape)
    ]
    if None in begins or not all(fine):
        raise refused_node(node, "takes a part whose bounds depend on the size of the batch")
    bounds = [
        np.array([2**31 - 1 if each is None else each for each in values])
        for values in (begins, ends, strides)
    ]
    index = strided_index(node.attributes, *bounds)
    whole = tuple(
        slice(entry.start, None if entry.stop == 2**31 - 1 else entry.stop, entry.step)
        if isinstance(entry, slice)
        else entry
        for entry in index
    )
    return translation.operation(node, "GetItem", {"x": x, "key": whole})[0]


@graph_rule("Slice")
def slice_(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return part of every axis."""
    begins = whole_numbers(node, inputs[1], "begin")
    counts = sizes_of(node, inputs[2], "size")
    x = translation.tensor(node, inputs[0])
    key = []
    for place, (begin, count) in enumerate(zip(begins, counts, strict=True)):
        if count is None and (begin or x.shape[place] is not None):
            raise refused_node(node, "takes a part whose size depends on the size of the batch")
        stop = None if count in (None, -1) else begin + (count or 0)
        key.append(slice(begin or None, None if stop == x.shape[place] else stop, None))
    if all(entry == slice(None) for entry in key):
        return x
    return translation.operation(node, "GetItem", {"x": x, "key": tuple(key)})[0]


@graph_rule("Fill")
def fill(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return one number in every place."""
    value = known(node, inputs[1], "the number").array
    origins = inputs[0].origins if isinstance(inputs[0], Sizes) else ()
    shape_ = sizes_of(node, inputs[0], "shape")
    return Filled(float(plain_number(value)), shape_, value.dtype.name, origins=origins)


@graph_rule("ZerosLike", "OnesLike")
def zeros(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return zeros or ones in the shape of a tensor."""
    value = inputs[0]
    like = value if isinstance(value, Tensor) else None
    origins = value.origins if isinstance(value, Filled) else ()
    return Filled(float(node.op == "OnesLike"), shape_of(node, value), value.dtype, like, origins)


@graph_rule("OneHot")
def one_hot(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return 1 at the index on a new axis, and what the graph says instead of 1 and 0."""
    depth = whole_number(node, inputs[1], "depth")
    on, off = (plain_number(known(node, value, "a value").array) for value in inputs[2:4])
    dtype = node.attributes.dtype("T", "float32")
    arguments: dict[str, object] = {
        "x": inputs[0],
        "num_classes": depth,
        "axis": node.attributes.integer("axis", -1),
    }
    found = translation.operation(node, "OneHot", {**arguments, "dtype": dtype}, dtype=dtype)[0]
    if on - off != 1:
        found = translation.operation(node, "Multiply", {"x1": found, "x2": on - off})[0]
    return found if off == 0 else translation.operation(node, "Add", {"x1": found, "x2": off})[0]


@graph_rule("Select", "SelectV2", CHOOSE)
def select(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return the first where the condition holds, else the second."""
    condition, *choices = inputs
    axes = max(rank_of(node, value) for value in choices) - 1
    if node.op == "Select" and axes > 0 and rank_of(node, condition) == 1:
        condition = _of_rows(node, condition, axes, translation)
    first, second = (_plain(value, translation, node) for value in choices)
    if isinstance(first, Filled | Known) and isinstance(second, Filled | Known):
        first = translation.tensor(node, first)
    return translation.operation(
        node,
        "Where",
        {"condition": condition, "x1": first, "x2": second, "condition_dtype": "bool"},
        dtype=choices[0].dtype,
    )[0]


def _of_rows(node: FlatNode, condition: Value, axes: int, translation: Translation) -> Value:
    """Return a condition of one element a row with more axes: TensorFlow 1 chooses whole rows by it."""
    if isinstance(condition, Known):
        return Known(condition.array.reshape(-1, *[1] * axes), condition.name)
    x = translation.tensor(node, condition)
    arguments: dict[str, object] = {"x": x, "axis": tuple(range(1, axes + 1))}
    return translation.operation(node, "ExpandDims", arguments)[0]


def _plain(value: Value, translation: Translation, node: FlatNode) -> Value:
    """Return one number for a shape that is full of it."""
    return Known(np.array(value.value, value.dtype)) if isinstance(value, Filled) else value


@graph_rule("Cast")
def cast(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return a tensor in another type."""
    dtype = node.attributes.dtype("DstT")
    if isinstance(inputs[0], Filled):
        return replace(inputs[0], dtype=dtype)
    if inputs[0].dtype == dtype and not isinstance(inputs[0], Sizes):
        return inputs[0]
    return translation.cast(node, inputs[0], dtype)


@graph_rule("Unpack", "Split", "SplitV")
def parts(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Sequence[Value]:
    """Return a tensor in parts along an axis."""
    if node.op == "Unpack":
        if isinstance(inputs[0], Weights) and node.attributes.integer("axis") == 0:
            return _rows_of(inputs[0])
        x = translation.tensor(node, inputs[0])
        arguments: dict[str, object] = {
            "x": x,
            "num": node.attributes.integer("num"),
            "axis": node.attributes.integer("axis"),
        }
        return translation.operation(node, "Unstack", arguments)
    if node.op == "Split":
        x = translation.tensor(node, inputs[1])
        axis = whole_number(node, inputs[0], "axis")
        arguments = {"x": x, "sizes": node.attributes.integer("num_split"), "axis": axis}
        return [x] if arguments["sizes"] == 1 else translation.operation(node, "Split", arguments)
    x = translation.tensor(node, inputs[0])
    axis = whole_number(node, inputs[2], "axis")
    sizes = list(whole_numbers(node, inputs[1], "sizes"))
    whole = x.shape[axis]
    if -1 in sizes and whole is not None:
        sizes[sizes.index(-1)] = whole - sum(each for each in sizes if each >= 0)
    return translation.operation(node, "Split", {"x": x, "sizes": tuple(sizes), "axis": axis})


def _rows_of(weights: Weights) -> Sequence[Value]:
    """Return the rows of a weight, each a weight."""
    count, *shape = (size or 0 for size in weights.shape)
    shadow = np.broadcast_to(np.zeros((), weights.dtype), shape)
    return [derived([weights], shadow, partial(_row, place)) for place in range(count)]


def _row(place: int, arrays: Sequence[AnyArray]) -> AnyArray:
    return np.asarray(arrays[0][place])


@graph_rule("BroadcastTo")
def broadcast_to(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return a tensor repeated to a shape."""
    x = translation.tensor(node, inputs[0])
    given = sizes_of(node, inputs[1], "shape")
    if given == x.shape:
        return x
    extra = len(given) - len(x.shape)
    if None in given and set(given[:extra]) == {1} and given[extra:] == x.shape:
        # One sample of a distribution: an axis in front, and nothing is repeated.
        for _ in range(extra):
            x = translation.operation(node, "ExpandDims", {"x": x, "axis": 0})[0]
        return x
    if None in given and isinstance(inputs[1], Sizes):
        zeros = Filled(0.0, given, x.dtype, origins=inputs[1].origins)
        added: dict[str, object] = {"x1": x, "x2": translation.tensor(node, zeros)}
        return translation.operation(node, "Add", added)[0]
    return translation.operation(node, "BroadcastTo", {"x": x, "shape": given})[0]


@graph_rule("Pad", "PadV2")
def pad(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return a tensor with a constant around it."""
    pairs = plain_numbers(known(node, inputs[1], "paddings").array)
    value = plain_number(known(node, inputs[2], "the constant").array) if len(inputs) > 2 else 0
    arguments: dict[str, object] = {"x": inputs[0], "pad_width": pairs, "constant_values": value}
    return translation.operation(node, "Pad", arguments)[0]


@graph_rule("TopKV2", "TopK")
def top_k(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Sequence[Value]:
    """Return the largest elements and their places."""
    count = (
        node.attributes.integer("k") if node.op == "TopK" else whole_number(node, inputs[1], "k")
    )
    arguments: dict[str, object] = {"x": inputs[0], "k": count, "sorted": True}
    found = translation.operation(node, "TopK", arguments)
    return [found[0], Tensor(found[1].ref, found[1].shape, "int32")]


@graph_rule("ArgMax", "ArgMin")
def arg_max(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return the place of the largest element along an axis."""
    axis = whole_number(node, inputs[1], "axis") if len(inputs) > 1 else 0
    arguments: dict[str, object] = {"x": inputs[0], "axis": axis}
    return translation.operation(node, f"Arg{node.op[3:].lower()}", arguments, dtype="int64")[0]


@graph_rule("Einsum")
def einsum(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return a sum of products as the equation says."""
    equation = node.attributes.text("equation")
    operands = tuple(translation.tensor(node, value) for value in inputs)
    return translation.operation(node, "Einsum", {"subscripts": equation, "*": operands})[0]


@graph_rule("Mean", "Sum", "Max", "Min", "Prod", "Any", "All")
def reduction(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return a reduction over some axes; over none it is the tensor itself."""
    axes = whole_numbers(node, inputs[1], "axes")
    x = translation.tensor(node, inputs[0])
    if not axes:
        return x
    whole = node.op == "Mean" and "int" in x.dtype
    operand = translation.cast(node, x, "float64") if whole else x
    arguments: dict[str, object] = {"x": operand, "axis": axes if len(axes) > 1 else axes[0]}
    if node.attributes.flag("keep_dims"):
        arguments["keepdims"] = True
    result = translation.operation(node, node.op, arguments)[0]
    return translation.cast(node, result, x.dtype) if whole else result
