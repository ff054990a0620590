"""Layers that Keras quantized with GPTQ or AWQ: a kernel of few bits with scales in groups of rows."""

from __future__ import annotations

from collections.abc import Mapping

from converters.graph import Layer
from converters.layers.activations import activation_steps
from converters.layers.dense import bias_shape, einsum_sizes
from converters.registry import Param, Plain, Shape, TorchStep, Weight, layer
from converters.settings import flag, integer, text, unsupported

PACKED_BITS = 4
"""Weights of 4 bits lie two in a byte, of 2, 3 and 8 bits one."""


def _scales_rows(config: Mapping[str, object]) -> bool:
    return config.get("quantization") == "awq"


def _has_bias(config: Mapping[str, object]) -> bool:
    return config.get("bias_axes") is not None


def _stored(bias: Weight, zero: str) -> tuple[Weight, ...]:
    """Return the weights in the order in which Keras stores them; `zero` is what the class calls its zeros."""
    return (
        bias,
        Weight("kernel", trainable=False),
        Weight("kernel_scale", trainable=False),
        Weight(zero, trainable=False),
        Weight("awq_scales", when=_scales_rows, trainable=False),
        Weight("g_idx", trainable=False),
    )


@layer(
    "CalibratedDense", weights=_stored(Weight("bias", when="use_bias"), "kernel_zero"), mask="pass"
)
def calibrated_dense(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return a product over the last axis."""
    size, units = shapes[0][-1] or 0, integer(layer, "units")
    bias = (units,) if flag(layer, "use_bias", default=True) else None
    shape = (*shapes[0][:-1], units)
    return _steps(layer, "...a,ab->...b", (size, units), size, bias, shape)


@layer("CalibratedEinsumDense", weights=_stored(Weight("bias", when=_has_bias), "zero_point"))
def calibrated_einsum_dense(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return an einsum.

    Raises:
        UnsupportedError: The kernel is none that Keras quantizes.
    """
    equation = text(layer, "equation", "").replace(" ", "")
    taken, _, given = equation.partition("->")
    left, _, kernel = taken.partition(",")
    sizes, shape = einsum_sizes(layer, left, given, shapes[0])
    kernel_shape = tuple(sizes[name] or 0 for name in kernel)
    if 0 in kernel_shape or len(kernel_shape) not in (2, 3):
        raise unsupported(layer, "equation", needed="a kernel of fixed size with 2 or 3 axes")
    # Which axes are the rows Keras decides by the largest, not by the equation (layers/core/einsum_dense.py, _gptq_build).
    first = len(kernel_shape) == 2 or kernel_shape.index(max(kernel_shape)) == 0
    rows = kernel_shape[0] if first else kernel_shape[0] * kernel_shape[1]
    bias = bias_shape(layer, given, sizes, len(shape)) if _has_bias(layer.config) else None
    return _steps(layer, equation, kernel_shape, rows, bias, shape)


def _steps(
    layer: Layer,
    equation: str,
    kernel: tuple[int, ...],
    rows: int,
    bias: tuple[int, ...] | None,
    shape: Shape,
) -> list[TorchStep]:
    zero = "zero_point" if layer.class_name == "CalibratedEinsumDense" else "kernel_zero"
    columns = 1
    for size in kernel:
        columns *= size
    columns //= rows or 1
    block = layer.config.get("block_size")
    groups = -(-rows // block) if isinstance(block, int) else 1
    packed = integer(layer, "bits") == PACKED_BITS
    kwargs: dict[str, Plain] = {
        "equation": equation, "kernel_shape": kernel, "columns": columns, "groups": groups
    }  # fmt: skip
    stored = ((columns + 1) // 2 if packed else columns, rows)
    params = []
    if bias is not None:
        kwargs["bias_shape"] = bias
        names = " ".join("abcdefgh"[: len(bias)])
        params.append(Param("bias", "bias", f"{names} -> {names}", bias))
    params += [
        Param("weight", "kernel", "a b -> a b", stored),
        Param("scale", "kernel_scale", "a b -> a b", (columns, groups)),
        Param("zero", zero, "a b -> a b", (columns, groups)),
        Param("group", "g_idx", "a -> a", (rows,)),
    ]
    if not packed:
        kwargs["packed"] = False
    if _scales_rows(layer.config):
        kwargs["scales_rows"] = True
        params.append(Param("row_scale", "awq_scales", "a -> a", (rows,)))
    step = TorchStep("compat.CalibratedEinsumDense", kwargs, tuple(params), shape=shape)
    return [step, *activation_steps(layer, layer.config.get("activation"))]
