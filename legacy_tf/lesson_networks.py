"""The small networks of the lesson: values of states and actions, XOR, a line.

The three of reinforcement learning are `DQNetwork` with the lesson's sizes and argument names: what a `DQNAgent` has with
`hidden_sizes=(hidden_dim, hidden_dim)` and no dropout, so weights go from one to the other. Mirror: torch_impl/lesson_networks.py.
"""

from __future__ import annotations

import keras
from keras import layers

from experience.actor_critics import initial_array
from legacy_tf.networks import DQNetwork


def ValueNetwork(  # noqa: N802  the rewrite has a class of this name
    state_dim: int, hidden_dim: int = 64, *, dtype: str = "float32", seed: int = 0
) -> keras.Model:
    """The value of a state: fc1 and fc2 with ReLU, then fc3 with one output; 4,545 parameters for (4, 64).

    Args:
        state_dim: numbers in an observation.
        hidden_dim: units of both hidden layers.
        dtype: "float32" or "float64".
        seed: of the initial weights.
    """
    sizes = (hidden_dim, hidden_dim)
    return DQNetwork(state_dim, 1, hidden_sizes=sizes, dropout=0.0, dtype=dtype, seed=seed)


def QNetwork(  # noqa: N802  as above
    state_dim: int,
    action_dim: int,
    hidden_dim: int = 128,
    *,
    dtype: str = "float32",
    seed: int = 0,
) -> keras.Model:
    """The values of all actions: fc1 and fc2 with ReLU, then fc3; 17,410 parameters for (4, 2).

    Args:
        state_dim: numbers in an observation.
        action_dim: number of actions.
        hidden_dim: units of both hidden layers.
        dtype: "float32" or "float64".
        seed: of the initial weights.
    """
    sizes = (hidden_dim, hidden_dim)
    return DQNetwork(state_dim, action_dim, hidden_sizes=sizes, dropout=0.0, dtype=dtype, seed=seed)


def DuelingQNetwork(  # noqa: N802  as above
    state_dim: int,
    action_dim: int,
    hidden_dim: int = 128,
    *,
    dtype: str = "float32",
    seed: int = 0,
) -> keras.Model:
    """The values of all actions in two streams behind fc1 and fc2: Q = value + advantage - mean(advantage).

    Args:
        state_dim: numbers in an observation.
        action_dim: number of actions.
        hidden_dim: units of both hidden layers.
        dtype: "float32" or "float64".
        seed: of the initial weights.
    """
    return DQNetwork(
        state_dim,
        action_dim,
        hidden_sizes=(hidden_dim, hidden_dim),
        dropout=0.0,
        dueling=True,
        dtype=dtype,
        seed=seed,
    )


def XorNetwork(  # noqa: N802  as above
    hidden_dim: int = 8, *, dtype: str = "float32", seed: int = 0
) -> keras.Model:
    """The probability that exactly one of two inputs is 1: `hidden` with tanh, `output` with a sigmoid.

    Tanh on purpose: with two ReLU units most first weights lead into a corner from which no gradient leads out.

    Args:
        hidden_dim: units of the hidden layer.
        dtype: "float32" or "float64".
        seed: of the initial weights, Glorot-uniform; biases are zero.
    """
    observation = keras.Input((2,), dtype=dtype)
    x = layers.Dense(hidden_dim, "tanh", name="hidden", dtype=dtype)(observation)
    probability = layers.Dense(1, "sigmoid", name="output", dtype=dtype)(x)
    return _initialize(keras.Model(observation, probability, name="xor_network"), seed)


def LineNetwork(  # noqa: N802  as above
    *, dtype: str = "float32", seed: int = 0
) -> keras.Model:
    """A straight line, y = weight x + bias: one layer `line`, for linear regression.

    Args:
        dtype: "float32" or "float64".
        seed: of the initial weight; the bias is zero.
    """
    x = keras.Input((1,), dtype=dtype)
    y = layers.Dense(1, name="line", dtype=dtype)(x)
    return _initialize(keras.Model(x, y, name="line_network"), seed)


def _initialize(network: keras.Model, seed: int) -> keras.Model:
    """Set the first weights, the same as on the other side."""
    for variable in network.trainable_variables:
        variable.assign(initial_array(variable.path, tuple(variable.shape), seed))
    return network
