"""What a user writes for recorded files whose layers hold code: the calculation, never read from the file."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def dueling(values: Tensor) -> Tensor:
    """Return state value plus centred advantages, from (batch, 1 + actions)."""
    advantages = values[:, 1:]
    return values[:, :1] + advantages - advantages.mean(1, keepdim=True)


class NoisyDense(nn.Module):
    """A dense layer with a mean and a deviation for every weight, at its means."""

    def __init__(self, units: int, in_features: int) -> None:
        super().__init__()
        self.mu_w = nn.Parameter(torch.zeros(in_features, units))
        self.sigma_w = nn.Parameter(torch.zeros(in_features, units))
        self.mu_b = nn.Parameter(torch.zeros(units))
        self.sigma_b = nn.Parameter(torch.zeros(units))

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, units) from (batch, in_features)."""
        return x @ self.mu_w + self.mu_b


LAYERS = {
    "tf215_noisy_dense": {"NoisyDense": "parity_tests.recorded_layers:NoisyDense"},
    "tf215_dueling_lambda": {"lambda": "parity_tests.recorded_layers:dueling"},
}
"""By case: name or class of the layer, and what computes it."""
