"""Activations that torch lacks or computes by another formula. Each stands alone: its source is emitted as it is."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PReLU(nn.Module):
    """y = x for x > 0, weight * x below, with a weight for every position of one sample (1 along shared axes).

    `nn.PReLU` has one weight, or one per channel on axis 1; Keras has one per position by default.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(shape))

    def forward(self, x: Tensor) -> Tensor:
        """Return the activation of (batch, *shape)."""
        return torch.relu(x) - self.weight * torch.relu(-x)


def relu(
    x: Tensor,
    *,
    max_value: float | None = None,
    negative_slope: float = 0.0,
    threshold: float = 0.0,
) -> Tensor:
    """Return x above the threshold, negative_slope * (x - threshold) up to it; with max_value, x stays in [0, max_value].

    Source: keras 3.15.1, activations/activations.py, `ReLU.static_call`.
    """
    positive = torch.where(x > threshold, x, torch.zeros_like(x))
    if max_value is not None:
        positive = positive.clamp(0.0, max_value)
    return positive - negative_slope * torch.relu(threshold - x)


def thresholded_relu(x: Tensor, *, theta: float = 1.0) -> Tensor:
    """Return x where x > theta, else 0."""
    return x * (x > theta)


def hard_sigmoid_keras2(x: Tensor) -> Tensor:
    """Return clip(0.2 x + 0.5, 0, 1): the hard sigmoid of Keras 1 and 2; that of Keras 3 is clip(x/6 + 0.5, 0, 1)."""
    return torch.clamp(0.2 * x + 0.5, 0.0, 1.0)


def squareplus(x: Tensor) -> Tensor:
    """Return (x + sqrt(x^2 + 4)) / 2."""
    return (x + torch.sqrt(x * x + 4.0)) / 2


def sparse_plus(x: Tensor) -> Tensor:
    """Return 0 up to -1, (x + 1)^2 / 4 between -1 and 1, x from 1 on."""
    return torch.where(
        x <= -1, torch.zeros_like(x), torch.where(x < 1, (x + 1) ** 2 / 4, x)
    )


def sparse_sigmoid(x: Tensor) -> Tensor:
    """Return 0 up to -1, (x + 1) / 2 between -1 and 1, 1 from 1 on."""
    return torch.where(
        x <= -1,
        torch.zeros_like(x),
        torch.where(x >= 1, torch.ones_like(x), (x + 1) / 2),
    )


def sparsemax(x: Tensor) -> Tensor:
    """Return max(x - tau, 0) over the last axis, with Keras's tau: (sum of the supported cumulative sums - 1) / count.

    Martins and Astudillo 2016 take the last supported cumulative sum, not their sum; the two agree where one element is
    supported. Source: keras 3.15.1, backend/tensorflow/nn.py, `sparsemax`.
    """
    ordered = torch.sort(x, dim=-1, descending=True).values
    sums = torch.cumsum(ordered, dim=-1)
    rank = torch.arange(1, x.shape[-1] + 1, dtype=x.dtype, device=x.device)
    supported = ordered - (sums - 1) / rank > 0
    count = supported.sum(dim=-1, keepdim=True)
    tau = ((sums * supported).sum(dim=-1, keepdim=True) - 1) / count
    return torch.clamp(x - tau, min=0.0)
