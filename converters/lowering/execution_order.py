"""The order in which Keras runs the calls of a graph. It shows where a layer takes the mask from a tensor, or moves on.

MultiHeadAttention does the first to its query, value and key (keras 3.15.1, layers/attention/multi_head_attention.py):
what runs after it and uses one of them sees no mask. A layer with statistics or states of its own that is called several
times does the second: what the later calls start from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from converters.graph import Call, Graph, Layer

TAKES_MASKS = "MultiHeadAttention"
"""The class that takes masks away."""
MOVING = ("BatchNormalization", "SpectralNormalization")
"""Classes with statistics that each call in training moves."""
Place = tuple[str, int]
"""A call by its layer and how often that was called before."""


def depths(graph: Graph) -> dict[Place, int]:
    """Return how many calls lie between each call and an output, the longest way; Keras runs the deepest first.

    All calls of a shared layer count as far as the farthest before them. Calls of the same depth are run in the order in
    which they stand here. Source: keras 3.15.1, ops/function.py, `map_graph`.
    """
    inputs = _inputs(graph)
    found: dict[Place, int] = {}
    of_layer: dict[str, int] = {}
    for place in reversed(_finished(graph, inputs)):
        depth = max(found.setdefault(place, 0), of_layer.get(place[0], 0))
        found[place] = of_layer[place[0]] = depth
        for before in inputs.get(place, ()):
            found[before] = max(found.get(before, 0), depth + 1)
    return found


def _inputs(graph: Graph) -> dict[Place, list[Place]]:
    """Return for every call those whose results it takes."""
    return {
        (call.layer, call.call): [(ref.layer, ref.call) for ref in call.inputs]
        for call in graph.calls
    }


def _finished(graph: Graph, inputs: Mapping[Place, Sequence[Place]]) -> list[Place]:
    """Return the calls as a search finishes them that goes from each output to what it is made of, the first input first."""
    order: list[Place] = []
    seen: set[Place] = set()
    ends = [(ref.layer, ref.call) for ref in graph.outputs]
    for end in (*ends, *inputs):  # calls that no output needs come last
        if end in seen:
            continue
        seen.add(end)
        stack = [(end, iter(inputs.get(end, ())))]
        while stack:
            place, left = stack[-1]
            before = next((each for each in left if each not in seen), None)
            if before is None:
                order.append(place)
                stack.pop()
            else:
                seen.add(before)
                stack.append((before, iter(inputs.get(before, ()))))
    return order


def execution_order(graph: Graph) -> Sequence[Call]:
    """Return a graph's calls: in Keras's order where it shows in what they compute, else in the graph's."""
    takes = graph.generation == 3 and any(layer.class_name == TAKES_MASKS for layer in graph.layers)
    again = {call.layer for call in graph.calls if call.call > 0}
    moves = graph.generation > 1 and any(
        layer.name in again and _moves(layer) for layer in graph.layers
    )
    if not takes and not moves:
        return graph.calls
    found = depths(graph)
    rank = {place: at for at, place in enumerate(sorted(found, key=lambda place: -found[place]))}
    return sorted(graph.calls, key=lambda call: rank[call.layer, call.call])


def _moves(layer: Layer) -> bool:
    """Return whether a layer, or one inside of it, is another after each call."""
    parts = [*layer.inner.values(), *(layer.graph.layers if layer.graph else ())]
    stateful = layer.config.get("stateful") is True
    return layer.class_name in MOVING or stateful or any(_moves(part) for part in parts)
