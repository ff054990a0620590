"""The projections of attention with quantized weights: Keras has einsums, the module one product of matrices each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from converters.graph import Layer
from converters.registry import Param, TorchStep, find_layer_rule

_STORED_AS = {"kernel_zero": "zero_point"}
"""What an EinsumDense calls what a Dense that GPTQ or AWQ quantized calls otherwise."""


def projection_axes(part: str, count: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of the axes that a projection's kernel sums over, and of the others.

    Args:
        part: "query", "key", "value", "gate" or "attention_output".
        count: of the axes of the attention's result, after those that are positions.
    """
    heads = ("head", "size")
    return (heads, tuple("abcdef"[:count])) if part == "attention_output" else (("in",), heads)


def merged(axes: Sequence[str]) -> str:
    """Return axes as one in a layout: "(head size)"."""
    return axes[0] if len(axes) == 1 else f"({' '.join(axes)})"


def quantized_projection(
    layer: Layer, sizes: Mapping[str, int], axes: tuple[tuple[str, ...], tuple[str, ...]], rank: int
) -> TorchStep:
    """Return a product of matrices, with every weight by its role in the einsum.

    Args:
        layer: the quantized EinsumDense.
        sizes: of the axes.
        axes: which the kernel sums over, and the others.
        rank: of the attention's inputs.
    """
    summed, given = axes
    rows = math.prod(sizes[name] for name in summed)
    kind = layer.class_name.removesuffix("EinsumDense")
    config = {**layer.config, "units": math.prod(sizes[name] for name in given)}
    flat = Layer(layer.name, f"{kind}Dense", config)
    found = find_layer_rule(flat.class_name).lower(flat, (None, rows))
    step = found[0] if isinstance(found, list) else found.steps[0]
    # With 4 bits, and by GPTQ and AWQ, weights are stored as matrices; all others with the axes of the einsum.
    whole = kind == "Float8" or layer.config.get("quantization") == "int8"
    forms = {"bias": (f"{' '.join(given)} -> {merged(given)}", given)}
    if whole:
        both = f"{merged(summed)} {merged(given)}"
        forms["kernel"] = (f"{' '.join((*summed, *given))} -> {both}", (*summed, *given))
    params = []
    for param in step.params:
        source = (
            param.source if kind != "Calibrated" else _STORED_AS.get(param.source, param.source)
        )
        layout, names = forms.get(source, (param.layout, ()))
        shape = tuple(sizes[name] for name in names) if names else param.shape
        if source == "kernel_scale" and whole and kind == "Quantized":
            ones = rank - 1
            layout = f"{'() ' * ones}{' '.join(given)} -> {merged(given)}"
            shape = (*[1] * ones, *(sizes[name] for name in given))
        params.append(Param(param.name, source, layout, shape))
    return replace(step, params=tuple(params))
