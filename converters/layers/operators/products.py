"""Products of matrices and what linear algebra makes of them."""

from __future__ import annotations

import math

from converters.graph import Layer
from converters.layers.operators.reductions import reduced
from converters.registry import Plain, Shape, TorchStep, layer
from converters.rule_parts.operations import (
    Operation,
    axes_of,
    axis_of,
    broadcast,
    call_of,
    flat,
    refused,
)
from converters.settings import flag, number, text, unsupported


@layer("ops.Matmul", takes_call=True)
def matmul(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the product of matrices on the last two axes, or of a vector and matrices."""
    operation = Operation.of(layer, shapes, "x1", "x2")
    names = operation.of_one_type("x1", "x2")
    first, second = operation.shape("x1"), operation.shape("x2")
    for key in ("transpose_a", "transpose_b"):
        if operation.settings.get(key):
            place = ("transpose_a", "transpose_b").index(key)
            shape = (first, second)[place]
            order = (*range(len(shape) - 2), len(shape) - 1, len(shape) - 2)
            turned = tuple(shape[axis] for axis in order)
            names[place] = operation.result(
                "torch.permute", {"dims": order}, of=[names[place]], shape=turned
            )
            first, second = (turned, second) if place == 0 else (first, turned)
    operation.result("torch.matmul", of=names, shape=_product(layer, first, second))
    return operation.steps


def _product(layer: Layer, first: Shape, second: Shape) -> Shape:
    if not first or not second:
        raise refused(layer, f"inputs {first} and {second}, axes are needed")
    left = first if len(first) > 1 else (1, *first)
    right = second if len(second) > 1 else (*second, 1)
    if None not in (left[-1], right[-2]) and left[-1] != right[-2]:
        raise refused(layer, f"inputs {first} and {second} do not fit")
    shape = (*broadcast(layer, [left[:-2], right[:-2]]), left[-2], right[-1])
    shape = shape if len(first) > 1 else (*shape[:-2], shape[-1])
    return shape if len(second) > 1 else shape[:-1]


@layer("ops.Dot", takes_call=True)
def dot(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return sums of products over the last axis of the first and the last but one of the second, as NumPy."""
    operation = Operation.of(layer, shapes, "x1", "x2")
    names = operation.of_one_type("x1", "x2")
    first, second = operation.shape("x1"), operation.shape("x2")
    if not first or not second:
        shape: Shape = first or second
    else:
        rest = (*second[:-2], second[-1]) if len(second) > 1 else ()
        shape = (*first[:-1], *rest)
    operation.result("compat.numpy_dot", of=names, shape=shape)
    return operation.steps


@layer("ops.Einsum", takes_call=True)
def einsum(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return sums of products by an equation of letters."""
    keys = [f"operand_{index}" for index in range(len(call_of(layer).args))]
    operation = Operation.of(layer, shapes, *keys)
    equation = _explicit(text(operation.layer, "subscripts", "").replace(" ", ""))
    names = operation.of_one_type(*keys)
    found = [operation.shape(key) for key in keys]
    operation.result(
        "torch.einsum",
        {"equation": equation},
        of=names,
        shape=_einsum_shape(layer, equation, found),
    )
    return operation.steps


def _explicit(equation: str) -> str:
    """Return the equation with what is on the right: letters that occur once, by the alphabet."""
    if "->" in equation:
        return equation
    letters = equation.replace(",", "").replace("...", "")
    once = "".join(letter for letter in sorted(set(letters)) if letters.count(letter) == 1)
    return f"{equation}->{'...' if '...' in equation else ''}{once}"


def _einsum_shape(layer: Layer, equation: str, shapes: list[Shape]) -> Shape:
    left, arrow, right = equation.partition("->")
    terms = left.split(",")
    letters = equation.replace("->", "").replace(",", "").replace("...", "")
    if not arrow or not letters.isalpha() or len(terms) != len(shapes):
        raise refused(layer, f"equation {equation!r:.60} for {len(shapes)} tensors; '->' is needed")
    sizes: dict[str, int | None] = {}
    free: list[Shape] = []
    for term, shape in zip(terms, shapes, strict=True):
        before, dots, behind = term.partition("...")
        if len(before + behind) > len(shape) or (not dots and len(term) != len(shape)):
            raise refused(layer, f"equation {equation!r:.60} does not fit {shapes}")
        end = len(shape) - len(behind)
        free.append(shape[len(before) : end])
        pairs = [*zip(before, shape, strict=False), *zip(behind, shape[end:], strict=True)]
        for letter, size in pairs:
            sizes[letter] = size if sizes.get(letter) in (None, 1) else sizes[letter]
    before, dots, behind = right.partition("...")
    if not set(before + behind) <= set(sizes):
        raise refused(layer, f"equation {equation!r:.60} makes axes that nothing has")
    middle = broadcast(layer, free) if dots else ()
    return (*(sizes[x] for x in before), *middle, *(sizes[x] for x in behind))


@layer("ops.Tensordot", takes_call=True)
def tensordot(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return sums of products over some axes of each, or over the last and first ones."""
    operation = Operation.of(layer, shapes, "x1", "x2", "axes")
    names = operation.of_one_type("x1", "x2")
    first, second = operation.shape("x1"), operation.shape("x2")
    given = operation.settings.get("axes", 2)
    if isinstance(given, int) and not isinstance(given, bool):
        pairs: list[tuple[int, ...]] = [
            tuple(range(len(first) - given, len(first))),
            tuple(range(given)),
        ]
    else:
        both = list(given) if isinstance(given, (list, tuple)) else []
        lists = [item if isinstance(item, (list, tuple)) else (item,) for item in both]
        if len(lists) != 2 or not all(type(axis) is int for axis in flat(lists)):
            raise unsupported(operation.layer, "axes", needed="a number or two lists")
        pairs = [
            tuple(axis % len(shape) for axis in axes)
            for axes, shape in zip(lists, (first, second), strict=True)
        ]
    rest = [size for axis, size in enumerate(first) if axis not in pairs[0]]
    rest += [size for axis, size in enumerate(second) if axis not in pairs[1]]
    operation.result("torch.tensordot", {"dims": tuple(pairs)}, of=names, shape=tuple(rest))
    return operation.steps


@layer("ops.Outer", takes_call=True)
def outer(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return every product of an element of the first and one of the second, flattened."""
    operation = Operation.of(layer, shapes, "x1", "x2")
    names = [
        operation.result(
            "torch.reshape", {"shape": (-1,)}, of=[operation.value(key)], shape=(None,)
        )
        for key in ("x1", "x2")
    ]
    sizes = tuple(
        None if None in shape else math.prod(size or 0 for size in shape)
        for shape in (operation.shape("x1"), operation.shape("x2"))
    )
    operation.result("torch.outer", of=names, shape=sizes)
    return operation.steps


@layer("ops.Vdot", takes_call=True)
def dot_of_rows(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the sum of the products of all elements."""
    operation = Operation.of(layer, shapes, "x1", "x2")
    rows = [operation.in_a_row(key)[0] for key in ("x1", "x2")]
    operation.result("torch.vdot", of=rows, shape=())
    return operation.steps


@layer("ops.Inner", takes_call=True)
def inner(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return sums of products over the last axes of both."""
    operation = Operation.of(layer, shapes, "x1", "x2")
    first, second = operation.shape("x1"), operation.shape("x2")
    names = operation.of_one_type("x1", "x2")
    shape = (*first[:-1], *second[:-1]) if first and second else (*first, *second)
    operation.result("torch.inner", of=names, shape=shape)
    return operation.steps


@layer("ops.Kron", takes_call=True)
def kronecker(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return every element of the first times all of the second, block by block."""
    operation = Operation.of(layer, shapes, "x1", "x2")
    first, second = operation.shape("x1"), operation.shape("x2")
    if len(first) != len(second):
        raise refused(layer, f"inputs {shapes}, two of the same rank are needed")
    names = [operation.value("x1"), operation.value("x2")]
    pairs = zip(first, second, strict=True)
    shape = tuple(None if None in pair else (pair[0] or 0) * (pair[1] or 0) for pair in pairs)
    operation.result("torch.kron", of=names, shape=shape)
    return operation.steps


@layer("ops.Norm", takes_call=True)
def norm(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the length of vectors, or the size of matrices."""
    operation = Operation.of(layer, shapes, "x", "ord", "axis", "keepdims")
    operation.only("x")
    axes = axes_of(operation.layer, "axis", len(shapes[0]))
    keep = flag(operation.layer, "keepdims", default=False)
    order = operation.settings.get("ord")
    matrix = len(axes) == 2 and order not in (None, "fro", "euclidean")
    if matrix:
        if order not in (1, -1, 2, -2, "nuc"):
            raise unsupported(operation.layer, "ord", needed="null, 1, -1, 2, -2, 'fro' or 'nuc'")
    elif order not in (None, "fro", "euclidean"):
        order = number(operation.layer, "ord")
        if len(axes) != 1:
            raise unsupported(operation.layer, "axis", needed="one axis for a norm of vectors")
    kwargs: dict[str, Plain] = {"dim": axes if len(axes) > 1 else axes[0]}
    if order not in (None, "fro", "euclidean", 2) or matrix:
        kwargs["ord"] = order if isinstance(order, (int, float, str)) else None
    if keep:
        kwargs["keepdim"] = True
    op = "linalg.matrix_norm" if matrix else "linalg.vector_norm"
    return [TorchStep(op, kwargs, shape=reduced(shapes[0], axes, keep=keep))]


_OF_MATRICES = {
    "ops.Inv": "linalg.inv",
    "ops.Det": "linalg.det",
}


@layer(*_OF_MATRICES, takes_call=True)
def of_matrices(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the inverse or the determinant of square matrices."""
    Operation.of(layer, shapes, "x").only("x")
    op = _OF_MATRICES[layer.class_name]
    return [TorchStep(op, shape=shapes[0][:-2] if op == "linalg.det" else shapes[0])]


@layer("ops.Solve", takes_call=True)
def solve(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return x of a x = b."""
    operation = Operation.of(layer, shapes, "a", "b")
    names = [operation.value("a"), operation.value("b")]
    a, b = operation.shape("a"), operation.shape("b")
    if len(b) == len(a) - 1:  # vectors; torch takes b of a's rank for matrices wherever that fits
        column = operation.result("torch.unsqueeze", {"dim": -1}, of=names[1:], shape=(*b, 1))
        found = operation.result("linalg.solve", of=[names[0], column], shape=(*b, 1))
        operation.result("torch.squeeze", {"dim": -1}, of=[found], shape=b)
        return operation.steps
    if len(a) != len(b):
        raise refused(layer, f"inputs {shapes}, two of the same rank, or vectors, are needed")
    operation.result("linalg.solve", of=names, shape=b)
    return operation.steps


@layer("ops.Trace", takes_call=True)
def trace(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the sum along a diagonal of two axes."""
    operation = Operation.of(layer, shapes, "x", "offset", "axis1", "axis2")
    operation.only("x")
    rank = len(shapes[0])
    first = axis_of(operation.layer, "axis1", rank, 0)
    second = axis_of(operation.layer, "axis2", rank, 1)
    offset = operation.settings.get("offset", 0)
    if not isinstance(offset, int):
        raise unsupported(operation.layer, "offset", needed="an integer")
    rest = tuple(size for axis, size in enumerate(shapes[0]) if axis not in (first, second))
    kwargs: dict[str, Plain] = {"offset": offset, "dim1": first, "dim2": second}
    return [
        TorchStep("torch.diagonal", kwargs, shape=(*rest, None)),
        TorchStep("torch.sum", {"dim": -1}, shape=rest),
    ]
