"""Keras losses by the names that `compile` stores, as functions of torch tensors with Keras's reduction."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

Loss = Callable[[Tensor, Tensor], Tensor]
_EPSILON = 1e-7
"""Keras clips probabilities to [1e-7, 1 - 1e-7] before the logarithm."""


def categorical_crossentropy(output: Tensor, target: Tensor) -> Tensor:
    """Return the mean of -sum(target * log(p)) with p = output / sum(output), clipped. Both (batch, classes)."""
    p = (output / output.sum(-1, keepdim=True)).clamp(_EPSILON, 1 - _EPSILON)
    return -(target * p.log()).sum(-1).mean()


def binary_crossentropy(output: Tensor, target: Tensor) -> Tensor:
    """Return the mean of -(t log(p) + (1 - t) log(1 - p)) with p clipped."""
    p = output.clamp(_EPSILON, 1 - _EPSILON)
    return -(target * p.log() + (1 - target) * (1 - p).log()).mean()


def mean_absolute_error(output: Tensor, target: Tensor) -> Tensor:
    """Return the mean of |target - output|."""
    return (target - output).abs().mean()


def log_cosh(output: Tensor, target: Tensor) -> Tensor:
    """Return the mean of log(cosh(output - target)), in the form that does not overflow."""
    x = output - target
    return (x + F.softplus(-2 * x) - torch.log(torch.tensor(2.0, dtype=x.dtype))).mean()


LOSSES: dict[str, Loss] = {
    "mse": F.mse_loss,
    "mean_squared_error": F.mse_loss,
    "mae": mean_absolute_error,
    "mean_absolute_error": mean_absolute_error,
    "huber": F.huber_loss,
    "huber_loss": F.huber_loss,
    "log_cosh": log_cosh,
    "logcosh": log_cosh,
    "categorical_crossentropy": categorical_crossentropy,
    "binary_crossentropy": binary_crossentropy,
}
"""By the name in snake case. Every one is the mean over all elements or samples, Keras's "sum_over_batch_size"."""


def find_loss(stored: object) -> Loss | None:
    """Return the loss that a stored configuration names, or None if it is another, or one per output."""
    if isinstance(stored, str):
        return LOSSES.get(stored)
    if isinstance(stored, Mapping):
        # Loss objects: {"class_name": "Huber", "config": {"delta": 1.0, ...}}
        name, config = stored.get("class_name"), stored.get("config")
        if isinstance(config, str):  # {"class_name": "function", "config": "mse"}
            return LOSSES.get(config)
        delta = config.get("delta", 1.0) if isinstance(config, Mapping) else 1.0
        plain = {"Huber": "huber", "MeanSquaredError": "mse", "MeanAbsoluteError": "mae"}
        if isinstance(name, str) and delta == 1.0:
            return LOSSES.get(plain.get(name, name))
    return None


def find_losses(training: Mapping[str, object], outputs: int) -> list[tuple[Loss, float]] | None:
    """Return loss and weight of every output as compiled, or None if one of them has no counterpart here."""
    stored, weights = training.get("loss"), training.get("loss_weights")
    names = list(stored) if isinstance(stored, (list, tuple)) else [stored] * outputs
    factors = [1.0] * outputs if weights is None else weights
    if not isinstance(factors, (list, tuple)):  # by name of the output
        return None
    numbers = [float(factor) for factor in factors if isinstance(factor, (int, float))]
    losses = [loss for loss in map(find_loss, names) if loss is not None]
    if not len(losses) == len(names) == len(numbers) == len(factors) == outputs:
        return None
    return list(zip(losses, numbers, strict=True))
