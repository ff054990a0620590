"""A factor of its own for every channel. It stands alone: its source is emitted as it is."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ChannelScale(nn.Module):
    """y = x * weight, with one weight for each entry of the last axis."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return x, every channel multiplied by its weight."""
        return x * self.weight
