"""A flat graph made smaller before it is translated: copies are followed, dropout goes, formulas become layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from converters.tensorflow_graphs.flatten import FlatGraph, FlatNode
from converters.tensorflow_graphs.ordering import in_order
from converters.tensorflow_graphs.values import AnyArray, Ref

COPIES = (
    *(
        "Identity",
        "_Switched",
        "Snapshot",
        "PreventGradient",
        "CheckNumerics",
        "RefIdentity",
        "Enter",
        "Exit",
    ),
    *("PlaceholderWithDefault", "ReadVariableOp", "EnsureShape", "IdentityN", "DisableCopyOnRead"),
    "Print",
    *("BroadcastGradientArgs", "StopGradient"),
)
"""Operations that give what they take; `StopGradient` only while a formula is recognised."""
_PLAIN_COPIES = COPIES[:-2]
_ADD, _MUL, _DIV = ("Add", "AddV2", "BiasAdd"), ("Mul",), ("RealDiv", "Div")
_DRAWS = ("RandomUniform", "StatelessRandomUniform", "StatelessRandomUniformV2")
_MASK_DEPTH = 6
"""Nodes between a dropout's mask and the numbers that are drawn for it."""
_VARIABLES = ("VariableV2", "Variable", "VarHandleOp", "Const")


def pruned(flat: FlatGraph, targets: Sequence[Ref]) -> FlatGraph:
    """Return what the targets need, in order of computation."""
    needed: set[str] = set()
    waiting = [name for name, _ in targets]
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting += [each for each, _ in flat[name].inputs]
    part = {name: replace(flat[name], controls=()) for name in flat if name in needed}
    return {node.name: node for node in in_order(part, loops=True)}


def without_copies(flat: FlatGraph, targets: Sequence[Ref]) -> tuple[FlatGraph, list[Ref]]:
    """Return the graph without nodes that give what they take, and where the targets are in it."""
    loops = {name for name, node in flat.items() if node.op == "LoopCond"}
    copies = [op for op in _PLAIN_COPIES if not loops or op not in ("Enter", "Exit")]
    found: dict[Ref, Ref] = {}

    def origin(ref: Ref) -> Ref:
        path = []
        while ref not in found:
            node = flat[ref[0]]
            if node.op not in copies or not node.inputs:
                found[ref] = ref
                break
            path.append(ref)
            ref = node.inputs[ref[1] if node.op == "IdentityN" else 0]
        for each in path:
            found[each] = found[ref]
        return found[ref]

    result = {
        name: replace(node, inputs=tuple(origin(ref) for ref in node.inputs))
        for name, node in flat.items()
    }
    moved = [origin(ref) for ref in targets]
    return pruned(result, moved), moved


class Formulas:
    """Looks at a flat graph as at a formula."""

    def __init__(self, flat: Mapping[str, FlatNode]) -> None:
        self.flat = flat

    def node(self, ref: Ref) -> FlatNode:
        """Return the node of a value, behind copies of it."""
        return self.flat[self.behind(ref)[0]]

    def behind(self, ref: Ref) -> Ref:
        """Return a value behind copies of it."""
        for _ in range(len(self.flat) + 1):
            node = self.flat[ref[0]]
            if node.op not in COPIES or not node.inputs:
                break
            ref = node.inputs[0]
        return ref

    def same(self, first: Ref, second: Ref) -> bool:
        """Tell whether two values are one."""
        return self.behind(first) == self.behind(second)

    def pairs(self, ref: Ref, ops: Sequence[str]) -> Iterator[tuple[Ref, Ref]]:
        """Yield the operands of an operation of two, in both orders; nothing if it is another one."""
        node = self.node(ref)
        if node.op in ops and len(node.inputs) == 2:
            first, second = node.inputs
            yield first, second
            yield second, first

    def constant(self, ref: Ref) -> AnyArray | None:
        """Return the numbers of a constant."""
        node = self.node(ref)
        found = node.attributes.tensor("value") if node.op == "Const" else None
        return found if isinstance(found, np.ndarray) else None

    def number(self, ref: Ref) -> float | None:
        """Return a constant of one number, as it was written: 0.001."""
        found = self.constant(ref)
        return float(str(found.reshape(())[()])) if found is not None and found.size == 1 else None

    def is_weight(self, ref: Ref) -> bool:
        """Tell whether a value comes from variables and constants alone, by moving numbers."""
        waiting, count = [ref], 0
        while waiting:
            node = self.node(waiting.pop())
            count += 1
            if node.op in ("Reshape", "ExpandDims", "Squeeze", "ConcatV2", "Transpose", "Cast"):
                waiting += node.inputs
            elif node.op not in _VARIABLES or count > 1000:
                return False
        return True


def replaced(flat: FlatGraph, targets: Sequence[Ref]) -> tuple[FlatGraph, list[Ref], list[str]]:
    """Return the graph with dropout removed and formulas of normalization as one node each, targets, and notes."""
    formulas = Formulas(flat)
    result: FlatGraph = {}
    dropped = []
    for name, node in flat.items():
        kept = dropout_input(formulas, node)
        if kept is not None:
            dropped.append(name)
            result[name] = replace(node, op="Identity", inputs=(kept,))
            continue
        result[name] = (
            batch_norm_formula(formulas, node) or layer_norm_formula(formulas, node) or node
        )
    notes = [f"dropout is left out, as at inference: {', '.join(dropped[:4])}"] if dropped else []
    found, moved = without_copies(result, targets)
    return found, moved, notes


def dropout_input(formulas: Formulas, node: FlatNode) -> Ref | None:
    """Return what a dropout takes, if the node is the last of one; all forms of TensorFlow 1.0 to 2.21."""
    if (
        node.op in ("Select", "SelectV2")
        and len(node.inputs) == 3
        and _draws(formulas, node.inputs[0])
    ):
        scaled = node.inputs[1]
        return _unscaled(formulas, scaled) if formulas.number(node.inputs[2]) == 0 else None
    if node.op != "Mul" or len(node.inputs) != 2:
        return None
    for scaled, mask in (node.inputs, node.inputs[::-1]):
        if formulas.node(mask).op in ("Floor", "Cast") and _draws(formulas, mask):
            return _unscaled(formulas, scaled)
    return None


def _draws(formulas: Formulas, ref: Ref) -> bool:
    waiting = [(ref, 0)]
    while waiting:
        each, depth = waiting.pop()
        node = formulas.node(each)
        if node.op in _DRAWS:
            return True
        if depth < _MASK_DEPTH and node.op in (
            "Floor",
            "Cast",
            "Add",
            "AddV2",
            "Sub",
            "Mul",
            "GreaterEqual",
        ):
            waiting += [(ref, depth + 1) for ref in node.inputs]
    return False


def _unscaled(formulas: Formulas, ref: Ref) -> Ref | None:
    """Return x of x / keep or x * scale."""
    node = formulas.node(ref)
    if node.op in _DIV or node.op in _MUL:
        sizes = [formulas.constant(each) for each in node.inputs]
        if node.op in _MUL and sizes[0] is not None and sizes[0].size == 1:
            return node.inputs[1]
        return node.inputs[0]
    return None


def batch_norm_formula(formulas: Formulas, node: FlatNode) -> FlatNode | None:
    """Return a node for tf.nn.batch_normalization: x * inv + (beta - mean * inv), inv = gamma / sqrt(variance + epsilon).

    With stored statistics it is batch normalization; with those of x itself, layer normalization (tf.contrib).
    """
    if node.op not in _ADD[:2] or len(node.inputs) != 2:
        return None
    for product, shift in (node.inputs, node.inputs[::-1]):
        for x, inverse in formulas.pairs(product, _MUL):
            gamma_variance = _inverse(formulas, inverse)
            if gamma_variance is None:
                continue
            beta_mean = _shift(formulas, shift, inverse)
            if beta_mean is not None:
                return _normalization(formulas, node, x, *gamma_variance, *beta_mean)
    return None


def _inverse(formulas: Formulas, ref: Ref) -> tuple[Ref | None, Ref, float] | None:
    """Return gamma, variance and epsilon of gamma * rsqrt(variance + epsilon)."""
    options: list[tuple[Ref | None, Ref]] = [(None, ref)]
    options += [(gamma, root) for root, gamma in formulas.pairs(ref, _MUL)]
    for gamma, root in options:
        node = formulas.node(root)
        if node.op == "Rsqrt":
            for variance, epsilon in formulas.pairs(node.inputs[0], _ADD):
                number = formulas.number(epsilon)
                if number is not None:
                    return gamma, variance, number
    return None


def _shift(formulas: Formulas, ref: Ref, inverse: Ref) -> tuple[Ref | None, Ref] | None:
    """Return beta and mean of beta - mean * inverse, or of -mean * inverse."""
    node = formulas.node(ref)
    if node.op == "Sub" and len(node.inputs) == 2:
        beta, product = node.inputs
        for mean, factor in formulas.pairs(product, _MUL):
            if formulas.same(factor, inverse):
                return beta, mean
    for negative, factor in formulas.pairs(ref, _MUL):
        inner = formulas.node(negative)
        if inner.op == "Neg" and formulas.same(factor, inverse):
            return None, inner.inputs[0]
    if node.op == "Neg" and node.inputs:
        for mean, factor in formulas.pairs(node.inputs[0], _MUL):
            if formulas.same(factor, inverse):
                return None, mean
    return None


def _normalization(
    formulas: Formulas,
    node: FlatNode,
    x: Ref,
    gamma: Ref | None,
    variance: Ref,
    epsilon: float,
    beta: Ref | None,
    mean: Ref,
) -> FlatNode | None:
    weights = {"gamma": gamma, "beta": beta}
    given = {role: ref for role, ref in weights.items() if ref is not None}
    if not all(formulas.is_weight(ref) for ref in given.values()):
        return None
    axes = moments_axes(formulas, x, mean, variance)
    if axes is not None:
        settings = {"epsilon": epsilon, "axes": axes, "roles": tuple(given)}
        return replace(node, op="_LayerNorm", inputs=(x, *given.values()), settings=settings)
    if not (formulas.is_weight(mean) and formulas.is_weight(variance)):
        return None
    if gamma is None or beta is None:
        return None  # plain arithmetic says it as well
    return replace(
        node,
        op="_BatchNorm",
        inputs=(x, gamma, beta, mean, variance),
        settings={"epsilon": epsilon},
    )


def moments_axes(formulas: Formulas, x: Ref, mean: Ref, variance: Ref) -> tuple[int, ...] | None:
    """Return the axes whose mean and variance two values are, None if they are something else."""
    means, spread = formulas.node(mean), formulas.node(variance)
    if means.op != "Mean" or spread.op != "Mean" or not formulas.same(means.inputs[0], x):
        return None
    squared = formulas.node(spread.inputs[0])
    difference = squared.inputs
    if squared.op == "Square":
        inner = formulas.node(squared.inputs[0])
        difference = inner.inputs if inner.op == "Sub" else ()
    elif squared.op != "SquaredDifference":
        return None
    if (
        len(difference) != 2
        or not formulas.same(difference[0], x)
        or not formulas.same(difference[1], mean)
    ):
        return None
    axes = [formulas.constant(each.inputs[1]) for each in (means, spread)]
    if axes[0] is None or axes[1] is None or axes[0].ravel().tolist() != axes[1].ravel().tolist():
        return None
    if not (means.attributes.flag("keep_dims") and spread.attributes.flag("keep_dims")):
        return None
    return tuple(int(axis) for axis in axes[0].ravel())


def layer_norm_formula(formulas: Formulas, node: FlatNode) -> FlatNode | None:
    """Return a node for (x - mean) / sqrt(variance + epsilon) * gamma + beta, as OpenAI's baselines write it."""
    if node.op not in _ADD[:2] or len(node.inputs) != 2:
        return None
    for product, beta in (node.inputs, node.inputs[::-1]):
        if not formulas.is_weight(beta):
            continue
        for quotient, gamma in formulas.pairs(product, _MUL):
            found = _standardized(formulas, quotient) if formulas.is_weight(gamma) else None
            if found is not None:
                x, axes, epsilon = found
                settings = {"epsilon": epsilon, "axes": axes, "roles": ("gamma", "beta")}
                return replace(node, op="_LayerNorm", inputs=(x, gamma, beta), settings=settings)
    return None


def _standardized(formulas: Formulas, ref: Ref) -> tuple[Ref, tuple[int, ...], float] | None:
    node = formulas.node(ref)
    if node.op not in _DIV:
        return None
    difference, root = (formulas.node(each) for each in node.inputs)
    if difference.op != "Sub" or root.op != "Sqrt":
        return None
    x, mean = difference.inputs
    for variance, epsilon in formulas.pairs(root.inputs[0], _ADD):
        number = formulas.number(epsilon)
        axes = moments_axes(formulas, x, mean, variance)
        if number is not None and axes is not None:
            return x, axes, number
    return None
