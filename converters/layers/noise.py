"""Layers that draw in training and return their input otherwise."""

from __future__ import annotations

from converters.graph import Layer
from converters.registry import Example, Plain, Shape, TorchStep, layer
from converters.settings import number, text, unsupported


@layer(
    "GaussianNoise",
    examples=(Example({"stddev": 0.3}, ((6,),)),),
    random_in_training=True,
    mask="pass",
)
def gaussian_noise(layer: Layer, *_shapes: Shape) -> list[TorchStep]:
    """Return x + normal(0, stddev)."""
    name = "stddev" if "stddev" in layer.config else "sigma"  # Keras 1
    return [TorchStep("compat.GaussianNoise", {"stddev": number(layer, name)})]


@layer(
    "GaussianDropout",
    examples=(Example({"rate": 0.3}, ((6,),)),),
    random_in_training=True,
    mask="pass",
)
def gaussian_dropout(layer: Layer, *_shapes: Shape) -> list[TorchStep]:
    """Return x * normal(1, sqrt(rate / (1 - rate)))."""
    return [TorchStep("compat.GaussianDropout", {"p": number(layer, "rate")})]


@layer(
    "AlphaDropout",
    examples=(
        Example({"rate": 0.3}, ((6,),)),
        Example({"rate": 0.3, "noise_shape": (None, 1, 4)}, ((5, 4),)),
    ),
    random_in_training=True,
    mask="pass",
)
def alpha_dropout(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return `nn.AlphaDropout`: dropped values become SELU's limit, then mean and variance are restored."""
    shared = shared_axes(layer, shapes[0])
    kwargs: dict[str, Plain] = {"p": number(layer, "rate")}
    if not shared:
        return [TorchStep("nn.AlphaDropout", kwargs)]
    return [TorchStep("compat.SharedAlphaDropout", {**kwargs, "axes": shared})]


def shared_axes(layer: Layer, shape: Shape) -> tuple[int, ...]:
    """Return the axes along which `noise_shape` gives all elements one draw.

    Raises:
        UnsupportedError: It has another rank, or sizes that are not the input's.
    """
    noise = layer.config.get("noise_shape")
    if noise is None:
        return ()
    needed = f"null, or 1 or the size for each axis of {shape}"
    if not isinstance(noise, (list, tuple)) or len(noise) != len(shape):
        raise unsupported(layer, "noise_shape", needed=needed)
    shared = []
    for axis, (drawn, size) in enumerate(zip(noise, shape, strict=True)):
        if drawn == 1 and size != 1:
            shared.append(axis)
        elif drawn not in (None, size) and axis:  # a batch that is stated goes by whatever comes
            raise unsupported(layer, "noise_shape", needed=needed)
    return tuple(shared)


@layer(
    "SpatialDropout1D",
    examples=(Example({"rate": 0.3}, ((5, 4),)),),
    random_in_training=True,
    mask="pass",
)
@layer(
    "SpatialDropout2D",
    examples=(
        Example({"rate": 0.3}, ((3, 4, 2),)),
        Example({"rate": 0.3, "data_format": "channels_first"}, ((2, 3, 4),)),
    ),
    random_in_training=True,
    mask="pass",
)
@layer(
    "SpatialDropout3D",
    examples=(Example({"rate": 0.3}, ((3, 4, 2, 2),)),),
    random_in_training=True,
    mask="pass",
)
def spatial_dropout(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return dropout of whole channels; torch's own needs them on axis 1."""
    rank = len(shapes[0])
    first = text(layer, "data_format", "channels_last") == "channels_first"
    axes = tuple(range(2, rank)) if first else tuple(range(1, rank - 1))
    name = "rate" if "rate" in layer.config else "p"  # Keras 1
    return [TorchStep("compat.SharedDropout", {"p": number(layer, name), "axes": axes})]
