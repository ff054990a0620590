"""Running statistics of observations as the libraries keep and use them. All is computed in float64, as there."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class VecNormalize(nn.Module):
    """Observations minus their mean, divided by sqrt(variance + epsilon), then clipped.

    Source: stable_baselines 2.10 common/vec_env/vec_normalize.py, `_normalize_observation`.
    """

    mean: Tensor
    var: Tensor

    def __init__(self, shape: tuple[int, ...], clip: float, epsilon: float) -> None:
        super().__init__()
        self.clip, self.epsilon = clip, epsilon
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("var", torch.ones(shape))

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, ...) observations normalized, in their dtype."""
        deviation = torch.sqrt(self.var.double() + self.epsilon)
        normalized = (x.double() - self.mean.double()) / deviation
        return torch.clamp(normalized, -self.clip, self.clip).to(x.dtype)


class MeanStdFilter(nn.Module):
    """Observations minus their mean, divided by their deviation with 1e-8 added, then clipped.

    Source: ray 1.13 rllib/utils/filter.py, `MeanStdFilter`.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, shape: tuple[int, ...], clip: float) -> None:
        super().__init__()
        self.clip = clip
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("deviation", torch.ones(shape))

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, ...) observations normalized, in their dtype."""
        normalized = (x.double() - self.mean.double()) / (
            self.deviation.double() + 1e-8
        )
        return torch.clamp(normalized, -self.clip, self.clip).to(x.dtype)


class SumNormalizer(nn.Module):
    """Observations minus their mean, divided by their deviation, clipped to -5 ... 5.

    The sums that mean and deviation come from are kept beside them. Source: the RRD repository's utils/tf_utils.py.
    """

    sum: Tensor
    sum_sqr: Tensor
    cnt: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        for name in ("sum", "sum_sqr", "cnt", "mean", "std"):
            self.register_buffer(name, torch.ones((1,) if name == "cnt" else shape))

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, ...) observations normalized."""
        return torch.clamp((x - self.mean) / self.std, -5.0, 5.0)


class RunningMeanStd(nn.Module):
    """Observations minus their mean, divided by their deviation plus `epsilon`; from sums over all that were seen.

    The variance is at least 0.01.

    Source: baselines ddpg/ddpg_learner.py, `normalize`, whose epsilon is 1e-8; stable_baselines 2.10 ddpg/ddpg.py, where it is 0.
    """

    runningsum: Tensor
    runningsumsq: Tensor
    count: Tensor

    def __init__(self, shape: tuple[int, ...], epsilon: float = 1e-8) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.register_buffer("runningsum", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("runningsumsq", torch.ones(shape, dtype=torch.float64))
        self.register_buffer("count", torch.ones((), dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, ...) observations normalized."""
        mean = (self.runningsum / self.count).to(x.dtype)
        square = (self.runningsumsq / self.count).to(x.dtype)
        deviation = torch.sqrt(torch.clamp(square - mean**2, min=1e-2))
        return (x - mean) / (deviation + self.epsilon)


class Denormalize(nn.Module):
    """Normalized returns times their deviation, plus their mean; from sums over all returns, variance at least 0.01.

    Source: stable_baselines 2.10 ddpg/ddpg.py, `denormalize`.
    """

    runningsum: Tensor
    runningsumsq: Tensor
    count: Tensor

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("runningsum", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("runningsumsq", torch.ones(shape, dtype=torch.float64))
        self.register_buffer("count", torch.ones((), dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, ...) values in the units of the rewards."""
        mean = (self.runningsum / self.count).to(x.dtype)
        square = (self.runningsumsq / self.count).to(x.dtype)
        return x * torch.sqrt(torch.clamp(square - mean**2, min=1e-2)) + mean
