"""Policies of continuous actions: deterministic, and normal with a standard deviation of its own for every state.

Mirror: legacy_tf/policies.py.
"""

from __future__ import annotations

import math
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import skip_init

from torch_impl.networks import DTYPES

MINIMUM_STD = 1e-2
LOGSTD_RANGE = (-20.0, 2.0)


class MLPPolicy(nn.Module):
    """The deterministic policy: `pi_dense1`, `pi_dense2` with ReLU, then `pi` with tanh.

    Args:
        observation_size: numbers in an observation.
        action_size: numbers in an action.
        hidden_sizes: units of the hidden layers; 400 and 300 in DDPG, 256 and 256 in TD3.
        dtype: "float32" or "float64".
    """

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        *,
        hidden_sizes: tuple[int, int] = (400, 300),
        dtype: str = "float32",
    ) -> None:
        super().__init__()
        # `ActorCritic.add_network` sets the first weights.
        linear = partial(skip_init, nn.Linear, dtype=DTYPES[dtype])
        self.pi_dense1 = linear(observation_size, hidden_sizes[0])
        self.pi_dense2 = linear(hidden_sizes[0], hidden_sizes[1])
        self.pi = linear(hidden_sizes[1], action_size)

    def forward(self, observation: Tensor) -> Tensor:
        """Return the actions (batch, action), in [-1, 1], of observations (batch, observation)."""
        x = F.relu(self.pi_dense1(observation))
        x = F.relu(self.pi_dense2(x))
        return torch.tanh(self.pi(x))


class MLPStochasticPolicy(nn.Module):
    """The normal policy before squashing: `pi_dense1`, `pi_dense2` with ReLU, then `pi` with means and log stds.

    Args:
        observation_size: numbers in an observation.
        action_size: numbers in an action.
        hidden_sizes: units of the hidden layers.
        dtype: "float32" or "float64".
    """

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        *,
        hidden_sizes: tuple[int, int] = (256, 256),
        dtype: str = "float32",
    ) -> None:
        super().__init__()
        self.action_size = action_size
        linear = partial(skip_init, nn.Linear, dtype=DTYPES[dtype])
        self.pi_dense1 = linear(observation_size, hidden_sizes[0])
        self.pi_dense2 = linear(hidden_sizes[0], hidden_sizes[1])
        self.pi = linear(hidden_sizes[1], 2 * action_size)

    def forward(self, observation: Tensor) -> RandomNormal:
        """Return the distribution (batch, action) of observations (batch, observation); log std in [-20, 2]."""
        x = F.relu(self.pi_dense1(observation))
        x = F.relu(self.pi_dense2(x))
        x = self.pi(x)
        mean, logstd = x[:, : self.action_size], x[:, self.action_size :]
        return RandomNormal(mean, logstd.clamp(*LOGSTD_RANGE))


class RandomNormal:
    """Independent normal distributions along the last axis.

    Attributes:
        mean: (..., size).
        logstd: (..., size), as given.
        std: max(exp(logstd), 0.01); the density keeps the log std without this floor, as the original does.

    Args:
        mean: (..., size).
        logstd: (..., size), or (size,) for all rows.
    """

    def __init__(self, mean: Tensor, logstd: Tensor) -> None:
        if logstd.ndim < mean.ndim:
            logstd = torch.zeros_like(mean) + logstd
        self.mean, self.logstd = mean, logstd
        # Not torch.maximum: at equality it gives half of the gradient, TensorFlow's maximum and clamp give all.
        self.std = logstd.exp().clamp(min=MINIMUM_STD)

    def sample(self, noise: Tensor) -> Tensor:
        """Return mean + noise * std for standard normal noise of the same shape."""
        return self.mean + noise * self.std

    def log_p(self, x: Tensor) -> Tensor:
        """Return the log density of x (..., size): sum(-ln(2 pi) / 2 - logstd - ((x - mean) / std)^2 / 2), (..., 1)."""
        z = (x - self.mean) / self.std
        terms = -0.5 * math.log(2 * math.pi) - self.logstd - 0.5 * z.square()
        return terms.sum(dim=-1, keepdim=True)

    def entropy(self) -> Tensor:
        """Return sum(logstd + ln(2 pi e) / 2), (..., 1)."""
        terms = self.logstd + 0.5 * math.log(2 * math.pi * math.e)
        return terms.sum(dim=-1, keepdim=True)

    def kl(self, other: RandomNormal) -> Tensor:
        """Return the Kullback-Leibler divergence from this distribution to the other, (..., 1)."""
        ratio, distance = self.std / other.std, (self.mean - other.mean) / other.std
        terms = -0.5 + other.logstd - self.logstd + 0.5 * ratio.square() + 0.5 * distance.square()
        return terms.sum(dim=-1, keepdim=True)
