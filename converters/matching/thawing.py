"""Layers that are frozen by their configuration and train all the same: Keras 3 was given trainable=False too late."""

from __future__ import annotations

from dataclasses import replace

from converters.graph import Layer
from converters.matching.stored_quantization import HOLDERS

MADE_OF_LAYERS = (
    *HOLDERS,
    *("ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"),
)
"""Classes that hold layers which their configuration does not show."""


def thawed(layer: Layer) -> Layer:
    """Return a layer of Keras 3 that makes its own layers as it trains if it was made with trainable=False.

    What was frozen afterwards has the same configuration, and is frozen down to its variables.
    """
    if layer.graph is not None:
        layers = tuple(map(thawed, layer.graph.layers))
        return replace(layer, graph=replace(layer.graph, layers=layers))
    return replace(layer, trainable=True) if layer.class_name in MADE_OF_LAYERS else layer


def all_thawed(layer: Layer) -> Layer:
    """Return a layer with all that it holds as training.

    Keras 3.0 does not tell a layer's variables of trainable=False if that was said when it was made, and a model asks
    the variables alone (keras 3.0.5, layers/layer.py, `trainable_variables`).
    """
    if layer.graph is not None:
        layers = tuple(map(all_thawed, layer.graph.layers))
        layer = replace(layer, graph=replace(layer.graph, layers=layers))
    inner = {name: all_thawed(part) for name, part in layer.inner.items()}
    return replace(layer, trainable=True, inner=inner)
