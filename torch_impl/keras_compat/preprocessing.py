"""Keras's preprocessing that computes on tensors. Each stands alone: its source is emitted as it is."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def as_indices(x: Tensor) -> Tensor:
    """Return x as whole numbers; fractions are cut off."""
    return x.long()


class Normalization(nn.Module):
    """y = (x - mean) / max(sqrt(variance), 1e-7), with statistics that were computed once and do not train.

    Args:
        shape: of the statistics.
        axes: the axes they lie along, counted with the batch.
        invert: compute mean + x * max(sqrt(variance), 1e-7) instead.

    Source: keras 3.15.1, layers/preprocessing/normalization.py.
    """

    def __init__(
        self, shape: tuple[int, ...], *, axes: tuple[int, ...], invert: bool = False
    ) -> None:
        super().__init__()
        self.axes, self.invert = axes, invert
        self.mean: Tensor
        self.variance: Tensor
        self.count: Tensor
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("variance", torch.ones(shape))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        """Return x normalized."""
        sizes = [size if axis in self.axes else 1 for axis, size in enumerate(x.shape)]
        mean = self.mean.reshape(sizes)
        deviation = torch.clamp(torch.sqrt(self.variance.reshape(sizes)), min=1e-7)
        return mean + x * deviation if self.invert else (x - mean) / deviation


def normalize(
    x: Tensor,
    *,
    mean: tuple[float, ...],
    deviation: tuple[float, ...],
    invert: bool = False,
) -> Tensor:
    """Return (x - mean) / deviation along the last axis, or mean + x * deviation."""
    means, deviations = x.new_tensor(mean), x.new_tensor(deviation)
    return means + x * deviations if invert else (x - means) / deviations


def bucketize(x: Tensor, *, boundaries: tuple[float, ...]) -> Tensor:
    """Return how many of the ascending boundaries are at or below each element."""
    dtype = x.dtype if x.is_floating_point() else torch.float32
    limits = torch.tensor(boundaries, dtype=dtype, device=x.device)
    return torch.bucketize(x.to(dtype), limits, right=True)


def one_hot(x: Tensor, *, size: int, dtype: str) -> Tensor:
    """Return (..., size): 1 at each index, 0 elsewhere, all 0 for an index out of range; a last axis of 1 is dropped."""
    indices = x.long()
    if indices.dim() > 1 and indices.shape[-1] == 1:
        indices = indices.squeeze(-1)
    found = indices.unsqueeze(-1) == torch.arange(size, device=x.device)
    kinds = {"float64": torch.float64, "float16": torch.float16, "int64": torch.int64}
    return found.to(kinds.get(dtype, torch.float32))


def count_indices(
    x: Tensor,
    weights: Tensor | None = None,
    *,
    size: int,
    dtype: str,
    once: bool = False,
) -> Tensor:
    """Return how often each index occurs along the second axis, or the only one; with `once`, 1 if it occurs at all.

    Args:
        x: (batch, indices, ...), (indices,), or one index.
        weights: of the shape of x, what each index counts; None: 1.
        size: number of indices.
        dtype: of the result.
        once: whether to count each index once at most.

    Returns:
        (batch, ..., size) or (size,).

    Source: keras 3.15.1, utils/numerical_utils.py, `encode_categorical_inputs`.
    """
    x = x.reshape(1) if x.dim() == 0 else x
    found = x.long().unsqueeze(-1) == torch.arange(size, device=x.device)
    if weights is not None:
        found = found * weights.unsqueeze(-1)
    counts = found.sum(dim=min(1, x.dim() - 1))
    if once:
        counts = counts.clamp(max=1)
    kinds = {"float64": torch.float64, "float16": torch.float16, "int64": torch.int64}
    return counts.to(kinds.get(dtype, torch.float32))
