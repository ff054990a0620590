"""Factors of matrices and what follows from them.

Vectors whose sign each library chooses for itself, those of SVD and of eigenvalues, are refused.
"""

from __future__ import annotations

from converters.graph import Layer
from converters.registry import Lowered, Plain, Shape, TorchStep, layer
from converters.rule_parts.operations import Operation, broadcast, refused
from converters.settings import flag, integer, number, optional_number, text, unsupported


def _two(op: str, kwargs: dict[str, Plain], first: Shape, second: Shape) -> Lowered:
    results = ("first", "second")
    step = TorchStep(op, kwargs, shape=first, results=results, further_shapes=(second,))
    return Lowered((step,), results)


@layer("ops.Qr", takes_call=True)
def orthogonal(layer: Layer, *shapes: Shape) -> Lowered:
    """Return an orthogonal and a triangular factor; the reflections of both libraries have the same signs."""
    operation = Operation.of(layer, shapes, "x")
    operation.only("x")
    mode = text(operation.layer, "mode", "reduced")
    *before, rows, columns = shapes[0]
    if mode not in ("reduced", "complete") or rows is None or columns is None:
        raise refused(layer, f"mode {mode!r:.20} of {shapes[0]}, known sizes are needed")
    inner = rows if mode == "complete" else min(rows, columns)
    kwargs: dict[str, Plain] = {"mode": mode} if mode == "complete" else {}
    return _two("linalg.qr", kwargs, (*before, rows, inner), (*before, inner, columns))


@layer("ops.LuFactor", takes_call=True)
def triangles(layer: Layer, *shapes: Shape) -> Lowered:
    """Return both triangular factors in one matrix, and the order of its rows."""
    Operation.of(layer, shapes, "x").only("x")
    if len(shapes[0]) != 2:
        raise refused(layer, f"input {shapes[0]}, one matrix is needed")
    return _two("compat.lu_factor", {}, shapes[0], shapes[0][:1])


@layer("ops.Slogdet", takes_call=True)
def sign_and_logarithm(layer: Layer, *shapes: Shape) -> Lowered:
    """Return the sign of determinants and the logarithm of their size."""
    Operation.of(layer, shapes, "x").only("x")
    return _two("linalg.slogdet", {}, shapes[0][:-2], shapes[0][:-2])


@layer("ops.SVD", takes_call=True)
def singular_values(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the singular values of matrices; the vectors have signs that each library chooses for itself."""
    operation = Operation.of(layer, shapes, "x")
    operation.only("x")
    if flag(operation.layer, "compute_uv", default=True):
        raise unsupported(
            operation.layer,
            "compute_uv",
            needed="false: the signs of the vectors are chosen by each library for itself",
        )
    *before, rows, columns = shapes[0]
    inner = None if rows is None or columns is None else min(rows, columns)
    return [TorchStep("linalg.svdvals", shape=(*before, inner))]


@layer("ops.Logdet", takes_call=True)
def log_determinant(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the logarithm of the determinant of positive definite matrices."""
    Operation.of(layer, shapes, "x").only("x")
    return [TorchStep("compat.log_determinant", shape=shapes[0][:-2])]


@layer("ops.Pinv", takes_call=True)
def pseudo_inverse(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the inverse of what is not nearly 0 in a matrix."""
    operation = Operation.of(layer, shapes, "x")
    operation.only("x")
    rcond = optional_number(operation.layer, "rcond")
    kwargs: dict[str, Plain] = {} if rcond is None else {"rcond": rcond}
    shape = (*shapes[0][:-2], shapes[0][-1], shapes[0][-2])
    return [TorchStep("compat.pseudo_inverse", kwargs, shape=shape)]


@layer("ops.Cholesky", "ops.CholeskyInverse", takes_call=True)
def triangular_root(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the triangular root of positive definite matrices, or the inverse of what has this root."""
    operation = Operation.of(layer, shapes, "x")
    operation.only("x")
    kwargs: dict[str, Plain] = (
        {"upper": True} if flag(operation.layer, "upper", default=False) else {}
    )
    inverse = layer.class_name == "ops.CholeskyInverse"
    return [TorchStep("torch.cholesky_inverse" if inverse else "linalg.cholesky", kwargs)]


@layer("ops.MatrixRank", takes_call=True, numbers="whole")
def matrix_rank(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the rank of matrices."""
    operation = Operation.of(layer, shapes, "x")
    operation.only("x")
    bound = operation.settings.get("tol")
    kwargs: dict[str, Plain] = {} if bound is None else {"tol": number(operation.layer, "tol")}
    return [TorchStep("compat.matrix_rank", kwargs, shape=shapes[0][:-2])]


@layer("ops.Lstsq", "ops.SolveTriangular", takes_call=True)
def solution(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return x of a x = b, or the shortest x that comes nearest."""
    operation = Operation.of(layer, shapes, "a", "b")
    operation.only("a", "b")
    names = [operation.value("a"), operation.value("b")]
    a, b = operation.shape("a"), operation.shape("b")
    if layer.class_name == "ops.Lstsq":
        if len(a) != 2 or len(b) not in (1, 2):
            raise refused(layer, f"inputs {a} and {b}, one matrix is needed")
        rcond = optional_number(operation.layer, "rcond")
        kwargs: dict[str, Plain] = {} if rcond is None else {"rcond": rcond}
        operation.result("compat.least_squares", kwargs, of=names, shape=(a[1], *b[1:]))
        return operation.steps
    lower = flag(operation.layer, "lower", default=False)
    if len(b) not in (len(a), len(a) - 1):
        raise refused(layer, f"inputs {a} and {b}")
    shape = b if len(b) < len(a) else (*broadcast(layer, [a[:-2], b[:-2]]), *b[-2:])
    operation.result("compat.solve_triangle", {"lower": lower}, of=names, shape=shape)
    return operation.steps


@layer("ops.Vander", takes_call=True)
def power_columns(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the powers of every element in a row, the highest first unless `increasing`."""
    operation = Operation.of(layer, shapes, "x")
    operation.only("x")
    given = operation.settings.get("N")
    count = shapes[0][0] if given is None else integer(operation.layer, "N")
    increasing = flag(operation.layer, "increasing", default=False)
    kwargs: dict[str, Plain] = {"increasing": True} if increasing else {}
    kwargs |= {} if given is None else {"count": count}
    return [TorchStep("compat.power_columns", kwargs, shape=(*shapes[0], count))]
