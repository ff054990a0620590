"""Critics: of continuous actions, and of all numbered actions at once.

Mirror: legacy_tf/values.py.
"""

from __future__ import annotations

from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import skip_init

from torch_impl.networks import DTYPES


class MLPQValue(nn.Module):
    """The critic of DDPG: `q_dense1` sees the observation, `q_dense2` its output and the action, `q` is the value.

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
        hidden_sizes: tuple[int, int] = (400, 300),
        dtype: str = "float32",
    ) -> None:
        super().__init__()
        linear = partial(skip_init, nn.Linear, dtype=DTYPES[dtype])
        self.q_dense1 = linear(observation_size, hidden_sizes[0])
        self.q_dense2 = linear(hidden_sizes[0] + action_size, hidden_sizes[1])
        self.q = linear(hidden_sizes[1], 1)

    def forward(self, observation: Tensor, action: Tensor) -> Tensor:
        """Return the values (batch, 1) of observations (batch, observation) and actions (batch, action)."""
        x = F.relu(self.q_dense1(observation))
        x = F.relu(self.q_dense2(torch.cat([x, action], dim=1)))
        return cast("Tensor", self.q(x))


class MLPQValueSAC(nn.Module):
    """The critic of TD3 and SAC: `q_dense1` sees observation and action, then `q_dense2`, then `q`.

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
        self.q_dense1 = linear(observation_size + action_size, hidden_sizes[0])
        self.q_dense2 = linear(hidden_sizes[0], hidden_sizes[1])
        self.q = linear(hidden_sizes[1], 1)

    def forward(self, observation: Tensor, action: Tensor) -> Tensor:
        """Return the values (batch, 1) of observations (batch, observation) and actions (batch, action)."""
        x = torch.cat([observation, action], dim=1)
        x = F.relu(self.q_dense1(x))
        x = F.relu(self.q_dense2(x))
        return cast("Tensor", self.q(x))


class MLPValueDQN(nn.Module):
    """The values of all actions: `q_dense1`, `q_dense2` with ReLU, then `q`; on images it is `ConvValueDQN`.

    Args:
        observation_size: numbers in an observation.
        action_size: number of actions.
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
        self.q_dense1 = linear(observation_size, hidden_sizes[0])
        self.q_dense2 = linear(hidden_sizes[0], hidden_sizes[1])
        self.q = linear(hidden_sizes[1], action_size)

    def forward(self, observation: Tensor) -> Tensor:
        """Return the values (batch, action) of observations (batch, observation)."""
        x = F.relu(self.q_dense1(observation))
        x = F.relu(self.q_dense2(x))
        return cast("Tensor", self.q(x))
