"""Layers, and modes of a layer, that only Keras 1 had."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from converters.graph import Layer
from converters.layers.activations import activation_steps
from converters.registry import Lowered, Param, Plain, Shape, TorchStep, Weight, layer
from converters.settings import flag, integer, integers, number, unsupported


@layer("MaxoutDense", weights=(Weight("kernel"), Weight("bias", when="use_bias")))
def maxout_dense(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the largest of several products, element by element."""
    (size,), units = shapes[0][1:], integer(layer, "units")
    pieces, bias = integer(layer, "nb_feature", 4), flag(layer, "use_bias", default=True)
    params = [Param("weight", "kernel", "piece in out -> piece in out", (pieces, size, units))]
    kwargs: dict[str, Plain] = {"in_features": size or 0, "out_features": units, "pieces": pieces}
    if bias:
        params.append(Param("bias", "bias", "piece out -> piece out", (pieces, units)))
    else:
        kwargs["bias"] = False
    return [TorchStep("compat.MaxoutDense", kwargs, tuple(params), shape=(shapes[0][0], units))]


@layer(
    "Highway",
    weights=(
        Weight("kernel"),
        Weight("W_carry"),
        Weight("bias", when="use_bias"),
        Weight("b_carry", when="use_bias"),
    ),
)
def highway(layer: Layer, *shapes: Shape) -> Lowered:
    """Return two linear layers, one of which tells how much of the other is taken and how much of the input."""
    size = shapes[0][-1]
    bias = flag(layer, "use_bias", default=True)
    linear: dict[str, Plain] = {"in_features": size or 0, "out_features": size or 0}
    linear |= {} if bias else {"bias": False}
    steps = []
    for name, kernel, shift in (
        ("gate", "W_carry", "b_carry"),
        ("transform", "kernel", "bias"),
    ):
        params = [Param("weight", kernel, "in out -> out in", (size, size))]
        params += [Param("bias", shift, "out -> out", (size,))] if bias else []
        steps.append(
            TorchStep(
                "nn.Linear",
                linear,
                tuple(params),
                suffix=name,
                inputs=("input_0",),
                results=(f"{name}_0",),
            )
        )
    steps.append(TorchStep("torch.sigmoid", inputs=("gate_0",), results=("gate_1",)))
    transformed = "transform_0"
    for number_, step in enumerate(activation_steps(layer, layer.config.get("activation")), 1):
        name = f"transform_{number_}"
        steps.append(
            TorchStep(step.op, step.kwargs, step.params, inputs=(transformed,), results=(name,))
        )
        transformed = name
    taken = ("input_0", transformed, "gate_1")
    steps.append(TorchStep("compat.carry", inputs=taken, results=("y",)))
    return Lowered(tuple(steps), ("y",))


@layer("Merge", mask="end")
def cosine_merge(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the cosine between two vectors; the other modes of `Merge` are layers of their own today."""
    if len(shapes) != 2 or any(len(shape) != 2 for shape in shapes):
        raise unsupported(layer, "mode", needed="cos of two vectors")
    return [TorchStep("compat.cosine_merge", shape=(shapes[0][0], 1, 1))]


def _slopes(layer: Layer, shape: Shape, op: str, names: Mapping[str, str]) -> list[TorchStep]:
    """Return a module with weights for every position of one sample, 1 along shared axes."""
    shared = integers(layer, "shared_axes") if layer.config.get("shared_axes") else ()
    sizes = tuple(1 if axis in shared else size for axis, size in enumerate(shape))[1:]
    if None in sizes:
        raise unsupported(layer, "shared_axes", needed="all axes of free size")
    axes = " ".join("abcdef"[: len(sizes)])
    params = [Param(name, role, f"{axes} -> {axes}", sizes) for name, role in names.items()]
    return [TorchStep(op, {"shape": tuple(size or 0 for size in sizes)}, tuple(params))]


_SRELU = {"left": "t_left", "left_slope": "a_left", "distance": "t_right", "right_slope": "a_right"}
_SOFTPLUS = {"alpha": "alphas", "beta": "betas"}


@layer("SReLU", weights=[Weight(role) for role in _SRELU.values()], mask="pass")
def srelu(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the S-shaped rectified linear unit."""
    (step,) = _slopes(layer, shapes[0], "compat.SReLU", _SRELU)
    clipped = layer.config.get("theano_clips") is True
    return [replace(step, kwargs={**step.kwargs, "is_clipped": True}) if clipped else step]


@layer("ParametricSoftplus", weights=[Weight(role) for role in _SOFTPLUS.values()], mask="pass")
def parametric_softplus(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return alphas * softplus(betas * x)."""
    return _slopes(layer, shapes[0], "compat.ParametricSoftplus", _SOFTPLUS)


def normalization_mode(layer: Layer, shape: Shape) -> list[TorchStep]:
    """Return what Keras 1 made of `BatchNormalization(mode=1)`, of each sample, and `mode=2`, of each batch."""
    axis, mode = integer(layer, "axis", -1), integer(layer, "mode")
    size = shape[axis]
    kwargs: dict[str, Plain] = {"num_features": size or 0, "eps": number(layer, "epsilon", 1e-3)}
    if mode == 2 and axis not in (-1, len(shape) - 1):
        kwargs["axis"] = axis
    elif mode not in (1, 2) or axis % len(shape) != len(shape) - 1:
        raise unsupported(layer, "mode", needed="0, 1 with the last axis, or 2")
    params = {"weight": "gamma", "bias": "beta"}
    params |= {"running_mean": "moving_mean", "running_var": "moving_variance"}
    op = {1: "compat.SampleNorm", 2: "compat.BatchStatisticsNorm"}[mode]
    return [
        TorchStep(
            op, kwargs, tuple(Param(n, role, "c -> c", (size,)) for n, role in params.items())
        )
    ]
