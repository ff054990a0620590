"""Layers that Keras has for its own networks only: those of ConvNeXt (keras.applications.convnext)."""

from __future__ import annotations

from converters.graph import Layer
from converters.registry import Example, Param, Shape, TorchStep, Weight, layer
from converters.settings import integer, number


@layer(
    "LayerScale",
    weights=(Weight("variable", formerly="gamma"),),  # Keras 3 leaves it unnamed
    examples=(Example({"init_values": 0.5, "projection_dim": 4}, ((3, 5, 4),)),),
)
def layer_scale(layer: Layer, *_shapes: Shape) -> list[TorchStep]:
    """Return x * gamma."""
    channels = integer(layer, "projection_dim")
    params = (Param("weight", "variable", "c -> c", (channels,)),)
    return [TorchStep("compat.ChannelScale", {"channels": channels}, params)]


@layer(
    "StochasticDepth",
    examples=(Example({"drop_path_rate": 0.3}, ((3, 5, 4),)),),
    random_in_training=True,
)
def stochastic_depth(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return dropout of whole samples; the kept are divided by 1 - rate."""
    axes = tuple(range(1, len(shapes[0])))
    return [TorchStep("compat.SharedDropout", {"p": number(layer, "drop_path_rate"), "axes": axes})]
