"""Layers that only Keras 1 had. Each stands alone: its source is emitted as it is."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class MaxoutDense(nn.Module):
    """y = the largest of several products x weight + bias, element by element.

    Source: keras 1.2.2, layers/core.py, `MaxoutDense`.
    """

    def __init__(
        self, in_features: int, out_features: int, *, pieces: int, bias: bool = True
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(pieces, in_features, out_features))
        self.bias = nn.Parameter(torch.zeros(pieces, out_features)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, out) for (batch, in)."""
        y = torch.einsum("bi,pio->bpo", x, self.weight)
        return (y if self.bias is None else y + self.bias).amax(1)


def carry(x: Tensor, transformed: Tensor, gate: Tensor) -> Tensor:
    """Return transformed * gate + x * (1 - gate): the end of a highway layer."""
    return transformed * gate + (1 - gate) * x


def cosine_merge(left: Tensor, right: Tensor) -> Tensor:
    """Return the cosine of the angle between two vectors, (batch, 1, 1) for (batch, size) each.

    Source: keras 1.2.2, engine/topology.py, `Merge.call`; its axis in the middle is not in the shape it states.
    """
    lengths = ((left * left).sum(1) * (right * right).sum(1)).sqrt().clamp(min=1e-7)
    return ((left * right).sum(1) / lengths)[:, None, None]


class SReLU(nn.Module):
    """The identity between two thresholds, and lines with slopes of their own outside of them.

        y = left + (x - left) * left_slope     for x < left
        y = x                                  up to right = left + |distance|
        y = right + (x - right) * right_slope  for x > right

    Where Theano computed it, the line on the left ends at the height of the right threshold (`is_clipped`).

    Source: keras 1.2.2, layers/advanced_activations.py, `SReLU`; backend, `relu`.
    """

    def __init__(self, shape: tuple[int, ...], *, is_clipped: bool = False) -> None:
        super().__init__()
        self.is_clipped = is_clipped
        self.left = nn.Parameter(torch.zeros(shape))
        self.left_slope = nn.Parameter(torch.zeros(shape))
        self.distance = nn.Parameter(torch.zeros(shape))
        self.right_slope = nn.Parameter(torch.ones(shape))

    def forward(self, x: Tensor) -> Tensor:
        """Return the activation of (batch, *shape)."""
        width = self.distance.abs()
        inside = x - self.left
        center = torch.minimum(torch.relu(inside), width)
        below = self.left_slope * torch.relu(-inside)
        if self.is_clipped:
            below = torch.maximum(below, -width)
        return (
            self.left + center - below + torch.relu(inside - width) * self.right_slope
        )


class ParametricSoftplus(nn.Module):
    """y = alpha * log(1 + exp(beta * x)). Source: keras 1.2.2, layers/advanced_activations.py."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(shape))
        self.beta = nn.Parameter(torch.zeros(shape))

    def forward(self, x: Tensor) -> Tensor:
        """Return the activation of (batch, *shape)."""
        return self.alpha * nn.functional.softplus(self.beta * x, threshold=50.0)


class BatchStatisticsNorm(nn.Module):
    """Normalization by the statistics of the batch, in training and at inference alike ("mode 2").

    The moving statistics are there because Keras 1 stored them; nothing reads or moves them.
    Source: keras 1.2.2, layers/normalization.py.
    """

    def __init__(self, num_features: int, *, eps: float = 1e-3, axis: int = -1) -> None:
        super().__init__()
        self.eps, self.axis = eps, axis
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))

    def forward(self, x: Tensor) -> Tensor:
        """Return x normalized along all axes but one."""
        x = x.movedim(self.axis, -1)
        axes = tuple(range(x.dim() - 1))
        mean, variance = x.mean(axes), x.var(axes, correction=0)
        y = (x - mean) * torch.rsqrt(variance + self.eps) * self.weight + self.bias
        return y.movedim(-1, self.axis)


class SampleNorm(nn.Module):
    """Normalization of every sample along its last axis ("mode 1"), with epsilon in the root and behind it.

        y = (x - mean(x)) / (sqrt(var(x) + eps) + eps) * weight + bias

    The moving statistics are there because Keras 1 stored them; nothing reads or moves them.
    Source: keras 1.2.2, layers/normalization.py.
    """

    def __init__(self, num_features: int, *, eps: float = 1e-3) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))

    def forward(self, x: Tensor) -> Tensor:
        """Return x normalized along the last axis."""
        mean, variance = x.mean(-1, keepdim=True), x.var(-1, correction=0, keepdim=True)
        deviation = torch.sqrt(variance + self.eps) + self.eps
        return (x - mean) / deviation * self.weight + self.bias
