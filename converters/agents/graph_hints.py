"""What the graph beside a checkpoint says of a policy: its activations, strides, and the shapes of what it takes.

Only names, operations and attributes of nodes are looked at.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from converters.readers.tensorflow.graph_def import GraphFile

ACTIVATIONS: Mapping[str, str] = {
    "Relu": "relu",
    "Tanh": "tanh",
    "Elu": "elu",
    "Selu": "selu",
    "Sigmoid": "sigmoid",
    "LeakyRelu": "leaky_relu",
    "Relu6": "relu6",
    "Softplus": "softplus",
    "Softsign": "softsign",
}
"""Operation to the function that makes it."""


@dataclass(frozen=True, slots=True)
class GraphHints:
    """Facts of a graph.

    Attributes:
        activations: scope to the activations right in it, in stored order.
        convolutions: scope of a convolution to its stride and padding.
        placeholders: name to shape (None: open) and type.
    """

    activations: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    convolutions: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    placeholders: Mapping[str, tuple[tuple[int | None, ...], str]] = field(default_factory=dict)

    def activation(self, *scopes: str) -> str | None:
        """Return the only activation in the first of these scopes that has one; None: there is none, or several."""
        for scope in scopes:
            found = set(self.activations.get(scope, ()))
            if found:
                return found.pop() if len(found) == 1 else None
        return None


def read_hints(graph: GraphFile) -> GraphHints:
    """Return what the nodes of a graph say."""
    activations: dict[str, list[str]] = {}
    convolutions: dict[str, tuple[int, str]] = {}
    placeholders: dict[str, tuple[tuple[int | None, ...], str]] = {}
    for name, node in graph.nodes.items():
        scope, _, last = name.rpartition("/")
        kind = re.sub(r"_\d+$", "", last)
        if node.op in ACTIVATIONS and kind == node.op:
            activations.setdefault(scope, []).append(ACTIVATIONS[node.op])
        elif node.op == "Conv2D":
            strides = node.attributes.integers("strides")
            if len(strides) == 4 and strides[1] == strides[2]:
                convolutions[scope] = strides[1], node.attributes.text("padding")
        elif node.op == "Placeholder":
            shape = node.attributes.shape("shape")
            if shape is not None:
                placeholders[name] = shape, node.attributes.dtype("dtype")
    found = {scope: tuple(names) for scope, names in activations.items()}
    return GraphHints(found, convolutions, placeholders)
