"""Nodes in an order in which they can be computed, and who takes what they give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from converters.errors import UnsupportedError
from converters.tensorflow_graphs.flatten import FlatGraph, FlatNode
from converters.tensorflow_graphs.values import Ref

_BACK = ("NextIteration", "RefNextIteration")


def in_order(flat: Mapping[str, FlatNode], *, loops: bool = False) -> list[FlatNode]:
    """Return the nodes, each after what it takes; inputs that are not in `flat` are not asked for.

    Args:
        flat: part of a graph, by name.
        loops: whether a loop may go back to its start; the way back is not followed then.

    Raises:
        UnsupportedError: The graph goes in a circle.
    """
    result: list[FlatNode] = []
    state: dict[str, bool] = {}  # False: its inputs are being looked at; True: done
    for start in flat:
        stack = [start]
        while stack:
            name = stack[-1]
            node = flat[name]
            if state.get(name):
                stack.pop()
                continue
            if name in state:
                state[name] = True
                result.append(node)
                stack.pop()
                continue
            state[name] = False
            inputs = (*node.inputs, *node.controls)
            if loops and node.op in ("Merge", "RefMerge"):
                inputs = tuple(
                    ref for ref in inputs if ref[0] in flat and flat[ref[0]].op not in _BACK
                )
            for each, _ in reversed(inputs):
                if each not in flat or state.get(each):
                    continue
                if each in state:
                    msg = f"the graph goes in a circle at node {each[:200]!r}"
                    raise UnsupportedError(msg)
                stack.append(each)
    return result


def consumers(flat: FlatGraph, targets: Sequence[Ref]) -> dict[Ref, list[str]]:
    """Return the nodes that take each result; a target has one more, ""."""
    found: dict[Ref, list[str]] = {ref: [""] for ref in targets}
    for node in flat.values():
        for ref in node.inputs:
            found.setdefault(ref, []).append(node.name)
    return found
