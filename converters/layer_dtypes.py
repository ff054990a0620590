"""The precision of a layer: what its weights are stored in, by the dtype or the policy of its configuration."""

from __future__ import annotations

from collections.abc import Mapping

from converters.graph import Layer

PRECISION = ("bfloat16", "float16", "float32", "float64")
"""Types of weights, from the least precise on."""


def policy_name(layer: Layer) -> str:
    """Return "float32", "mixed_float16", ...; "" where the configuration states none."""
    value = layer.config.get("dtype")
    config = value.get("config") if isinstance(value, Mapping) else None
    name = config.get("name") if isinstance(config, Mapping) else value
    # Quantized layers: "int8_from_mixed_bfloat16".
    return name.rpartition("_from_")[2] if isinstance(name, str) else ""


def variable_dtype(layer: Layer) -> str | None:
    """Return the type of a layer's weights, or None where it has none or does not state it.

    A mixed policy keeps them in float32 and computes in half precision.
    """
    if layer.class_name == "InputLayer" or layer.is_operation:
        return None
    name = policy_name(layer)
    if name.startswith("mixed_"):
        return "float32"
    return name if name in PRECISION else None
