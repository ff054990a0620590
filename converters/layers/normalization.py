"""Normalization layers."""

from __future__ import annotations

from converters.errors import UnsupportedError
from converters.graph import Layer
from converters.registry import Example, Param, Plain, Shape, TorchStep, Weight, layer
from converters.settings import flag, integer, integers, number, text, unsupported


@layer(
    "BatchNormalization",
    weights=(
        Weight("gamma", when="scale"),
        Weight("beta", when="center"),
        Weight("moving_mean", trainable=False),
        Weight("moving_variance", trainable=False),
    ),
    examples=(
        Example({}, ((6,),)),
        Example({"scale": False, "momentum": 0.9, "epsilon": 1e-5}, ((6,),)),
        Example({"center": False}, ((5, 3),)),
        Example({"axis": 1}, ((5, 3),)),
    ),
)
def batch_normalization(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return Keras's batch normalization: epsilon 1e-3, momentum of the old value, biased moving variance."""
    axis = integer(layer, "axis", -1)
    size = shapes[0][axis]
    scale, center = flag(layer, "scale", default=True), flag(layer, "center", default=True)
    kwargs: dict[str, Plain] = {
        "num_features": size or 0,
        "eps": number(layer, "epsilon", 1e-3),
        "momentum": number(layer, "momentum", 0.99),
    }
    if axis not in (-1, len(shapes[0]) - 1):
        kwargs["axis"] = axis
    if not scale:
        kwargs["scale"] = False
    if not center:
        kwargs["center"] = False
    # Standalone Keras 2, see keras_config: how the statistics move, and the updates so far where they are known.
    variance = text(layer, "moving_variance", "biased")
    rank, fused_ranks = len(shapes[0]), layer.config.get("fused_ranks")
    if isinstance(fused_ranks, tuple) and rank in fused_ranks and axis % rank in (1, rank - 1):
        variance = "unbiased"
    if variance != "biased":
        kwargs["variance"] = variance
    if "moving_average" in layer.config and "training_iterations" in layer.config:
        kwargs["debiased_updates"] = integer(layer, "training_iterations")
    if not layer.trainable:
        kwargs["frozen"] = True
    names = {"weight": ("gamma", scale), "bias": ("beta", center)}
    params = [
        Param(name, role, "c -> c", (size,)) for name, (role, there) in names.items() if there
    ]
    buffers = {"running_mean": "moving_mean", "running_var": "moving_variance"}
    params += [Param(name, role, "c -> c", (size,)) for name, role in buffers.items()]
    return [TorchStep("compat.BatchNorm", kwargs, tuple(params))]


@layer(
    "LayerNormalization",
    weights=(Weight("gamma", when="scale"), Weight("beta", when="center")),
    examples=(
        Example({}, ((6,),)),
        Example({"center": False, "epsilon": 1e-5}, ((5, 4),)),
        Example({"scale": False, "center": False}, ((6,),)),
        Example({"axis": [1, 2]}, ((5, 4),)),
    ),
)
def layer_normalization(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return `nn.LayerNorm` with Keras's epsilon (1e-3; torch's is 1e-5)."""
    rank = len(shapes[0])
    axes = sorted(
        axis % rank for axis in (integers(layer, "axis") if "axis" in layer.config else (-1,))
    )
    sizes = tuple(shapes[0][axis] for axis in axes)
    if axes != list(range(rank - len(axes), rank)) or None in sizes:
        raise unsupported(layer, "axis", needed="the last axes, of fixed size")
    if layer.config.get("rms_scaling"):
        raise unsupported(layer, "rms_scaling", needed="false")
    scale, center = flag(layer, "scale", default=True), flag(layer, "center", default=True)
    if center and not scale:
        msg = f"layer '{layer.name}' (LayerNormalization): center without scale has no torch counterpart"
        raise UnsupportedError(msg)
    kwargs: dict[str, Plain] = {"normalized_shape": sizes, "eps": number(layer, "epsilon", 1e-3)}
    if not scale:
        kwargs["elementwise_affine"] = False
    elif not center:
        kwargs["bias"] = False
    axis_names = " ".join("abcdef"[: len(sizes)])
    names = {"weight": ("gamma", scale), "bias": ("beta", center)}
    params = [
        Param(name, role, f"{axis_names} -> {axis_names}", sizes)
        for name, (role, there) in names.items()
        if there
    ]
    return [TorchStep("nn.LayerNorm", kwargs, tuple(params))]
