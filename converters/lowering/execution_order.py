"""The order in which Keras 3 runs the calls of a graph. It shows where a layer takes the mask from a tensor.

MultiHeadAttention does that to its query, value and key (keras 3.15.1, layers/attention/multi_head_attention.py): what
runs after it and uses one of them sees no mask.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from converters.graph import Call, Graph, TensorRef

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


@dataclass(frozen=True, slots=True)
class Order:
    """The calls of a graph as they are run.

    Attributes:
        calls: in Keras's order if a layer among them takes masks away, else in the graph's.
        depths: of every call, if a layer takes masks away.
        users: the calls at a depth that use a tensor, each with its position in the graph; likewise.
    """

    calls: Sequence[Call]
    depths: Mapping[Place, int] = field(default_factory=dict)
    users: Mapping[tuple[int, TensorRef], Sequence[tuple[int, Call]]] = field(default_factory=dict)


def execution_order(graph: Graph) -> Order:
    """Return the order of a graph's calls."""
    if graph.generation < 3 or all(layer.class_name != TAKES_MASKS for layer in graph.layers):
        return Order(graph.calls)
    found = depths(graph)
    users: dict[tuple[int, TensorRef], list[tuple[int, Call]]] = defaultdict(list)
    for position, call in enumerate(graph.calls):
        for ref in dict.fromkeys(call.inputs):
            users[found[call.layer, call.call], ref].append((position, call))
    calls = sorted(graph.calls, key=lambda call: -found[call.layer, call.call])
    return Order(calls, found, users)


def users_beside(
    order: Order, call: Call, tensors: Sequence[TensorRef], *, limit: int
) -> list[str]:
    """Return the first layers that use one of a call's tensors at its depth: Keras keeps those calls in a set."""
    place = (call.layer, call.call)
    depth = order.depths[place]
    found: dict[int, Call] = {}
    for ref in tensors:
        found.update(
            islice(order.users[depth, ref], limit + 1)
        )  # the call itself may be among them
    others = [found[position] for position in sorted(found)]
    return [other.layer for other in others if (other.layer, other.call) != place][:limit]
