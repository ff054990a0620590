"""Weights of one model inside the weights of a larger one: keras-rl's NAF stores three networks in one file.

A file of weights has one entry for a model that was a layer; its arrays have the names of the layers inside. Where the
architecture is that inner model's, and nothing else in it is in the file, only this entry is meant.
"""

from __future__ import annotations

from dataclasses import replace

from converters.checkpoint import ArrayInfo, Checkpoint, LayerArrays
from converters.graph import Graph


def only_named_part(checkpoint: Checkpoint, graph: Graph) -> Checkpoint:
    """Return the checkpoint with the arrays of the model that the graph is named after; as it is, if it has none."""
    own = {layer.name for layer in graph.layers}
    filled = [entry for entry in checkpoint.layers if entry.arrays]
    parts = [entry for entry in filled if entry.path == graph.name]
    if len(parts) != 1 or graph.name in own or any(entry.path in own for entry in filled):
        return checkpoint
    inside: dict[str, dict[str, ArrayInfo]] = {}
    for key, array in parts[0].arrays.items():
        layer, _, role = key.rpartition("/")
        inside.setdefault(layer, {})[role] = array
    if not own.issuperset(inside):
        return checkpoint
    others = [
        array for entry in filled if entry.path != graph.name for array in entry.arrays.values()
    ]
    note = f"'{graph.name}' is one of {len(filled)} models in the file; the others are left out"
    return replace(
        checkpoint,
        layers=[LayerArrays(layer, layer, arrays) for layer, arrays in inside.items()],
        extras=[*checkpoint.extras, *others],
        notes=(*checkpoint.notes, note),
    )
