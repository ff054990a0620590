"""Layers that Keras trains in float8: a kernel in full precision, and the scales that it is rounded with."""

from __future__ import annotations

from collections.abc import Mapping

from converters.graph import Layer
from converters.layers.activations import activation_steps
from converters.layers.dense import bias_shape, einsum_sizes
from converters.registry import Param, Plain, Shape, TorchStep, Weight, layer
from converters.settings import flag, integer, text, unsupported

_SCALES = {
    "input": "inputs",
    "weight": "kernel",
    "gradient": "outputs_grad",
}
"""What has a scale and a history, by torch's name for it."""
_STORED = tuple(
    Weight(role, trainable=False)
    for name in _SCALES.values()
    for role in (f"{name}_scale", f"{name}_amax_history")
)


def _has_bias(config: Mapping[str, object]) -> bool:
    return config.get("bias_axes") is not None


@layer(
    "Float8Dense",
    weights=(Weight("kernel"), Weight("bias", when="use_bias"), *_STORED),
    mask="pass",
)
def float8_dense(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return a product over the last axis."""
    size, units = shapes[0][-1] or 0, integer(layer, "units")
    bias = (units,) if flag(layer, "use_bias", default=True) else None
    shape = (*shapes[0][:-1], units)
    return _steps(layer, "...a,ab->...b", (size, units), bias, shape)


@layer("Float8EinsumDense", weights=(Weight("kernel"), Weight("bias", when=_has_bias), *_STORED))
def float8_einsum_dense(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return an einsum."""
    equation = text(layer, "equation", "").replace(" ", "")
    taken, _, given = equation.partition("->")
    left, _, kernel = taken.partition(",")
    sizes, shape = einsum_sizes(layer, left, given, shapes[0])
    kernel_shape = tuple(sizes[name] or 0 for name in kernel)
    if 0 in kernel_shape:
        raise unsupported(layer, "equation", needed="a kernel of fixed size")
    bias = bias_shape(layer, given, sizes, len(shape)) if _has_bias(layer.config) else None
    return _steps(layer, equation, kernel_shape, bias, shape)


def _steps(
    layer: Layer,
    equation: str,
    kernel: tuple[int, ...],
    bias: tuple[int, ...] | None,
    shape: Shape,
) -> list[TorchStep]:
    history = integer(layer, "amax_history_length", 1024)
    kwargs: dict[str, Plain] = {"equation": equation, "kernel_shape": kernel}
    params = [Param("weight", "kernel", _unchanged(len(kernel)), kernel)]
    if bias is not None:
        kwargs["bias_shape"] = bias
        params.append(Param("bias", "bias", _unchanged(len(bias)), bias))
    if history != 1024:
        kwargs["history"] = history
    for name, source in _SCALES.items():
        params.append(Param(f"{name}_scale", f"{source}_scale", " -> ", ()))
        params.append(Param(f"{name}_history", f"{source}_amax_history", _unchanged(1), (history,)))
    step = TorchStep("compat.Float8EinsumDense", kwargs, tuple(params), shape=shape)
    return [step, *activation_steps(layer, layer.config.get("activation"))]


def _unchanged(rank: int) -> str:
    names = " ".join("abcdefgh"[:rank])
    return f"{names} -> {names}"
