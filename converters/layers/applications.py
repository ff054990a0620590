"""Layers that Keras has for its own networks only: those of ConvNeXt and InceptionResNetV2."""

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


@layer("CustomScaleLayer", examples=(Example({"scale": 0.17}, ((3, 5, 4), (3, 5, 4))),))
def scaled_residual(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the first input plus the second times `scale`."""
    scaled = TorchStep(
        "operator.mul",
        {"right": number(layer, "scale")},
        shape=shapes[1],
        inputs=("input_1",),
        results=("scaled",),
    )
    return [scaled, TorchStep("operator.add", shape=shapes[0], inputs=("input_0", "scaled"))]
