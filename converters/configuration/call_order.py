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
    """Return the calls in an order that can be computed: as stored, those that have to wait in further rounds.

    Raises:
        UnreadableFileError: Some wait for themselves, or for what is not there.
    """
    ready = {(name, 0) for name in sources}
    takers: dict[tuple[str, int], list[int]] = {}
    missing = []
    for place, call in enumerate(calls):
        needed = {(ref.layer, ref.call) for ref in call.inputs} - ready
        missing.append(len(needed))
        for each in needed:
            takers.setdefault(each, []).append(place)
    rounds = [0] * len(calls)
    done = [place for place, count in enumerate(missing) if not count]
    for place in done:  # which grows meanwhile
        for taker in takers.pop((calls[place].layer, calls[place].call), ()):
            rounds[taker] = max(rounds[taker], rounds[place] + (taker < place))
            missing[taker] -= 1
            if not missing[taker]:
                done.append(taker)
    if len(done) < len(calls):
        waiting = [f"'{call.layer}'" for call, count in zip(calls, missing, strict=True) if count]
        stuck = ", ".join(waiting[:5])
        msg = f"the graph has a cycle or a missing layer; cannot be computed: {stuck}"
        raise UnreadableFileError(msg)
    return [calls[place] for place in sorted(done, key=lambda place: (rounds[place], place))]
