"""The loss scale of mixed precision: a factor on the loss that keeps small gradients from becoming 0 in half precision.

`KerasOptimizer.scale_loss` multiplies, its `step` divides again. The scale is fixed (`loss_scale_factor`) or follows the
gradients (`dynamic_scale`): halved and the step left out when one of them is infinite or NaN, doubled after
`dynamic_growth_steps` steps without.

Source: keras 3.15.1, optimizers/loss_scale_optimizer.py; tensorflow 2.21, python/keras/mixed_precision/loss_scale_optimizer.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from torch_impl.keras_compat.parameter_groups import Group
from torch_impl.keras_compat.rounding import float32


def loss_scale(group: Group) -> float | None:
    """Return the factor on the loss, or None if there is none."""
    scale: float | None = group["dynamic_scale"] or group["loss_scale_factor"]
    return scale


def unscaled(group: Group, gradients: list[Tensor]) -> list[Tensor]:
    """Return the gradients divided by the factor on the loss."""
    scale = loss_scale(group)
    return gradients if scale is None else list(torch._foreach_div(gradients, scale))


def are_finite(gradients: Sequence[Tensor]) -> bool:
    """Return whether no element is infinite or NaN."""
    return bool(
        torch.stack([gradient.isfinite().all() for gradient in gradients]).all()
    )


def shrink_scale(group: Group) -> None:
    """Halve the scale after a gradient that was not finite, and start counting again."""
    group["scaled_steps"] = 0
    group["dynamic_scale"] = max(
        float32(group["dynamic_scale"] / 2), group["smallest_scale"]
    )


def count_scaled_step(group: Group) -> None:
    """Count a step with finite gradients; double the scale when there were enough of them."""
    group["scaled_steps"] += 1
    if group["scaled_steps"] >= group["dynamic_growth_steps"]:
        group["scaled_steps"] = 0
        doubled = float32(group["dynamic_scale"] * 2)
        # With an infinite scale, which Keras 3 does not exclude, no step would ever be made again.
        group["dynamic_scale"] = (
            doubled if math.isfinite(doubled) else group["dynamic_scale"]
        )
