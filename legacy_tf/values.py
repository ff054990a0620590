"""Critics: of continuous actions, and of all numbered actions at once.

Mirror: torch_impl/values.py.
"""

from __future__ import annotations

import tensorflow as tf

from legacy_tf.graph_layers import Network, dense


class MLPQValue(Network):
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
        self.observation_size, self.action_size = observation_size, action_size
        self.hidden_sizes, self.dtype = hidden_sizes, dtype

    def forward(self, observation: tf.Tensor, action: tf.Tensor) -> tf.Tensor:
        """Return the values (batch, 1) of observations (batch, observation) and actions (batch, action)."""
        x = dense(observation, self.hidden_sizes[0], "q_dense1", tf.nn.relu)
        x = dense(tf.concat([x, action], axis=1), self.hidden_sizes[1], "q_dense2", tf.nn.relu)
        return dense(x, 1, "q")


class MLPQValueSAC(Network):
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
        self.observation_size, self.action_size = observation_size, action_size
        self.hidden_sizes, self.dtype = hidden_sizes, dtype

    def forward(self, observation: tf.Tensor, action: tf.Tensor) -> tf.Tensor:
        """Return the values (batch, 1) of observations (batch, observation) and actions (batch, action)."""
        x = tf.concat([observation, action], axis=1)
        x = dense(x, self.hidden_sizes[0], "q_dense1", tf.nn.relu)
        x = dense(x, self.hidden_sizes[1], "q_dense2", tf.nn.relu)
        return dense(x, 1, "q")


class MLPValueDQN(Network):
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
        self.observation_size, self.action_size = observation_size, action_size
        self.hidden_sizes, self.dtype = hidden_sizes, dtype

    def forward(self, observation: tf.Tensor) -> tf.Tensor:
        """Return the values (batch, action) of observations (batch, observation)."""
        x = dense(observation, self.hidden_sizes[0], "q_dense1", tf.nn.relu)
        x = dense(x, self.hidden_sizes[1], "q_dense2", tf.nn.relu)
        return dense(x, self.action_size, "q")
