"""A flat graph translated node by node into layers and operations; everything without a rule is listed at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from converters.errors import ConversionError, MismatchError, UnsafeFileError, UnsupportedError
from converters.layers.operators.tensorflow_nodes import NODES
from converters.readers.tensorflow.graph_def import GraphFile
from converters.registry import nearest
from converters.tensorflow_graphs import (  # noqa: F401  # they fill the table
    array_rules,
    block_cells,
    fused_layer_norm,
    gather_rules,
    image_rules,
    layer_rules,
    loops,
    matrix_rules,
    normalization_rules,
    reshape_rules,
    scatter_rules,
)
from converters.tensorflow_graphs.builder import GraphBuilder
from converters.tensorflow_graphs.flatten import INPUT, FlatGraph, FlatNode
from converters.tensorflow_graphs.folding import FOLDED, NotFolded, fold
from converters.tensorflow_graphs.neutral import without_effect
from converters.tensorflow_graphs.rules import GRAPH_RULES, Translation, refused_node
from converters.tensorflow_graphs.simplify import COPIES
from converters.tensorflow_graphs.sizes import Stand
from converters.tensorflow_graphs.values import (
    Filled,
    Known,
    Ref,
    Sizes,
    Tensor,
    Value,
    Weights,
)
from converters.tensorflow_graphs.weights import moved_weights

VARIABLES = ("VariableV2", "Variable", "VarHandleOp")
_MAX_LISTED = 12
REFUSED_NODES = frozenset(
    {
        "Multinomial",
        *(name for name in GRAPH_RULES if "Random" in name or "Normal" in name),
    }
)
"""Operations whose rule says why they are refused."""
_NONSENSE = (LookupError, ValueError, TypeError, ArithmeticError, AttributeError)


def graph_operations() -> set[str]:
    """Return the operations of TensorFlow that a graph may consist of."""
    own = {name for name in (*NODES, *GRAPH_RULES) if not name.startswith("_")}
    return (
        (own | {*VARIABLES, *COPIES, "Const", "Placeholder", *FOLDED})
        - {"_Switched"}
        - REFUSED_NODES
    )


def translate(
    flat: FlatGraph,
    targets: Sequence[Ref],
    *,
    graph: GraphFile,
    builder: GraphBuilder,
    variables: Callable[[FlatNode], Weights],
    inputs: Mapping[Ref, Tensor],
    names: Mapping[Ref, str],
    momenta: Mapping[str, float],
) -> tuple[list[Tensor], list[str]]:
    """Return the targets as tensors of the builder's graph, and notes.

    Args:
        flat: in order of computation.
        targets: results that are wanted.
        graph: the file's, for functions.
        builder: takes the layers.
        variables: what a variable's node stands for.
        inputs: where the network begins.
        names: what some results are called.
        momenta: what an update keeps of running statistics, by their names in the file.

    Raises:
        UnsupportedError: Operations without a rule or with settings that have no counterpart; all are listed.
        UnsafeFileError: Constants that together make more numbers than a file may ask for.
    """
    translation = Translation(
        builder,
        graph,
        dict(inputs),
        consumers(flat, targets),
        variables,
        dict(flat),
        names=dict(names),
        momenta=momenta,
    )
    problems: list[tuple[FlatNode, ConversionError]] = []
    failed: set[str] = set()
    for node in _constants_first(flat):
        if node.name in translation.done or (node.name, 0) in translation.values:
            continue
        if any(name in failed for name, _ in node.inputs):
            failed.add(node.name)
            continue
        try:
            translate_node(node, translation)
        except UnsafeFileError:
            raise
        except ConversionError as error:
            # Without the frames, which would keep the arrays in them.
            problems.append((node, error.with_traceback(None)))
            failed.add(node.name)
        except _NONSENSE:
            # Rules trust that inputs fit an operation, as TensorFlow saw to; an edited file need not.
            problems.append(
                (node, MismatchError(str(refused_node(node, "its settings and inputs do not fit"))))
            )
            failed.add(node.name)
    if problems:
        raise _joined(problems)
    return [
        translation.builder.tensor(value_of(translation, ref), ref[0]) for ref in targets
    ], translation.notes


def value_of(translation: Translation, ref: Ref) -> Value:
    """Return a result that was translated. Raises UnsupportedError if it was not."""
    value = translation.values.get(ref)
    if value is None:
        msg = f"node {ref[0][:200]!r} has no result {ref[1]} that is converted"
        raise UnsupportedError(msg)
    return value


def consumers(flat: FlatGraph, targets: Sequence[Ref]) -> dict[Ref, list[str]]:
    """Return the nodes that take each result; a target has one more, ""."""
    found: dict[Ref, list[str]] = {ref: [""] for ref in targets}
    for node in flat.values():
        for ref in node.inputs:
            found.setdefault(ref, []).append(node.name)
    return found


def _constants_first(flat: FlatGraph) -> list[FlatNode]:
    """Return the nodes, first those that depend on no input: a rule may ask for the bias that comes after it."""
    depends: set[str] = set()
    for node in flat.values():
        if node.op in (INPUT, "Placeholder") or any(name in depends for name, _ in node.inputs):
            depends.add(node.name)
    before = [node for node in flat.values() if node.name not in depends]
    return before + [node for node in flat.values() if node.name in depends]


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
    boolean = entry.operation in (
        "Greater",
        "GreaterEqual",
        "Less",
        "LessEqual",
        "Equal",
        "NotEqual",
        "Isfinite",
        "Isinf",
        "Isnan",
    ) or (entry.operation.startswith("Logical"))
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
    from converters.tensorflow_graphs.builder import plain_numbers

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


def _joined(problems: Sequence[tuple[FlatNode, ConversionError]]) -> ConversionError:
    """Return one error with what cannot be converted: operations with their number and first places."""
    if len(problems) == 1:
        error = problems[0][1]
        return type(error)(str(error), hint=error.hint)
    counts = Counter(node.op for node, _ in problems)
    lines = [str(error) for _, error in problems[:_MAX_LISTED]]
    if len(problems) > _MAX_LISTED:
        lines.append(f"... {len(problems) - _MAX_LISTED} more")
    summary = ", ".join(f"{count} {op}" for op, count in counts.most_common(8))
    listed = "\n  ".join(lines)
    msg = f"{len(problems)} nodes of the graph cannot be converted ({summary}):\n  {listed}"
    hints = {error.hint for _, error in problems}
    common = hints.pop() if len(hints) == 1 else None
    return UnsupportedError(msg, hint=common or "other outputs with --outputs may not need them")
