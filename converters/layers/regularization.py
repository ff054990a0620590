"""Layers that only act in training."""

from __future__ import annotations

from converters.graph import Layer
from converters.registry import Example, Shape, TorchStep, layer
from converters.settings import number, unsupported


@layer("Dropout", examples=(Example({"rate": 0.3}, ((6,),)),), random_in_training=True)
def dropout(layer: Layer, *_shapes: Shape) -> list[TorchStep]:
    """Return `nn.Dropout`: both frameworks scale the kept values by 1 / (1 - rate)."""
    if layer.config.get("noise_shape") is not None:
        raise unsupported(layer, "noise_shape", needed="null")
    return [TorchStep("nn.Dropout", {"p": number(layer, "rate")})]
