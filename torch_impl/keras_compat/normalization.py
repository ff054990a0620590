"""Normalization as Keras computes it, where stock torch differs (docs/numerics.md)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class BatchNorm(nn.Module):
    """Batch normalization with Keras's moving statistics.

        training:   y = (x - mean(x)) / sqrt(var(x) + eps) * weight + bias
                    running = momentum * running + (1 - momentum) * batch statistic
        inference:  y = (x - running_mean) / sqrt(running_var + eps) * weight + bias

    Differs from `nn.BatchNorm1d`: `momentum` weighs the old value (0.99 here is 0.01 there), the default `eps` is
    1e-3, and the moving variance takes the biased batch variance. `variance` names what older Keras did instead:
    "unbiased" is n / (n - 1) (fused kernel of Keras 2 on images), "keras2" is n / (n - 1 - eps) (standalone Keras 2),
    "keras2 unbiased" is the product of both (standalone Keras 2 on images).
    Standalone Keras 2 also removed the weight of the initial statistics: after t updates, with d = momentum,

        running = d * (1 - d**t) / (1 - d**(t+1)) * running + (1 - d) / (1 - d**(t+1)) * batch statistic

    Args:
        num_features: size of the normalized axis.
        axis: the axis that keeps its own statistics, counted with the batch; -1 is channels last.
        debiased_updates: t of the formula above, which grows while training; None: the plain moving average.
        frozen: always use the moving statistics, as Keras does for `trainable=False`.
        moves: move the statistics in training; standalone Keras 2 stops only that for `trainable=False`.

    Source: keras 3.15.1, layers/normalization/batch_normalization.py.
    """

    def __init__(
        self,
        num_features: int,
        *,
        eps: float = 1e-3,
        momentum: float = 0.99,
        axis: int = -1,
        scale: bool = True,
        center: bool = True,
        variance: str = "biased",
        debiased_updates: int | None = None,
        frozen: bool = False,
        moves: bool = True,
    ) -> None:
        super().__init__()
        self.eps, self.momentum, self.axis = eps, momentum, axis
        self.moves = moves
        self.variance, self.frozen, self.debiased_updates = (
            variance,
            frozen,
            debiased_updates,
        )
        self.weight = nn.Parameter(torch.ones(num_features)) if scale else None
        self.bias = nn.Parameter(torch.zeros(num_features)) if center else None
        self.running_mean: Tensor
        self.running_var: Tensor
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))

    def forward(self, x: Tensor) -> Tensor:
        """Return x normalized; in training mode also move the statistics."""
        if not self.training or self.frozen:
            return self._normalize_by_moving_statistics(x)
        if x.dim() == 2:
            # As Keras adds it up: a bias before this layer has gradient 0 but for
            # rounding, which Adam divides by itself, and the kernel below rounds more.
            mean, variance = x.mean(0), x.var(0, correction=0)
            self._move_statistics(mean.detach(), variance.detach(), len(x))
            return self._normalize(x, mean, variance)
        x = x.movedim(self.axis, 1)
        # One kernel for all of it; the momentum of 0 is not used, because it is given no statistics to move.
        y, mean, inverse = torch.native_batch_norm(
            x, self.weight, self.bias, None, None, True, 0.0, self.eps
        )
        # Off by rounding of variance + eps at most, which is what divides at inference.
        variance = (inverse.detach().pow(-2) - self.eps).clamp(min=0)
        self._move_statistics(mean.detach(), variance, x.numel() // x.shape[1])
        return y.movedim(1, self.axis)

    def _normalize(self, x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        """Return x, channels last, normalized by these statistics."""
        y = (x - mean) * torch.rsqrt(variance + self.eps)
        if self.weight is not None:
            y = y * self.weight
        if self.bias is not None:
            y = y + self.bias
        return y

    def _normalize_by_moving_statistics(self, x: Tensor) -> Tensor:
        """One kernel, which wants the channels on axis 1; the moves are views."""
        y = nn.functional.batch_norm(
            x if self.axis == 1 else x.movedim(self.axis, 1),
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            training=False,
            eps=self.eps,
        )
        return y if self.axis == 1 else y.movedim(1, self.axis)

    def _move_statistics(self, mean: Tensor, variance: Tensor, count: int) -> None:
        if not self.moves:
            return
        if self.variance.endswith("unbiased"):
            variance = variance * (count / max(count - 1, 1))
        if self.variance.startswith("keras2"):
            variance = variance * (count / (count - 1 - self.eps))
        momentum = self.momentum
        if self.debiased_updates is not None:
            before = 1 - momentum**self.debiased_updates
            self.debiased_updates += 1
            momentum = momentum * before / (1 - momentum**self.debiased_updates)
        self.running_mean.mul_(momentum).add_(mean, alpha=1 - momentum)
        self.running_var.mul_(momentum).add_(variance, alpha=1 - momentum)


class MaskedBatchNorm(BatchNorm):
    """`BatchNorm` whose statistics of a batch leave masked steps out; these are normalized like all others.

    mean = sum of kept x / (number of kept x + 1e-7), the variance likewise
    """

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]
        """Return x normalized; the mask has an axis less, and lies along all but the last."""
        if not self.training or self.frozen:
            return self._normalize_by_moving_statistics(x)
        keep = mask.unsqueeze(-1).expand_as(x).movedim(self.axis, -1)
        x = x.movedim(self.axis, -1)
        axes = list(range(x.dim() - 1))
        count = keep.to(x.dtype).sum(axes) + 1e-7
        mean = torch.where(keep, x, 0.0).sum(axes) / count
        variance = torch.where(keep, x - mean, 0.0).square().sum(axes) / count
        self._move_statistics(
            mean.detach(), variance.detach(), x.numel() // x.shape[-1]
        )
        return self._normalize(x, mean, variance).movedim(-1, self.axis)


class SteppedBatchNorm(BatchNorm):
    """`BatchNorm` of the time steps of sequences; in training each has statistics of its own, and moves those kept."""

    def forward(self, x: Tensor, sequence: Tensor) -> Tensor:  # type: ignore[override]
        """Return x, (batch * time, ...), normalized; `sequence` is (batch, time, ...).

        Source: keras 3.15.1, layers/rnn/time_distributed.py.
        """
        if not self.training or self.frozen:
            return self._normalize_by_moving_statistics(x)
        steps = torch.unflatten(x, 0, tuple(sequence.shape[:2])).unbind(1)
        normalized = [BatchNorm.forward(self, step) for step in steps]
        return torch.stack(normalized, 1).flatten(0, 1)


class LayerNorm(nn.Module):
    """Layer normalization over any axes: y = (x - mean) / sqrt(variance + eps) * weight + bias.

    `nn.LayerNorm` takes the last axes only, and no bias without a weight.

    Args:
        shape: of the weight, as it is stored.
        axes: the normalized axes, counted with the batch.
        scale: False leaves out the weight.
        center: False leaves out the bias.
        keep_mean: y = x / sqrt(variance + eps) * weight, what Keras calls `rms_scaling`.

    Source: keras 3.15.1, ops/nn.py, `_layer_normalization`.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        axes: tuple[int, ...],
        eps: float = 1e-3,
        scale: bool = True,
        center: bool = True,
        keep_mean: bool = False,
    ) -> None:
        super().__init__()
        self.axes, self.eps, self.keep_mean = axes, eps, keep_mean
        self.weight = nn.Parameter(torch.ones(shape)) if scale else None
        self.bias = nn.Parameter(torch.zeros(shape)) if center else None

    def forward(self, x: Tensor) -> Tensor:
        """Return x normalized."""
        sizes = [size if axis in self.axes else 1 for axis, size in enumerate(x.shape)]
        variance = x.var(self.axes, correction=0, keepdim=True)
        centered = x if self.keep_mean else x - x.mean(self.axes, keepdim=True)
        y = centered * torch.rsqrt(variance + self.eps)
        if self.weight is not None:
            y = y * self.weight.reshape(sizes)
        if self.bias is not None:
            y = y + self.bias.reshape(sizes)
        return y


class RMSNorm(nn.Module):
    """y = x / sqrt(mean(x^2) + eps) * weight over any axes; the weight lies along the last axes, as in Keras.

    `nn.RMSNorm` takes the last axes only. Source: keras 3.15.1, ops/nn.py, `_rms_normalization`.
    """

    def __init__(
        self, shape: tuple[int, ...], *, axes: tuple[int, ...], eps: float = 1e-6
    ) -> None:
        super().__init__()
        self.axes, self.eps = axes, eps
        self.weight = nn.Parameter(torch.ones(shape))

    def forward(self, x: Tensor) -> Tensor:
        """Return x normalized."""
        return (
            x
            * torch.rsqrt((x * x).mean(self.axes, keepdim=True) + self.eps)
            * self.weight
        )


class GroupNorm(nn.Module):
    """Group normalization with the channels on any axis, with or without weight and bias.

    `nn.GroupNorm` needs them on axis 1, and has both or neither.

    Args:
        groups: number of groups of neighbouring channels.
        channels: size of the channel axis.
        axis: of the channels, counted with the batch.

    Source: keras 3.15.1, layers/normalization/group_normalization.py.
    """

    def __init__(
        self,
        groups: int,
        channels: int,
        *,
        axis: int = -1,
        eps: float = 1e-3,
        scale: bool = True,
        center: bool = True,
    ) -> None:
        super().__init__()
        self.groups, self.axis, self.eps = groups, axis, eps
        self.weight = nn.Parameter(torch.ones(channels)) if scale else None
        self.bias = nn.Parameter(torch.zeros(channels)) if center else None

    def forward(self, x: Tensor) -> Tensor:
        """Return x normalized over each group's channels and all other axes but the batch."""
        y = nn.functional.group_norm(x.movedim(self.axis, 1), self.groups, eps=self.eps)
        y = y.movedim(1, -1)
        if self.weight is not None:
            y = y * self.weight
        if self.bias is not None:
            y = y + self.bias
        return y.movedim(-1, self.axis)


def unit_length(x: Tensor, *, dim: tuple[int, ...]) -> Tensor:
    """Return x divided by its Euclidean length over some axes, which counts as 1e-12 if it is smaller."""
    limit = min(1e12, torch.finfo(x.dtype).max)  # float16 ends before
    return x * torch.clamp(torch.rsqrt((x * x).sum(dim, keepdim=True)), max=limit)
