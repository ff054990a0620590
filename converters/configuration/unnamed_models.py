"""Names of models inside a Sequential whose configuration does not say them.

Keras 1 and 2.0 to 2.2.2 stored a Sequential as the bare list of its layers (keras 2.0.8, models.py,
`Sequential.get_config`): a Sequential inside another lost its name there. A file of weights lists the names of the
outer model's layers in the same order.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

from converters.graph import Call, Graph, Layer, TensorRef


def number_unnamed(layers: Sequence[Layer]) -> list[Layer]:
    """Return the layers with different names: "sequential", "sequential_1" where the configuration says none."""
    known = {layer.name for layer in layers if layer.is_named}
    result = []
    for layer in layers:
        if not layer.is_named and layer.name in known:
            free = (f"{layer.name}_{number}" for number in itertools.count(1))
            layer = replace(layer, name=next(name for name in free if name not in known))
        known.add(layer.name)
        result.append(layer)
    return result


def name_unnamed(graph: Graph, stored: Sequence[str]) -> Graph:
    """Return the model with its unnamed layers called as in the file.

    Args:
        graph: of which only the layers at the top may be without a name.
        stored: the names of all layers at the top, in order. A model is left as it is where any other name differs.
    """
    if all(layer.is_named for layer in graph.layers):
        return graph
    # The input in front of a Sequential is ours unless the file lists it.
    own = [layer for layer in graph.layers if layer.class_name != "InputLayer"]
    listed = list(graph.layers) if len(stored) == len(graph.layers) else own
    fitting = len(listed) == len(stored) and all(
        layer.name == name or not layer.is_named for layer, name in zip(listed, stored, strict=True)
    )
    if not fitting:
        return graph
    names = dict(zip((layer.name for layer in listed), stored, strict=True))

    def renamed(ref: TensorRef) -> TensorRef:
        return replace(ref, layer=names.get(ref.layer, ref.layer))

    def moved(call: Call) -> Call:
        name = names.get(call.layer, call.layer)
        return replace(call, layer=name, inputs=tuple(map(renamed, call.inputs)))

    return replace(
        graph,
        layers=tuple(
            replace(layer, name=names.get(layer.name, layer.name)) for layer in graph.layers
        ),
        calls=tuple(map(moved, graph.calls)),
        outputs=tuple(map(renamed, graph.outputs)),
    )
