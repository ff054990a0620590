"""Arithmetic over lists of tensors that several optimizers share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def subtract_ratio(
    parameters: list[Tensor],
    numerators: list[Tensor],
    denominators: list[Tensor],
    scale: float | Tensor,
) -> None:
    """Subtract scale * numerator / denominator from every parameter, in place.

    Args:
        parameters: changed.
        numerators: left alone.
        denominators: left alone.
        scale: a number, or a tensor of no axes where a compiled step must not be specialised on its value.
    """
    if isinstance(scale, Tensor):
        steps = torch._foreach_mul(numerators, scale)
        torch._foreach_div_(steps, denominators)
        torch._foreach_sub_(parameters, steps)
    else:
        torch._foreach_addcdiv_(parameters, numerators, denominators, value=-scale)


def roots(
    values: Sequence[Tensor], epsilon: float, *, inside: bool = True
) -> list[Tensor]:
    """Return sqrt(value + epsilon), or with epsilon outside of the root sqrt(value) + epsilon."""
    if inside:
        result = list(torch._foreach_add(list(values), epsilon))
        torch._foreach_sqrt_(result)
    else:
        result = list(torch._foreach_sqrt(list(values)))
        torch._foreach_add_(result, epsilon)
    return result


def decay_squares(averages: list[Tensor], values: Sequence[Tensor], rho: float) -> None:
    """Set every average to rho * average + (1 - rho) * value**2, in place."""
    torch._foreach_mul_(averages, rho)
    torch._foreach_addcmul_(averages, list(values), list(values), value=1 - rho)


def adam_average(
    moments: list[Tensor],
    squares: list[Tensor],
    gradients: list[Tensor],
    beta_1: float,
    beta_2: float,
) -> None:
    """Move the averages of gradients and of squared gradients: m += (g - m) * (1 - beta_1), v likewise, in place."""
    torch._foreach_lerp_(moments, gradients, 1 - beta_1)
    torch._foreach_lerp_(squares, torch._foreach_mul(gradients, gradients), 1 - beta_2)
