"""The calls of a functional configuration: which call a reference means, and in what order they can be computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from converters.configuration.call_nodes import Node
from converters.errors import UnreadableFileError
from converters.graph import Call, TensorRef


def call_offsets(
    calls: Sequence[tuple[str, int, Node]],
    outputs: Sequence[TensorRef],
) -> dict[str, int]:
    """Return by how much references to a layer's calls are shifted.

    A nested model was called once when it was made; some generations count that call, so references to it start at 1.
    """
    counts: dict[str, int] = {}
    for name, _, _ in calls:
        counts[name] = counts.get(name, 0) + 1
    used: dict[str, set[int]] = {}
    for ref in [*(ref for _, _, node in calls for ref in node.inputs), *outputs]:
        used.setdefault(ref.layer, set()).add(ref.call)
    return {
        name: 1 for name, indexes in used.items() if name in counts and max(indexes) >= counts[name]
    }


def shift_ref(ref: TensorRef, offsets: Mapping[str, int]) -> TensorRef:
    """Return a reference with the call that is meant."""
    return TensorRef(ref.layer, ref.call - offsets.get(ref.layer, 0), ref.index)


def sort_calls(calls: Sequence[Call], sources: set[str]) -> list[Call]:
    """Return the calls in an order that can be computed, otherwise as stored."""
    ready = {(name, 0) for name in sources}
    waiting, done = list(calls), []
    while waiting:
        rest = []
        for call in waiting:
            if all((ref.layer, ref.call) in ready for ref in call.inputs):
                ready.add((call.layer, call.call))
                done.append(call)
            else:
                rest.append(call)
        if len(rest) == len(waiting):
            stuck = ", ".join(f"'{call.layer}'" for call in rest[:5])
            msg = f"the graph has a cycle or a missing layer; cannot be computed: {stuck}"
            raise UnreadableFileError(msg)
        waiting = rest
    return done
