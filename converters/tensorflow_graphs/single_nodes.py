"""One node of a graph translated: folded, done to weights when they are read, by its rule, or by the table of operations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from converters.errors import UnsupportedError
from converters.layers.operators.tensorflow_nodes import NODES
from converters.registry import nearest
from converters.tensorflow_graphs.builder import GraphBuilder
from converters.tensorflow_graphs.flatten import FlatNode
from converters.tensorflow_graphs.folding import NotFolded, fold
from converters.tensorflow_graphs.neutral import without_effect
from converters.tensorflow_graphs.rules import GRAPH_RULES, Translation, refused_node
from converters.tensorflow_graphs.sizes import Stand
from converters.tensorflow_graphs.values import (
    Filled,
    Known,
    Ref,
    Sizes,
    Tensor,
    Value,
    Weights,
    plain_numbers,
)
from converters.tensorflow_graphs.variables import VARIABLES
from converters.tensorflow_graphs.weights import moved_weights

_BOOLEAN = (
    *("Greater", "GreaterEqual", "Less", "LessEqual", "Equal", "NotEqual"),
    *("Isfinite", "Isinf", "Isnan"),
)


def value_of(translation: Translation, ref: Ref) -> Value:
    """Return a result that was translated. Raises UnsupportedError if it was not."""
    value = translation.values.get(ref)
    if value is None:
        msg = f"node {ref[0][:200]!r} has no result {ref[1]} that is converted"
        raise UnsupportedError(msg)
    return value


def translate_node(node: FlatNode, translation: Translation) -> None:
    """Put the results of one node among the values.

    Raises:
        UnsupportedError: No rule, or one that refuses it.
    """
    if node.name in translation.biased:
        source = translation.biased[node.name]
        translation.values[node.name, 0] = value_of(translation, (source, 0))
        return
    found = _results(node, [value_of(translation, ref) for ref in node.inputs], translation)
    results = found if isinstance(found, (list, tuple)) else [found]
    for index, value in enumerate(results):
        translation.values.setdefault((node.name, index), value)


def _results(
    node: FlatNode, inputs: Sequence[Value], translation: Translation
) -> Value | Sequence[Value]:
    if node.op == "Const":
        found = node.attributes.tensor("value")
        if not isinstance(found, np.ndarray):
            raise refused_node(node, "a constant that holds no numbers")
        written = len(node.attributes.raw["value"])
        if any(found.strides) and found.nbytes > written:  # the last number stands for the rest
            translation.builder.count_made((found.nbytes - written) // found.itemsize, node.name)
        return Known(found, node.name)
    if node.op in VARIABLES:
        return translation.variables(node)
    folded = _folded(node, inputs, translation.builder)
    if folded is not None:
        return folded
    moved = moved_weights(node, inputs)
    if moved is not None:
        return moved
    unchanged = without_effect(node.op, inputs)
    if unchanged is not None:
        return unchanged
    rule = GRAPH_RULES.get(node.op)
    if rule is not None:
        return rule(node, inputs, translation)
    return _by_table(node, inputs, translation)


def _folded(node: FlatNode, inputs: Sequence[Value], builder: GraphBuilder) -> Value | None:
    """Return what constants and sizes come to; None if it is computed from something else."""
    if not inputs or not all(isinstance(value, (Known, Sizes)) for value in inputs):
        return None
    stand = Stand(inputs, builder.row_of)
    try:
        results = [
            fold(node.op, node.attributes, [stand.numbers(value, sentinel) for value in inputs])
            for sentinel in stand.sentinels
        ]
    except NotFolded:
        return None
    given = [value.array for value in inputs if isinstance(value, Known)]
    if not any(np.may_share_memory(results[0], array) for array in given):
        builder.count_made(results[0].size, node.name)
    return stand.meaning(results, node.name)


def _by_table(
    node: FlatNode, inputs: Sequence[Value], translation: Translation
) -> Value | Sequence[Value]:
    """Return what the operation of Keras 3 gives that computes the same."""
    if node.op not in NODES:
        msg = f"node {node.name[:200]!r} ({node.op}): no rule for this operation{nearest(node.op, [*NODES, *GRAPH_RULES])}"
        raise UnsupportedError(msg)
    entry = NODES[node.op]
    if node.op == "BiasAdd" and node.attributes.text("data_format") == "NCHW":
        raise refused_node(node, "adds to channels in front")
    names = entry.inputs
    given: list[object] = [_operand(value, inputs) for value in inputs]
    arguments: dict[str, object]
    if names[0].startswith("*"):
        behind = len(names) - 1
        rest = inputs[len(inputs) - behind :] if behind else []
        arguments = {names[0][1:]: tuple(inputs[: len(inputs) - behind])}
        arguments |= {key: _plain(value) for key, value in zip(names[1:], rest, strict=True)}
    else:
        tensors = [
            index
            for index, name in enumerate(names)
            if name in ("x", "x1", "x2", "inputs", "indices", "condition")
        ]
        arguments = {
            name: given[index] if index in tensors else _plain(inputs[index])
            for index, name in enumerate(names[: len(inputs)])
        }
    for key, argument in entry.attributes.items():
        if key in node.attributes:
            arguments[argument] = _attribute(node, key)
    found = translation.operation(node, entry.operation, _tensors(arguments, node, translation))
    boolean = entry.operation in _BOOLEAN or entry.operation.startswith("Logical")
    return [Tensor(each.ref, each.shape, "bool") for each in found] if boolean else list(found)


def _tensors(
    arguments: dict[str, object], node: FlatNode, translation: Translation
) -> dict[str, object]:
    """Return the arguments with at least one tensor among them: what is a number alone becomes one."""
    flat = [
        value
        for each in arguments.values()
        for value in (each if isinstance(each, tuple) else (each,))
    ]
    if any(isinstance(value, Tensor) for value in flat):
        return arguments
    for key, value in arguments.items():
        if isinstance(value, (Weights, Known, Filled, Sizes)):
            return {**arguments, key: translation.tensor(node, value)}
    raise refused_node(
        node, "a number that is only known when the network runs (a size of the batch)"
    )


def _operand(value: Value, inputs: Sequence[Value]) -> object:
    """Return an operand: for a shape full of one number that number, if the other operand has the shape."""
    if isinstance(value, Filled):
        if any(isinstance(other, Tensor) and _covers(other, value) for other in inputs):
            return Known(np.array(value.value, value.dtype))
        return value
    return value


def _covers(tensor: Tensor, value: Filled) -> bool:
    """Tell whether a tensor has all axes of a shape at least in full size."""
    shape = value.shape or ()
    if len(shape) > len(tensor.shape):
        return False
    pairs = zip(reversed(tensor.shape), reversed(shape), strict=False)
    return all(mine == theirs or theirs == 1 for mine, theirs in pairs)


def _plain(value: Value) -> object:
    """Return numbers that are settings: one, or nested tuples."""
    if not isinstance(value, Known):
        msg = f"a setting is computed ({type(value).__name__}); a constant is needed"
        raise UnsupportedError(msg)
    return plain_numbers(value.array)


def _attribute(node: FlatNode, key: str) -> object:
    attributes = node.attributes
    dtype = attributes.dtype(key)
    if dtype:
        return dtype
    listed = attributes.integers(key)
    if listed:
        return listed
    if key in ("axis", "num", "num_split"):
        return attributes.integer(key)
    if key == "alpha":
        return float(str(np.float32(attributes.number(key))))
    return attributes.flag(key)
