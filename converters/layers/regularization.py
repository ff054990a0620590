"""Layers that only act in training."""

from __future__ import annotations

from converters.graph import Layer
from converters.layers.noise import shared_axes
from converters.registry import Example, Shape, TorchStep, layer
from converters.settings import number


@layer(
    "Dropout",
    examples=(
        Example({"rate": 0.3}, ((6,),)),
        Example({"rate": 0.3, "noise_shape": (None, 1, 4)}, ((5, 4),)),
    ),
    random_in_training=True,
    mask="pass",
)
def dropout(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return `nn.Dropout`: both frameworks scale the kept values by 1 / (1 - rate)."""
    axes = shared_axes(layer, shapes[0])
    if axes:
        return [TorchStep("compat.SharedDropout", {"p": number(layer, "rate"), "axes": axes})]
    return [TorchStep("nn.Dropout", {"p": number(layer, "rate")})]


@layer(
    "ActivityRegularization",
    examples=(Example({"l1": 0.1, "l2": 0.2}, ((6,),)),),
    mask="pass",
)
@layer("Identity", examples=(Example({}, ((6,),)),), mask="pass")
@layer("TFDIdentity", numbers="kept")  # of a FeatureSpace
def identity(_layer: Layer, *_shapes: Shape) -> list[TorchStep]:
    """Return nothing: the output is the input. A penalty on activities is part of the loss, not of the network."""
    return []
