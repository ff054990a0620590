"""Normalization layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from converters.errors import UnsupportedError
from converters.graph import Layer
from converters.layers.keras1_layers import normalization_mode
from converters.lowering.masking import masks_of
from converters.registry import Example, Lowered, Param, Plain, Shape, TorchStep, Weight, layer
from converters.settings import flag, integer, integers, number, text, unsupported

_RENORM = {
    "running_stddev": "moving_stddev",
    "renorm_mean": "renorm_mean",
    "renorm_stddev": "renorm_stddev",
}
"""Further statistics of batch renormalization, by torch's name for them."""


def _renormalizes(config: Mapping[str, object]) -> bool:
    return config.get("renorm") is True


@layer(
    "BatchNormalization",
    weights=(
        Weight("gamma", when="scale"),
        Weight("beta", when="center"),
        Weight("moving_mean", trainable=False),
        Weight("moving_variance", trainable=False),
        *(Weight(role, when=_renormalizes, trainable=False) for role in _RENORM.values()),
    ),
    examples=(
        Example({}, ((6,),)),
        Example({"scale": False, "momentum": 0.9, "epsilon": 1e-5}, ((6,),)),
        Example({"center": False}, ((5, 3),)),
        Example({"axis": 1}, ((5, 3),)),
        Example({"renorm": True, "renorm_momentum": 0.7, "axis": 1, "center": False}, ((5, 3),)),
        Example(
            {
                "renorm": True,
                "renorm_clipping": {"rmin": 0.5, "rmax": 2.0, "dmax": 0.3},
                "scale": False,
            },
            ((6,),),
        ),
        Example({}, ((5, 3),), masked=(0,)),
    ),
    mask="use",
)
def batch_normalization(layer: Layer, *shapes: Shape) -> list[TorchStep] | Lowered:
    """Return Keras's batch normalization: epsilon 1e-3, momentum of the old value, biased moving variance."""
    if layer.config.get("mode", 0) != 0:
        return normalization_mode(layer, shapes[0])
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
    if layer.config.get("virtual_batch_size") is not None:
        raise unsupported(layer, "virtual_batch_size", needed="null")
    kwargs |= _moving(layer, shapes[0], axis)
    names = {"weight": ("gamma", scale), "bias": ("beta", center)}
    params = [
        Param(name, role, "c -> c", (size,)) for name, (role, there) in names.items() if there
    ]
    buffers = {"running_mean": "moving_mean", "running_var": "moving_variance"}
    params += [Param(name, role, "c -> c", (size,)) for name, role in buffers.items()]
    if _renormalizes(layer.config):
        return [_renorm_step(layer, kwargs, params)]
    step = TorchStep("compat.BatchNorm", kwargs, tuple(params))
    return _with_masked_statistics(layer, step, shapes[0])


def _moving(layer: Layer, shape: Shape, axis: int) -> dict[str, Plain]:
    """Return how statistics move, where it is not as in Keras 3 (converters.configuration.keras2)."""
    kwargs: dict[str, Plain] = {}
    variance = text(layer, "moving_variance", "biased")
    rank, fused_ranks = len(shape), layer.config.get("fused_ranks")
    if isinstance(fused_ranks, tuple) and rank in fused_ranks:
        if variance == "keras2" and axis % rank == rank - 1:
            variance = "keras2 unbiased"
        elif variance == "biased" and axis % rank in (1, rank - 1):
            variance = "unbiased"
    if variance != "biased":
        kwargs["variance"] = variance
    if layer.config.get("moving_average") == "debiased" and "training_iterations" in layer.config:
        kwargs["debiased_updates"] = integer(layer, "training_iterations")
    if not layer.trainable:
        frozen = text(layer, "statistics_when_frozen", "used")
        if frozen in ("used", "used or kept"):
            kwargs["frozen"] = True
        elif frozen == "kept":
            kwargs["moves"] = False
    return kwargs


def _renorm_step(layer: Layer, kwargs: Mapping[str, Plain], params: Sequence[Param]) -> TorchStep:
    """Return `compat.BatchRenorm`, which moves its statistics in one way only."""
    if masks_of(layer).of_input() is not None:
        msg = f"layer '{layer.name}' (BatchNormalization): renorm with a mask; no rule for that"
        raise UnsupportedError(msg)
    clipping = layer.config.get("renorm_clipping") or {}
    if not isinstance(clipping, Mapping) or not set(clipping) <= {"rmin", "rmax", "dmax"}:
        raise unsupported(layer, "renorm_clipping", needed="numbers for rmin, rmax and dmax")
    bounds = replace(layer, config=clipping)
    others = {
        key: kwargs[key] for key in kwargs if key not in ("variance", "debiased_updates", "moves")
    }
    return TorchStep(
        "compat.BatchRenorm",
        {
            **others,
            "renorm_momentum": number(layer, "renorm_momentum", 0.99),
            **{key: number(bounds, key) for key in clipping if clipping[key] is not None},
        },
        (
            *params,
            *(Param(name, role, "c -> c", params[0].shape) for name, role in _RENORM.items()),
        ),
    )


def _with_masked_statistics(
    layer: Layer, step: TorchStep, shape: Shape
) -> list[TorchStep] | Lowered:
    """Return the step, with a mask if one reaches the layer; it goes on behind."""
    masks = masks_of(layer)
    mask = masks.of_input()
    if mask is None:
        return [step]
    if len(masks.shapes[mask]) != len(shape) - 1:
        msg = (
            f"layer '{layer.name}' (BatchNormalization): its mask {masks.shapes[mask]} needs one axis less than "
            f"its input {shape}"
        )
        raise UnsupportedError(msg)
    masked = replace(
        step, op="compat.MaskedBatchNorm", inputs=("input_0", mask), results=("normalized",)
    )
    return Lowered((masked,), ("normalized",), masks=(mask,))


def _has_scale(config: Mapping[str, object]) -> bool:
    return bool(config.get("scale", True) or config.get("rms_scaling"))


def _has_center(config: Mapping[str, object]) -> bool:
    return bool(config.get("center", True)) and not config.get("rms_scaling")


def _stored_axes(layer: Layer, shape: Shape) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the normalized axes counted from the front, and the weight's sizes as stored.

    Keras sorts the axes as they were written, so that (-1, 1) stores the last axis first; tf.keras left them.
    """
    written = list(integers(layer, "axis") if "axis" in layer.config else (-1,))
    if not flag(layer, "axes_as_written", default=False):
        written.sort()
    sizes = tuple(shape[axis] for axis in written)
    if None in sizes:
        raise unsupported(layer, "axis", needed="axes of fixed size")
    return tuple(axis % len(shape) for axis in written), tuple(size or 0 for size in sizes)


@layer(
    "LayerNormalization",
    weights=(Weight("gamma", when=_has_scale), Weight("beta", when=_has_center)),
    examples=(
        Example({}, ((6,),)),
        Example({"center": False, "epsilon": 1e-5}, ((5, 4),)),
        Example({"scale": False, "center": False}, ((6,),)),
        Example({"axis": [1, 2]}, ((5, 4),)),
        Example({"axis": 1}, ((5, 4),)),
        Example({"axis": [1, 3]}, ((3, 4, 2),)),
        Example({"axis": [-1, 1]}, ((3, 4, 2),)),
        Example({"scale": False}, ((6,),)),
        Example({"rms_scaling": True}, ((6,),)),
    ),
    mask="pass",
)
def layer_normalization(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return `nn.LayerNorm` with Keras's epsilon (1e-3; torch's is 1e-5), or ours where torch's has no such form."""
    rank = len(shapes[0])
    axes, sizes = _stored_axes(layer, shapes[0])
    scale, center = _has_scale(layer.config), _has_center(layer.config)
    keep_mean = flag(layer, "rms_scaling", default=False)
    names = " ".join("abcdef"[: len(sizes)])
    roles = {"weight": ("gamma", scale), "bias": ("beta", center)}
    params = tuple(
        Param(name, role, f"{names} -> {names}", sizes)
        for name, (role, there) in roles.items()
        if there
    )
    epsilon = number(layer, "epsilon", 1e-3)
    last = axes == tuple(range(rank - len(axes), rank))
    if not last or keep_mean or (center and not scale):
        kwargs: dict[str, Plain] = {"shape": sizes, "axes": axes, "eps": epsilon}
        kwargs |= {} if scale else {"scale": False}
        kwargs |= {} if center else {"center": False}
        kwargs |= {"keep_mean": True} if keep_mean else {}
        return [TorchStep("compat.LayerNorm", kwargs, params)]
    kwargs = {"normalized_shape": sizes, "eps": epsilon}
    if not scale:
        kwargs["elementwise_affine"] = False
    elif not center:
        kwargs["bias"] = False
    return [TorchStep("nn.LayerNorm", kwargs, params)]


@layer(
    "RMSNormalization",
    weights=(Weight("scale"),),
    examples=(
        Example({}, ((6,),)),
        Example({"axis": [1, 2], "epsilon": 1e-3}, ((5, 4),)),
        Example({"axis": 1}, ((4, 4),)),
    ),
)
def rms_normalization(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return `nn.RMSNorm`, or ours for other axes than the last."""
    rank = len(shapes[0])
    axes, sizes = _stored_axes(layer, shapes[0])
    names = " ".join("abcdef"[: len(sizes)])
    params = (Param("weight", "scale", f"{names} -> {names}", sizes),)
    epsilon = number(layer, "epsilon", 1e-6)
    if axes == tuple(range(rank - len(axes), rank)):
        return [TorchStep("nn.RMSNorm", {"normalized_shape": sizes, "eps": epsilon}, params)]
    return [TorchStep("compat.RMSNorm", {"shape": sizes, "axes": axes, "eps": epsilon}, params)]


@layer(
    "GroupNormalization",
    weights=(Weight("gamma", when="scale"), Weight("beta", when="center")),
    examples=(
        Example({"groups": 2}, ((6,),)),
        Example({"groups": 2}, ((5, 6),)),
        Example({"groups": -1, "center": False}, ((3, 4, 2),)),
        Example({"groups": 2, "axis": 1, "epsilon": 1e-5}, ((4, 5),)),
        Example({"groups": 3, "axis": 2, "scale": False}, ((2, 6, 3),)),
    ),
    mask="pass",
)
def group_normalization(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return `nn.GroupNorm` where the channels lie on axis 1, ours elsewhere."""
    rank, axis = len(shapes[0]), integer(layer, "axis", -1)
    channels = shapes[0][axis]
    groups = integer(layer, "groups", 32)
    if channels is None or groups == 0 or channels % groups:
        raise unsupported(layer, "groups", needed=f"a divisor of the {channels} channels")
    groups = channels if groups == -1 else groups
    scale, center = flag(layer, "scale", default=True), flag(layer, "center", default=True)
    names = {"weight": ("gamma", scale), "bias": ("beta", center)}
    params = tuple(
        Param(name, role, "c -> c", (channels,)) for name, (role, there) in names.items() if there
    )
    epsilon = number(layer, "epsilon", 1e-3)
    if axis % rank == 1 and scale == center:
        kwargs: dict[str, Plain] = {
            "num_groups": groups,
            "num_channels": channels,
            "eps": epsilon,
        }
        kwargs |= {} if scale else {"affine": False}
        return [TorchStep("nn.GroupNorm", kwargs, params)]
    kwargs = {"groups": groups, "channels": channels, "axis": axis, "eps": epsilon}
    kwargs |= {} if scale else {"scale": False}
    kwargs |= {} if center else {"center": False}
    return [TorchStep("compat.GroupNorm", kwargs, params)]


@layer(
    "UnitNormalization",
    examples=(Example({}, ((6,),)), Example({"axis": [1, 2]}, ((5, 4),))),
    mask="pass",
)
def unit_normalization(layer: Layer, *_shapes: Shape) -> list[TorchStep]:
    """Return x divided by its Euclidean length."""
    axes = integers(layer, "axis") if "axis" in layer.config else (-1,)
    return [TorchStep("compat.unit_length", {"dim": axes})]
