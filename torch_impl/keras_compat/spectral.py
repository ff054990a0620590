"""Spectral normalization as Keras does it: the stored kernel itself is divided at every training step."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SpectralNorm(nn.Module):
    """A layer whose weight is divided by an estimate of its largest singular value in every training forward pass.

        v = normalize(u W^T), u = normalize(v W)        power_iterations times; W: (rest, last axis of Keras's kernel)
        weight = weight / (v W u^T)

    The weight is overwritten before it is used, so gradients are those of the divided weight, and evaluation uses what
    training left. `torch.nn.utils.parametrizations.spectral_norm` keeps the undivided weight and differentiates the
    division. A weight of zeros is left alone.

    Args:
        layer: with a parameter `weight`.
        axis: where the weight has the last axis of Keras's kernel.
        groups: that axis holds it once for each of so many groups: 1 but for depthwise convolutions.
        power_iterations: in every training forward pass.
        eps: the least norm that is divided by.

    Source: keras 3.15.1, layers/normalization/spectral_normalization.py and ops/nn.py, `normalize`.
    """

    vector_u: Tensor

    def __init__(
        self,
        layer: nn.Module,
        *,
        axis: int = 0,
        groups: int = 1,
        power_iterations: int = 1,
        eps: float = 1e-7,
    ) -> None:
        super().__init__()
        self.layer = layer
        self.axis, self.groups = axis, groups
        self.power_iterations, self.eps = power_iterations, eps
        self.register_buffer("vector_u", torch.randn(1, self._rows().shape[0]))

    def forward(self, x: Tensor) -> Tensor:
        """Return what the layer gives, after dividing its weight if in training."""
        if self.training:
            self.divide()
        y: Tensor = self.layer(x)
        return y

    @torch.no_grad()
    def divide(self) -> None:
        """Make the step of the power iteration and divide the weight."""
        rows = self._rows()
        u = self.vector_u[0]
        for _ in range(self.power_iterations):
            v = u @ rows
            v = v * torch.rsqrt(v.square().sum()).clamp(max=1 / self.eps)
            u = rows @ v
            u = u * torch.rsqrt(u.square().sum()).clamp(max=1 / self.eps)
        sigma = (rows @ v) @ u
        empty = (rows == 0).all()
        self.vector_u.copy_(torch.where(empty, self.vector_u[0], u))
        weight = self.layer.get_parameter("weight")
        weight.div_(torch.where(empty, torch.ones_like(sigma), sigma))

    def _rows(self) -> Tensor:
        """Return the weight as (last axis of Keras's kernel, the rest)."""
        weight = self.layer.get_parameter("weight").movedim(self.axis, 0)
        return torch.unflatten(weight, 0, (self.groups, -1)).transpose(0, 1).flatten(1)


def cast_as(y: Tensor, x: Tensor) -> Tensor:
    """Return y in the type of x; of whole numbers without the fraction."""
    return y.to(x.dtype)
