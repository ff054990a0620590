"""Random layers of Keras that torch lacks. Each stands alone: its source is emitted as it is."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class GaussianNoise(nn.Module):
    """Training: x + normal(0, stddev). Inference: x."""

    def __init__(self, stddev: float) -> None:
        super().__init__()
        self.stddev = stddev

    def forward(self, x: Tensor) -> Tensor:
        """Return x with noise of its own on every element."""
        return x + self.stddev * torch.randn_like(x) if self.training else x


class GaussianDropout(nn.Module):
    """Training: x * normal(1, sqrt(p / (1 - p))), the mean and variance of dropout. Inference: x."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.stddev = (p / (1.0 - p)) ** 0.5

    def forward(self, x: Tensor) -> Tensor:
        """Return x with every element multiplied by a draw of its own."""
        return x * (1.0 + self.stddev * torch.randn_like(x)) if self.training else x


class SharedDropout(nn.Module):
    """Dropout with one draw for all elements along some axes; the kept are divided by 1 - p.

    Args:
        p: share of draws that drop.
        axes: axes with one draw, counted with the batch; (1, 2) drops whole channels of channels-last images.
    """

    def __init__(self, p: float, *, axes: tuple[int, ...]) -> None:
        super().__init__()
        self.p, self.axes = p, axes

    def forward(self, x: Tensor) -> Tensor:
        """Return x with dropped parts 0, in training."""
        if not self.training:
            return x
        sizes = [1 if axis in self.axes else size for axis, size in enumerate(x.shape)]
        return x * nn.functional.dropout(x.new_ones(sizes), self.p)


class SharedAlphaDropout(nn.Module):
    """`nn.AlphaDropout` with one draw for all elements along some axes.

    Dropped elements become SELU's limit -1.758..., then x -> a x + b restores mean 0 and variance 1.

    Args:
        p: share of draws that drop.
        axes: axes with one draw, counted with the batch.
    """

    def __init__(self, p: float, *, axes: tuple[int, ...]) -> None:
        super().__init__()
        self.p, self.axes = p, axes

    def forward(self, x: Tensor) -> Tensor:
        """Return x with dropped parts at the limit, in training."""
        if not self.training or self.p == 0.0:
            return x
        limit = -1.6732632423543772 * 1.0507009873554805
        sizes = [1 if axis in self.axes else size for axis, size in enumerate(x.shape)]
        kept = (torch.rand(sizes, dtype=x.dtype, device=x.device) >= self.p).to(x.dtype)
        a = float(((1.0 - self.p) * (1.0 + self.p * limit * limit)) ** -0.5)
        return a * (x * kept + limit * (1.0 - kept)) - a * limit * self.p
