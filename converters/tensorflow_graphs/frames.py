"""Loops of TensorFlow 1 (`Enter`, `Merge`, `Switch`, `NextIteration`, `Exit`) as one node each, like `While` of TensorFlow 2.

The node takes the loop's variables at the start and whatever its condition and body use from outside; its results are the
variables at the end. Loops inside of loops are refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from converters.errors import UnsupportedError
from converters.tensorflow_graphs.flatten import INPUT, FlatGraph, FlatNode
from converters.tensorflow_graphs.values import Ref

LOOP = "_Loop"
MAX_LOOPS = 1000
"""Each is looked for in all of the graph."""
_MERGES, _SWITCHES = ("Merge", "RefMerge"), ("Switch", "RefSwitch")


@dataclass(frozen=True, slots=True)
class LoopParts:
    """Condition and body of a loop as graphs of their own.

    Attributes:
        condition: what says whether it goes on, from the variables.
        goes_on: its result.
        body: one turn.
        results: the variables after it.
        variables: nodes in both that stand for the variables, in order.
        outside: values from outside, which have their own names in both.
    """

    condition: FlatGraph
    goes_on: Ref
    body: FlatGraph
    results: tuple[Ref, ...]
    variables: tuple[str, ...]
    outside: tuple[Ref, ...]


def join_loops(flat: FlatGraph) -> FlatGraph:
    """Return the graph with every loop as one node.

    Raises:
        UnsupportedError: A loop lies in a loop, or is not closed.
    """
    conditions = [node for node in flat.values() if node.op == "LoopCond"]
    if len(conditions) > MAX_LOOPS:
        msg = f"the graph has {len(conditions):,} loops; at most {MAX_LOOPS:,} are followed"
        raise UnsupportedError(msg)
    for condition in conditions:
        flat = _joined(flat, condition)
    return flat


def _joined(flat: FlatGraph, condition: FlatNode) -> FlatGraph:
    switches = [
        node
        for node in flat.values()
        if node.op in _SWITCHES and len(node.inputs) > 1 and node.inputs[1][0] == condition.name
    ]
    merges = [flat[node.inputs[0][0]] for node in switches]
    # The condition also reads variables that no exit takes.
    merges += [node for node in _condition_merges(flat, condition) if node not in merges]
    nodes = [flat[name] for name in dict.fromkeys(node.name for node in merges)]
    starts, results = [], []
    by_merge = {node.inputs[0][0]: node for node in switches}
    for node in nodes:
        if node.op not in _MERGES or len(node.inputs) != 2:
            msg = f"the loop at {condition.name[:200]!r} is not one of TensorFlow's own"
            raise UnsupportedError(msg)
        first, second = (flat[name] for name, _ in node.inputs)
        start, back = (first, second) if second.op.endswith("NextIteration") else (second, first)
        if not start.op.endswith("Enter") or not back.op.endswith("NextIteration"):
            msg = f"the loop at {condition.name[:200]!r} is not closed, or lies in another one"
            raise UnsupportedError(msg)
        starts.append(start.inputs[0])
        results.append(back.inputs[0])
    names = tuple(f"{condition.name}/variable_{place}" for place in range(len(nodes)))
    inside: dict[Ref, Ref] = {}
    for name, node in zip(names, nodes, strict=True):
        inside[node.name, 0] = (name, 0)
        if node.name in by_merge:
            inside[by_merge[node.name].name, 1] = (name, 0)
    goes_on, first_part, outside = _part(flat, [condition.inputs[0]], inside, names)
    ends, body, more = _part(flat, results, inside, names)
    outside = tuple(dict.fromkeys((*outside, *more)))
    parts = LoopParts(first_part, goes_on[0], body, tuple(ends), names, outside)
    loop = FlatNode(
        f"{condition.name}/loop",
        LOOP,
        (*starts, *outside),
        condition.attributes,
        settings={"parts": parts},
    )
    places = {node.name: place for place, node in enumerate(nodes)}
    result = {}
    for node in flat.values():
        if node.op in ("Exit", "RefExit") and node.inputs[0][0] in {each.name for each in switches}:
            merge = flat[node.inputs[0][0]].inputs[0][0]
            result[node.name] = replace(node, op="Identity", inputs=((loop.name, places[merge]),))
        else:
            result[node.name] = node
    return {**result, loop.name: loop}


def _condition_merges(flat: FlatGraph, condition: FlatNode) -> list[FlatNode]:
    found, waiting, seen = [], [condition.inputs[0][0]], set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        node = flat[name]
        if node.op in _MERGES:
            found.append(node)
        elif not node.op.endswith("Enter"):
            waiting += [each for each, _ in node.inputs]
    return found


def _part(
    flat: FlatGraph, targets: Sequence[Ref], inside: dict[Ref, Ref], names: Sequence[str]
) -> tuple[list[Ref], FlatGraph, tuple[Ref, ...]]:
    """Return a part of a loop up to its variables, and the values it takes from outside."""
    part: FlatGraph = {name: FlatNode(name, INPUT) for name in names}
    outside: list[Ref] = []

    def settled(ref: Ref) -> Ref:
        for _ in range(len(flat)):
            if ref in inside:
                return inside[ref]
            node = flat[ref[0]]
            if node.op.endswith("Enter") and node.inputs:
                outside.append(node.inputs[0])
                source = node.inputs[0]
                part.setdefault(source[0], FlatNode(source[0], INPUT))
                return source
            if node.op != "Identity" or not node.inputs:
                return ref
            ref = node.inputs[0]
        return ref

    found = [settled(ref) for ref in targets]
    waiting = list(found)
    while waiting:
        name, _ = waiting.pop()
        if name in part:
            continue
        node = flat[name]
        if node.op.endswith(("NextIteration", "Exit", "LoopCond")) or node.op in _MERGES:
            msg = f"a loop holds {node.op} at {name[:200]!r}: loops and conditions in loops are not converted"
            raise UnsupportedError(msg)
        inputs = tuple(settled(ref) for ref in node.inputs)
        part[name] = replace(node, inputs=inputs, controls=())
        waiting += inputs
    return found, part, tuple(dict.fromkeys(outside))
