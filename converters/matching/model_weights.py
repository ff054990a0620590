"""The layers of a model with their paths, and the weights that each of them has by its configuration."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from converters.graph import Graph, Layer
from converters.matching.stored_quantization import HOLDERS, PARTS
from converters.registry import Weight, find_layer_rule

Path = tuple[str, ...]
"""Names of the nested models down to a layer: ("encoder", "dense")."""


def leaves(graph: Graph, prefix: Path = ()) -> Iterable[tuple[Path, Layer]]:
    """Return every layer that is not a nested model, with its path, in configuration order; shared ones once."""
    return dict(all_leaves(graph, prefix)).items()


def all_leaves(graph: Graph, prefix: Path) -> Iterable[tuple[Path, Layer]]:
    """Yield the same, and shared layers for each model that has them."""
    for layer in graph.layers:
        path = layer.path_in(prefix)
        if layer.graph is not None:
            yield from all_leaves(layer.graph, path)
        else:
            yield path, layer


def stored_weights(layer: Layer) -> tuple[Weight, ...]:
    """Return the weights the configuration says the file has for a layer."""
    if layer.class_name == "InputLayer":
        return ()
    own = find_layer_rule(layer.class_name).stored_weights(layer)
    return own + tuple(
        replace(
            weight,
            role=f"{name}/{weight.role}",
            trainable=weight.trainable and inner.trainable,
            place=f"{PARTS[name]}/{index}" if layer.class_name in HOLDERS else weight.place,
        )
        for name, inner in layer.inner.items()
        for index, weight in enumerate(stored_weights(inner))
    )
