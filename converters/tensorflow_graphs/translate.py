"""A flat graph translated node by node into layers and operations; everything without a rule is listed at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from converters.errors import ConversionError, MismatchError, UnsafeFileError, UnsupportedError
from converters.layers.operators.tensorflow_nodes import NODES
from converters.readers.tensorflow.graph_def import GraphFile
from converters.tensorflow_graphs import (  # noqa: F401  # they fill the table
    array_rules,
    block_cells,
    element_rules,
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
from converters.tensorflow_graphs.folding import FOLDED
from converters.tensorflow_graphs.ordering import consumers
from converters.tensorflow_graphs.rules import GRAPH_RULES, Translation, refused_node
from converters.tensorflow_graphs.simplify import COPIES
from converters.tensorflow_graphs.single_nodes import translate_node, value_of
from converters.tensorflow_graphs.values import Ref, Tensor, Weights
from converters.tensorflow_graphs.variables import VARIABLES

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


def _constants_first(flat: FlatGraph) -> list[FlatNode]:
    """Return the nodes, first those that depend on no input: a rule may ask for the bias that comes after it."""
    depends: set[str] = set()
    for node in flat.values():
        if node.op in (INPUT, "Placeholder") or any(name in depends for name, _ in node.inputs):
            depends.add(node.name)
    before = [node for node in flat.values() if node.name not in depends]
    return before + [node for node in flat.values() if node.name in depends]


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
