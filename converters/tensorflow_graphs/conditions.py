"""Conditions of TensorFlow 1 and 2 at inference: the branch that is taken stays, the other one goes.

`tf.cond` of TensorFlow 1 sends values through `Switch` and joins the branches with `Merge`. Which branch is taken follows
from constants, from defaults of placeholders, and from one rule: a placeholder of one true or false that is told apart
(is_training, update_ph) is false. Conditions that are computed stay: both branches are computed and one is chosen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from converters.readers.tensorflow.graph_def import GraphFile
from converters.tensorflow_graphs.flatten import CHOOSE, INPUT, FlatGraph, FlatNode
from converters.tensorflow_graphs.folding import NotFolded, fold
from converters.tensorflow_graphs.ordering import in_order
from converters.tensorflow_graphs.values import AnyArray, Ref

_SWITCHES = ("Switch", "RefSwitch")
_MERGES = ("Merge", "RefMerge")
_PASSING = (
    "Identity",
    "StopGradient",
    "Snapshot",
    "PreventGradient",
    "CheckNumerics",
    "RefIdentity",
)
_LIMIT = 4096
"""Nodes looked at for one condition."""
Conditions = Mapping[Ref, int]
"""For a value inside of branches: condition to which side of it, 0 or 1."""


@dataclass(slots=True)
class Predicates:
    """Values of conditions, worked out when they are asked for.

    Attributes:
        flat: the graph.
        graph: the file's, for the types of placeholders.
        assumed: names of placeholders that were taken for false, for the report.
    """

    flat: FlatGraph
    graph: GraphFile
    assumed: list[str] = field(default_factory=list)
    _known: dict[Ref, AnyArray | None] = field(default_factory=dict)

    def value(self, ref: Ref) -> bool | None:
        """Return whether a condition holds; None if that is only known when the network runs."""
        found = self._array(ref)
        return bool(found) if found is not None and found.size == 1 else None

    def _array(self, ref: Ref) -> AnyArray | None:
        order = _needed(self.flat, ref)
        for name in order:
            node = self.flat[name]
            if (name, 0) not in self._known:
                self._known[name, 0] = self._compute(node)
        return self._known.get((ref[0], 0)) if ref[1] == 0 or self._is_switch(ref) else None

    def _is_switch(self, ref: Ref) -> bool:
        return self.flat[ref[0]].op in _SWITCHES

    def _compute(self, node: FlatNode) -> AnyArray | None:
        if node.op == "Const":
            found = node.attributes.tensor("value")
            return found if isinstance(found, np.ndarray) and found.size <= _LIMIT else None
        if node.op in (INPUT, "Placeholder"):
            return self._assume(node)
        if node.op == "PlaceholderWithDefault" or node.op in _PASSING or node.op in _SWITCHES:
            return self._known.get((node.inputs[0][0], 0)) if node.inputs else None
        arrays = [self._known.get((name, 0)) for name, _ in node.inputs]
        if node.op in ("LogicalAnd", "LogicalOr"):
            # One side may decide: training and something that is computed.
            decided = [each for each in arrays if each is not None and each.size == 1]
            short = [each for each in decided if bool(each) == (node.op == "LogicalOr")]
            if short:
                return short[0]
        if any(array is None for array in arrays):
            return None
        try:
            return fold(node.op, node.attributes, [array for array in arrays if array is not None])
        except NotFolded:
            return None

    def _assume(self, node: FlatNode) -> AnyArray | None:
        tensor = node.settings.get("tensor", (node.name, 0))
        name = str(tensor[0]) if isinstance(tensor, tuple) else node.name
        stored = self.graph.nodes.get(name)
        if stored is None or stored.op not in ("Placeholder", "PlaceholderWithDefault"):
            return None
        if stored.op == "PlaceholderWithDefault" and stored.inputs:
            source = self.graph.nodes.get(stored.inputs[0].partition(":")[0])
            value = source.attributes.tensor("value") if source is not None else None
            if isinstance(value, np.ndarray) and value.size == 1 and value.dtype == bool:
                return value
        if stored.attributes.dtype("dtype") != "bool" or stored.attributes.shape("shape") not in (
            (),
            None,
        ):
            return None
        if name not in self.assumed:
            self.assumed.append(name)
        return np.array(False)


def _needed(flat: FlatGraph, ref: Ref) -> list[str]:
    """Return the nodes of one value, those it needs first; nothing if they are many or go in a circle."""
    found: list[str] = []
    waiting = [ref[0]]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if len(seen) > _LIMIT:
            return []
        found.append(name)
        waiting += [each for each, _ in flat[name].inputs]
    part = {name: flat[name] for name in found}
    return [node.name for node in in_order(part)]


def settle_conditions(flat: FlatGraph, graph: GraphFile) -> tuple[FlatGraph, list[str]]:
    """Return the graph without `Switch` and `Merge` of conditions, and the placeholders that were taken for false.

    Loops are left alone: what lies in one is not looked at.
    """
    predicates = Predicates(flat, graph)
    result: FlatGraph = {}
    sides: dict[str, Conditions] = {}
    for node in in_order(flat, loops=True):
        if node.op in _MERGES and not _in_loop(flat, node):
            sides[node.name], result[node.name] = _merged(node, sides, predicates)
            continue
        sides[node.name] = _joined(node, sides, flat)
        if node.op in _SWITCHES and not _of_loop(flat, node):
            result[node.name] = replace(node, op="_Switched", inputs=node.inputs[:1])
        elif node.op == CHOOSE:
            result[node.name] = _chosen(node, predicates)
        else:
            result[node.name] = node
    return result, predicates.assumed


def _chosen(node: FlatNode, predicates: Predicates) -> FlatNode:
    holds = predicates.value(node.inputs[0])
    if holds is None:
        return node
    return replace(node, op="Identity", inputs=(node.inputs[1 if holds else 2],))


def _of_loop(flat: FlatGraph, node: FlatNode) -> bool:
    """Tell whether a `Switch` is that of a loop: its condition is the loop's."""
    return len(node.inputs) > 1 and flat[node.inputs[1][0]].op == "LoopCond"


def _in_loop(flat: FlatGraph, node: FlatNode) -> bool:
    return any(flat[name].op in ("NextIteration", "RefNextIteration") for name, _ in node.inputs)


def _joined(node: FlatNode, sides: Mapping[str, Conditions], flat: FlatGraph) -> Conditions:
    """Return which branches a node lies in."""
    found: dict[Ref, int] = {}
    for name, index in (*node.inputs, *node.controls):
        found.update(sides.get(name, {}))
        source = flat[name]
        if source.op in _SWITCHES and len(source.inputs) > 1 and not _of_loop(flat, source):
            found[_condition(flat, source.inputs[1])] = index
    return found


def _condition(flat: FlatGraph, ref: Ref) -> Ref:
    """Return the condition behind copies of it, so that one condition has one name."""
    for _ in range(_LIMIT):
        node = flat[ref[0]]
        if node.op not in _PASSING or not node.inputs:
            break
        ref = node.inputs[0]
    return ref


def _merged(
    node: FlatNode, sides: Mapping[str, Conditions], predicates: Predicates
) -> tuple[Conditions, FlatNode]:
    """Return where a `Merge` lies, and what it becomes: the taken branch, or a choice."""
    found = []
    for name, index in node.inputs:
        inside = dict(sides.get(name, {}))
        source = predicates.flat[name]
        if source.op in _SWITCHES and len(source.inputs) > 1:
            inside[_condition(predicates.flat, source.inputs[1])] = index
        found.append(inside)
    if len(found) != 2:
        return {}, node
    differing = [key for key in found[0] if key in found[1] and found[0][key] != found[1][key]]
    shared = {key: side for key, side in found[0].items() if found[1].get(key) == side}
    if not differing:
        return shared, node
    condition = differing[-1]
    holds = predicates.value(condition)
    by_side = {found[place][condition]: node.inputs[place] for place in (0, 1)}
    if holds is None:
        chosen = (condition, by_side[1], by_side[0])
        return shared, replace(node, op=CHOOSE, inputs=chosen, controls=())
    return shared, replace(node, op="Identity", inputs=(by_side[int(holds)],), controls=())
