"""Batch renormalization as Keras computes it."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class BatchRenorm(nn.Module):
    """Batch normalization whose training output is corrected towards statistics of its own.

        s = sqrt(var(x) + eps), m = mean(x), S = max(renorm_stddev, sqrt(eps))
        r = clip(s / S, rmin, rmax), d = clip((m - renorm_mean) / S, -dmax, dmax)     without gradient
        training:   y = ((x - m) / s * r + d) * weight + bias
        inference:  y = (x - running_mean) / sqrt(running_var + eps) * weight + bias

    Then renorm_mean and renorm_stddev move towards m and s by `renorm_momentum`, running_mean and running_stddev by
    `momentum`, both the weight of the old value; running_var = max(running_stddev^2 - eps, 0).

    Args:
        num_features: size of the normalized axis.
        axis: the axis that keeps its own statistics, counted with the batch; -1 is channels last.
        rmin: None leaves r as it is at that side, as `rmax` and `dmax` do.
        frozen: always use the running statistics, as Keras does for `trainable=False`.

    Source: keras 3.15.1, layers/normalization/batch_normalization.py; tf.keras 2.15 has the same formulas.
    """

    running_mean: Tensor
    running_var: Tensor
    running_stddev: Tensor
    renorm_mean: Tensor
    renorm_stddev: Tensor

    def __init__(
        self,
        num_features: int,
        *,
        eps: float = 1e-3,
        momentum: float = 0.99,
        renorm_momentum: float = 0.99,
        rmin: float | None = None,
        rmax: float | None = None,
        dmax: float | None = None,
        axis: int = -1,
        scale: bool = True,
        center: bool = True,
        frozen: bool = False,
    ) -> None:
        super().__init__()
        self.eps, self.momentum, self.renorm_momentum = eps, momentum, renorm_momentum
        self.rmin, self.rmax, self.dmax = rmin, rmax, dmax
        self.axis, self.frozen = axis, frozen
        self.weight = nn.Parameter(torch.ones(num_features)) if scale else None
        self.bias = nn.Parameter(torch.zeros(num_features)) if center else None
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))
        self.register_buffer("running_stddev", torch.ones(num_features))
        self.register_buffer("renorm_mean", torch.zeros(num_features))
        self.register_buffer("renorm_stddev", torch.ones(num_features))

    def forward(self, x: Tensor) -> Tensor:
        """Return x normalized; in training mode also move the statistics."""
        x = x.movedim(self.axis, -1)
        if self.training and not self.frozen:
            axes = tuple(range(x.dim() - 1))
            variance, mean = torch.var_mean(x, dim=axes, correction=0)
            stddev = torch.sqrt(variance + self.eps)
            r, d = self._corrections(mean.detach(), stddev.detach())
            y = (x - mean) / stddev * r + d
            self._move_statistics(mean.detach(), stddev.detach())
        else:
            y = (x - self.running_mean) * torch.rsqrt(self.running_var + self.eps)
        if self.weight is not None:
            y = y * self.weight
        if self.bias is not None:
            y = y + self.bias
        return y.movedim(-1, self.axis)

    def _corrections(self, mean: Tensor, stddev: Tensor) -> tuple[Tensor, Tensor]:
        known = self.renorm_stddev.clamp(min=self.eps**0.5)
        r, d = stddev / known, (mean - self.renorm_mean) / known
        if self.rmin is not None:
            r = r.clamp(min=self.rmin)
        if self.rmax is not None:
            r = r.clamp(max=self.rmax)
        if self.dmax is not None:
            d = d.clamp(min=-self.dmax, max=self.dmax)
        return r, d

    def _move_statistics(self, mean: Tensor, stddev: Tensor) -> None:
        self.renorm_mean.mul_(self.renorm_momentum).add_(
            mean, alpha=1 - self.renorm_momentum
        )
        self.renorm_stddev.mul_(self.renorm_momentum).add_(
            stddev, alpha=1 - self.renorm_momentum
        )
        self.running_mean.mul_(self.momentum).add_(mean, alpha=1 - self.momentum)
        self.running_stddev.mul_(self.momentum).add_(stddev, alpha=1 - self.momentum)
        self.running_var.copy_((self.running_stddev.square() - self.eps).clamp(min=0))
