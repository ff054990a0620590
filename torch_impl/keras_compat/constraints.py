"""The constraints of Keras: what a weight is set to after every update.

Source: keras 3.15.1, constraints/constraints.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from torch_impl.keras_compat.keras_order import from_keras_order, in_keras_order

# Plain data as it is saved: a kind, its numbers, an axis or several, and how the parameter lies in Keras.
Constraint = Mapping[str, Any]
KINDS: Mapping[str, tuple[str, ...]] = {
    "MaxNorm": ("max_value", "axis"),
    "NonNeg": (),
    "UnitNorm": ("axis",),
    "MinMaxNorm": ("min_value", "max_value", "rate", "axis"),
}
"""Class in Keras to its options."""
EPSILON = 1e-7


def constrained(weight: Tensor, constraint: Constraint) -> Tensor:
    """Return the weight nearest to what a constraint allows, as Keras computes it.

        NonNeg: max(w, 0); the others w * wanted(norm) / (1e-7 + norm) with the norm over `axis`
        UnitNorm: 1; MaxNorm: min(norm, max_value); MinMaxNorm: rate * clip(norm, min_value, max_value) + (1 - rate) * norm

    Args:
        weight: in torch layout.
        constraint: `kind`, one of `KINDS`, with its options; axes are those of Keras. `keras_order`: see `KerasOrder`.

    Raises:
        ValueError: The kind is none of `KINDS`.
    """
    kind, order = constraint["kind"], constraint.get("keras_order")
    if kind == "NonNeg":
        return weight.clamp(min=0)
    legacy = in_keras_order(weight, order)
    axis = constraint.get("axis", 0)
    axes = tuple(axis) if isinstance(axis, Sequence) else (axis,)
    norms = legacy.square().sum(axes, keepdim=True).sqrt()
    if kind == "UnitNorm":
        return from_keras_order(legacy / (EPSILON + norms), weight, order)
    if kind == "MaxNorm":
        wanted = norms.clamp(0, constraint.get("max_value", 2.0))
    elif kind == "MinMaxNorm":
        rate = constraint.get("rate", 1.0)
        inside = norms.clamp(
            constraint.get("min_value", 0.0), constraint.get("max_value", 1.0)
        )
        wanted = rate * inside + (1 - rate) * norms
    else:
        message = f"constraint {kind!r} is none of {', '.join(KINDS)}"
        raise ValueError(message)
    return from_keras_order(legacy * (wanted / (EPSILON + norms)), weight, order)


@torch.no_grad()
def apply_constraints(
    owners: Sequence[Tensor],
    constraints: Sequence[Constraint | None],
    updated: Sequence[Tensor],
) -> None:
    """Set every updated parameter that has a constraint to what it allows, in place.

    Args:
        owners: all parameters of the group.
        constraints: one for each of them, or None.
        updated: those of this step.
    """
    changed = set(map(id, updated))
    for parameter, constraint in zip(owners, constraints, strict=True):
        if constraint is not None and id(parameter) in changed:
            parameter.copy_(constrained(parameter, constraint))
