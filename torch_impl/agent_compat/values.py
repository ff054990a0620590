"""Variables of an agent that are no layer's: a standard deviation of its own, a temperature, the bounds of observations."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class StateIndependentLogStd(nn.Module):
    """The logarithm of a Gaussian's standard deviation, one number for every dimension of the action."""

    def __init__(self, actions: int) -> None:
        super().__init__()
        self.log_std = nn.Parameter(torch.zeros(actions))

    def forward(self, mean: Tensor) -> Tensor:
        """Return it in the shape of `mean`, (batch, actions)."""
        return self.log_std + torch.zeros_like(mean)


class StateIndependentBias(nn.Module):
    """One number for every dimension of the action, whatever is observed.

    Source: tf_agents 0.19 networks/bias_layer.py, `BiasLayer` on zeros, whose softplus is a Gaussian's deviation.
    """

    def __init__(self, actions: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(actions))

    def forward(self, like: Tensor) -> Tensor:
        """Return it in the shape of `like`, (batch, actions)."""
        return self.bias + torch.zeros_like(like)


class Variable(nn.Module):
    """A trained variable that stands for itself."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.zeros(shape))

    def forward(self) -> Tensor:
        """Return the variable."""
        return self.value.clone()


class Temperature(nn.Module):
    """The weight of the entropy, by its logarithm."""

    def __init__(self) -> None:
        super().__init__()
        self.log_alpha = nn.Parameter(torch.zeros(()))

    def forward(self) -> Tensor:
        """Return exp(log_alpha), 0-d."""
        return self.log_alpha.exp()


class Bounds(nn.Module):
    """Observations between their lowest and highest values, as numbers between 0 and 1.

    Source: stable_baselines 2.10 common/input.py, `observation_input(scale=True)`.
    """

    low: Tensor
    high: Tensor

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("low", torch.zeros(shape))
        self.register_buffer("high", torch.ones(shape))

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, ...) observations scaled."""
        return (x - self.low) / (self.high - self.low)
