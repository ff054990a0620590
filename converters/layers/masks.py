"""Masking, and what other rules do with masks."""

from __future__ import annotations

from converters.graph import Layer
from converters.registry import Example, Lowered, Shape, TorchStep, layer
from converters.settings import number


@layer(
    "Masking",
    examples=(
        Example({}, ((5, 4),), pooled=True),
        Example({"mask_value": 0.25}, ((5, 4),)),
    ),
    mask="use",
)
def masking(layer: Layer, *shapes: Shape) -> Lowered:
    """Return x with 0 in steps that hold nothing but one value, and the mask of these steps."""
    step = TorchStep(
        "compat.mask_steps",
        {"value": number(layer, "mask_value", 0.0)},
        results=("steps", "mask"),
        further_shapes=(shapes[0][:-1],),
    )
    return Lowered((step,), ("steps",), masks=("mask",))
