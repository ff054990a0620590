"""The small networks of the lesson: values of states and actions, XOR, a line.

The three of reinforcement learning are `DQNetwork` with the lesson's sizes and argument names: what a `DQNAgent` has with
`hidden_sizes=(hidden_dim, hidden_dim)` and no dropout, so weights go from one to the other. Mirror: legacy_tf/lesson_networks.py.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import nn
from torch.nn.utils import skip_init

from experience.actor_critics import initial_array
from torch_impl.networks import DTYPES, DQNetwork


class ValueNetwork(DQNetwork):
    """The value of a state: fc1 and fc2 with ReLU, then fc3 with one output; 4,545 parameters for (4, 64).

    Args:
        state_dim: numbers in an observation.
        hidden_dim: units of both hidden layers.
        dtype: "float32" or "float64".
        seed: of the initial weights.
    """

    def __init__(
        self, state_dim: int, hidden_dim: int = 64, *, dtype: str = "float32", seed: int = 0
    ) -> None:
        sizes = (hidden_dim, hidden_dim)
        super().__init__(state_dim, 1, hidden_sizes=sizes, dropout=0.0, dtype=dtype, seed=seed)


class QNetwork(DQNetwork):
    """The values of all actions: fc1 and fc2 with ReLU, then fc3; 17,410 parameters for (4, 2).

    Args:
        state_dim: numbers in an observation.
        action_dim: number of actions.
        hidden_dim: units of both hidden layers.
        dtype: "float32" or "float64".
        seed: of the initial weights.
    """

    def __init__(
        self,
        state_dim: int,
        action_dim: int,
        hidden_dim: int = 128,
        *,
        dtype: str = "float32",
        seed: int = 0,
    ) -> None:
        sizes = (hidden_dim, hidden_dim)
        super().__init__(
            state_dim, action_dim, hidden_sizes=sizes, dropout=0.0, dtype=dtype, seed=seed
        )


class DuelingQNetwork(DQNetwork):
    """The values of all actions in two streams behind fc1 and fc2: Q = value + advantage - mean(advantage).

    Args:
        state_dim: numbers in an observation.
        action_dim: number of actions.
        hidden_dim: units of both hidden layers.
        dtype: "float32" or "float64".
        seed: of the initial weights.
    """

    def __init__(
        self,
        state_dim: int,
        action_dim: int,
        hidden_dim: int = 128,
        *,
        dtype: str = "float32",
        seed: int = 0,
    ) -> None:
        sizes = (hidden_dim, hidden_dim)
        super().__init__(
            state_dim,
            action_dim,
            hidden_sizes=sizes,
            dropout=0.0,
            dueling=True,
            dtype=dtype,
            seed=seed,
        )


def XorNetwork(  # noqa: N802  named as the networks
    hidden_dim: int = 8, *, dtype: str = "float32", seed: int = 0
) -> nn.Sequential:
    """The probability that exactly one of two inputs is 1: `hidden` with tanh, `output` with a sigmoid.

    Tanh on purpose: with two ReLU units most first weights lead into a corner from which no gradient leads out.

    Args:
        hidden_dim: units of the hidden layer.
        dtype: "float32" or "float64".
        seed: of the initial weights, Glorot-uniform; biases are zero.
    """
    linear = partial(skip_init, nn.Linear, dtype=DTYPES[dtype])
    network = nn.Sequential()
    network.add_module("hidden", linear(2, hidden_dim))
    network.add_module("tanh", nn.Tanh())
    network.add_module("output", linear(hidden_dim, 1))
    network.add_module("sigmoid", nn.Sigmoid())
    return _initialize(network, seed)


def LineNetwork(  # noqa: N802  as above
    *, dtype: str = "float32", seed: int = 0
) -> nn.Sequential:
    """A straight line, y = weight x + bias: one layer `line`, for linear regression.

    Args:
        dtype: "float32" or "float64".
        seed: of the initial weight; the bias is zero.
    """
    network = nn.Sequential()
    network.add_module("line", partial(skip_init, nn.Linear, dtype=DTYPES[dtype])(1, 1))
    return _initialize(network, seed)


def _initialize(network: nn.Sequential, seed: int) -> nn.Sequential:
    """Set the first weights, the same as on the other side."""
    with torch.no_grad():
        for name, tensor in network.named_parameters():
            keras_name = name.replace(".weight", "/kernel").replace(".bias", "/bias")
            array = initial_array(keras_name, tuple(reversed(tensor.shape)), seed)
            tensor.copy_(torch.from_numpy(array.T))
    return network
