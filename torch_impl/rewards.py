"""Networks that predict the reward of one step, learnt from the returns of whole episodes.

Mirror: legacy_tf/rewards.py.
"""

from __future__ import annotations

from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import skip_init

from torch_impl.image_networks import add_convolutions, convolve
from torch_impl.networks import DTYPES


class MLPRewardNet(nn.Module):
    """The reward of a step: `r_dense1`, `r_dense2` with ReLU, then `r`; it sees observation, action and the change.

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
        linear = partial(skip_init, nn.Linear, dtype=DTYPES[dtype])
        self.r_dense1 = linear(2 * observation_size + action_size, hidden_sizes[0])
        self.r_dense2 = linear(hidden_sizes[0], hidden_sizes[1])
        self.r = linear(hidden_sizes[1], 1)

    def forward(self, observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:
        """Return the rewards (..., 1) of (..., observation), (..., action) and (..., observation)."""
        x = torch.cat([observation, action, observation - next_observation], dim=-1)
        x = F.relu(self.r_dense1(x))
        x = F.relu(self.r_dense2(x))
        return cast("Tensor", self.r(x))


class ConvRewardNet(nn.Module):
    """The reward of a step on images: `r_conv1` to `r_conv3`, `r_dense_act` with ReLU, then `r_act`.

    It sees observation and change, as channels; `r_act` has one reward for every action.

    Args:
        observation_shape: (height, width, channels).
        action_size: number of actions.
        filters: of the convolutions.
        units: of the dense hidden layer.
        dtype: "float32" or "float64".
    """

    def __init__(
        self,
        observation_shape: tuple[int, int, int],
        action_size: int,
        *,
        filters: tuple[int, int, int] = (32, 64, 64),
        units: int = 512,
        dtype: str = "float32",
    ) -> None:
        super().__init__()
        linear = partial(skip_init, nn.Linear, dtype=DTYPES[dtype])
        height, width, channels = observation_shape
        features = add_convolutions(self, "r", (height, width, 2 * channels), filters, dtype)
        self.r_dense_act = linear(features, units)
        self.r_act = linear(units, action_size)

    def forward(self, observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:
        """Return the rewards (..., 1).

        Args:
            observation: (..., height, width, channels).
            action: (..., actions), 1 at the action that was taken, else 0.
            next_observation: (..., height, width, channels).
        """
        x = torch.cat([observation, observation - next_observation], dim=-1)
        x = convolve(self, "r", x.flatten(end_dim=-4))
        x = self.r_act(F.relu(self.r_dense_act(x))).reshape(action.shape)
        return cast("Tensor", (x * action).sum(dim=-1, keepdim=True))
