"""What batch normalization keeps of its running statistics in training, from the operations that update them.

`AssignSub(mean, (mean - batch mean) * decay)` keeps 1 - decay (tensorflow 1.15, python/training/moving_averages.py,
assign_moving_average). Where training is a placeholder, decay is 1 less a choice between the momentum and 1.
"""

from __future__ import annotations

import numpy as np

from converters.readers.tensorflow.graph_def import GraphFile, Node
from converters.tensorflow_graphs.updates import variable_behind
from converters.tensorflow_graphs.variables import VARIABLES, Variables

_SUBTRACTING = ("AssignSub", "AssignSubVariableOp")
_PASSING = ("Identity", "Switch", "RefSwitch", "Cast", "Merge", "Enter")
_MAX_HOPS = 8


def momenta(graph: GraphFile, variables: Variables) -> dict[str, float]:
    """Return how much of a running statistic an update keeps, by its name in the file."""
    found: dict[str, float] = {}
    for node in graph.nodes.values():
        if node.op not in _SUBTRACTING or len(node.inputs) < 2:
            continue
        name = variable_behind(graph, node.inputs[0])
        variable = graph.nodes.get(name)
        array = variables.array(name) if variable is not None and variable.op in VARIABLES else None
        momentum = None if array is None else _kept(graph, node)
        if array is not None and momentum is not None:
            found.setdefault(array.name, momentum)
    return found


def _kept(graph: GraphFile, node: Node) -> float | None:
    product = _node(graph, node.inputs[1])
    if product is None or product.op != "Mul" or len(product.inputs) < 2:
        return None
    difference, share = (_node(graph, text) for text in product.inputs[:2])
    if difference is None or difference.op != "Sub":
        return None
    kept = _share(graph, share)
    return None if kept is None or not 0 < kept < 1 else float(f"{kept:.7g}")


def _share(graph: GraphFile, node: Node | None) -> float | None:
    """Return 1 - decay, from decay or from 1 - momentum."""
    if node is None:
        return None
    if node.op == "Const":
        decay = _number(node)
        return None if decay is None else 1 - decay
    if node.op == "Sub" and len(node.inputs) >= 2:
        return _choice(graph, node.inputs[1])
    return None


def _choice(graph: GraphFile, text: str) -> float | None:
    """Return the one number below 1 among the constants that a value may be."""
    numbers, waiting = set(), [(text, 0)]
    while waiting:
        each, hops = waiting.pop()
        node = graph.nodes.get(each.removeprefix("^").partition(":")[0])
        if node is None or hops > _MAX_HOPS:
            continue
        number = _number(node) if node.op == "Const" else None
        if number is not None:
            numbers.add(number)
        elif node.op in _PASSING:
            waiting += [(name, hops + 1) for name in node.inputs if not name.startswith("^")]
    below = [number for number in numbers if number < 1]
    return below[0] if len(below) == 1 else None


def _number(node: Node) -> float | None:
    array = node.attributes.tensor("value")
    if not isinstance(array, np.ndarray) or array.size != 1 or array.dtype.kind != "f":
        return None
    return float(str(array.reshape(())[()]))


def _node(graph: GraphFile, text: str) -> Node | None:
    node = graph.nodes.get(text.partition(":")[0])
    for _ in range(_MAX_HOPS):
        if node is None or node.op not in _PASSING[:4] or not node.inputs:
            break
        node = graph.nodes.get(node.inputs[0].partition(":")[0])
    return node
