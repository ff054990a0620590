"""The order in which Keras 3 runs the calls of a graph. It shows where a layer takes the mask from a tensor.

MultiHeadAttention does that to its query, value and key (keras 3.15.1, layers/attention/multi_head_attention.py): what
runs after it and uses one of them sees no mask.
"""

from __future__ import annotations

from collections.abc import Sequence

from converters.graph import Call, Graph

TAKES_MASKS = "MultiHeadAttention"
"""The class that takes masks away."""
Place = tuple[str, int]
"""A call by its layer and how often that was called before."""


def depths(graph: Graph) -> dict[Place, int]:
    """Return how many calls lie between each call and an output, the longest way; Keras runs the deepest first.

    All calls of a shared layer count as far as the farthest before them. Source: keras 3.15.1, ops/function.py,
    `map_graph`.
    """
    found: dict[Place, int] = {}
    of_layer: dict[str, int] = {}
    for call in reversed(graph.calls):
        place = (call.layer, call.call)
        depth = max(found.get(place, 0), of_layer.get(call.layer, 0))
        found[place] = of_layer[call.layer] = depth
        for ref in call.inputs:
            before = (ref.layer, ref.call)
            found[before] = max(found.get(before, 0), depth + 1)
    return found


def in_order(graph: Graph) -> Sequence[Call]:
    """Return the calls in Keras's order if a layer among them takes masks away, else in the graph's."""
    if graph.generation < 3 or all(layer.class_name != TAKES_MASKS for layer in graph.layers):
        return graph.calls
    found = depths(graph)
    return sorted(graph.calls, key=lambda call: -found[call.layer, call.call])


def beside(graph: Graph, call: Call) -> list[Call]:
    """Return the calls at the same depth, which Keras runs before or after: it keeps them in a set."""
    found = depths(graph)
    place = (call.layer, call.call)
    return [
        other
        for other in graph.calls
        if (other.layer, other.call) != place and found[other.layer, other.call] == found[place]
    ]
