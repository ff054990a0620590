"""The metrics of Keras that need no memory, as functions of torch tensors: 1 for a right sample, 0 for a wrong one.

Every function takes (output, target) and returns one value a sample, in the output's dtype; what Keras shows is their mean
over the epoch. Losses are metrics as well (`losses.py`). Equal largest outputs: the first counts.

Source: keras 3.15.1, metrics/accuracy_metrics.py.
"""

from __future__ import annotations

import torch
from torch import Tensor

from torch_impl.keras_compat.losses import same_rank


def accuracy(output: Tensor, target: Tensor) -> Tensor:
    """Return where output and target are equal."""
    output, target = same_rank(output, target)
    return (output == target).to(output.dtype)


def binary_accuracy(
    output: Tensor, target: Tensor, *, threshold: float = 0.5
) -> Tensor:
    """Return where output > threshold is what the target says."""
    output, target = same_rank(output, target)
    return ((output > threshold).to(output.dtype) == target).to(output.dtype)


def categorical_accuracy(output: Tensor, target: Tensor) -> Tensor:
    """Return where the largest output is at the largest target."""
    return (output.argmax(-1) == target.argmax(-1)).to(output.dtype)


def sparse_categorical_accuracy(output: Tensor, target: Tensor) -> Tensor:
    """Return where the largest output has the class number of the target, (batch, ...) or (batch, ..., 1)."""
    if target.dim() == output.dim():
        target = target.squeeze(-1)
    return (output.argmax(-1) == target).to(output.dtype)


def top_k_categorical_accuracy(output: Tensor, target: Tensor, *, k: int = 5) -> Tensor:
    """Return where fewer than k outputs are larger than the one of the largest target."""
    return sparse_top_k_categorical_accuracy(output, target.argmax(-1), k=k)


def sparse_top_k_categorical_accuracy(
    output: Tensor, target: Tensor, *, k: int = 5
) -> Tensor:
    """Return where fewer than k outputs are larger than that of the target's class number."""
    target = target.squeeze(-1) if target.dim() == output.dim() else target
    right = output.gather(-1, target.long().unsqueeze(-1))
    return ((output > right).sum(-1) < k).to(output.dtype)


def compiled_accuracy(output: Tensor, target: Tensor) -> Tensor:
    """Return the accuracy that "accuracy" in `compile` means for these shapes: binary, sparse or categorical."""
    if output.shape[-1] == 1:
        return binary_accuracy(output, target)
    if target.dim() < output.dim() or target.shape[-1] == 1:
        return sparse_categorical_accuracy(output, target)
    return categorical_accuracy(output, target)


def root_mean_squared_error(output: Tensor, target: Tensor) -> Tensor:
    """Return the root of the mean of (target - output)**2 over everything, () and not one value a sample."""
    output, target = same_rank(output, target)
    return torch.sqrt((target - output).square().mean())
