"""Nodes in an order in which they can be computed."""

from __future__ import annotations

from collections.abc import Mapping

from converters.errors import UnsupportedError
from converters.tensorflow_graphs.flatten import FlatNode

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
