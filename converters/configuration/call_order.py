"""The calls of a functional configuration: which call a reference means, and in what order they can be computed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence

from converters.configuration.call_nodes import Node
from converters.errors import UnreadableFileError
from converters.graph import Call, TensorRef


def call_offsets(
    calls: Sequence[tuple[str, int, Node]], references: Iterable[TensorRef]
) -> dict[str, int]:
    """Return by how much references to a layer's calls are shifted.

    A nested model was called once when it was made; some generations count that call, so references to it start at 1.
    """
    counts = Counter(name for name, _, _ in calls)
    last: dict[str, int] = {}
    for ref in references:
        last[ref.layer] = max(last.get(ref.layer, 0), ref.call)
    return {name: 1 for name, index in last.items() if name in counts and index >= counts[name]}


def output_offsets(
    calls: Sequence[tuple[str, int, Node]],
    outputs: Sequence[TensorRef],
    functional: Container[str],
) -> dict[str, int]:
    """Return by how much the outputs of a Keras 3 model are shifted; there, inputs of calls start at 0 whatever they name.

    Source: keras 3.15.1, models/functional.py: `get_config` begins at 1 for a functional model among the layers, for
    the call of its own making, and `serialize_node` counts the calls within the outer model only.
    """
    counted = {ref.layer for ref in outputs if ref.layer in functional}
    counted -= {ref.layer for ref in outputs if ref.call == 0}
    return call_offsets(calls, outputs) | dict.fromkeys(counted, 1)


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
