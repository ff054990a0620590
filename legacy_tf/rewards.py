"""Networks that predict the reward of one step, learnt from the returns of whole episodes.

Mirror: torch_impl/rewards.py.
"""

from __future__ import annotations

import tensorflow as tf

from legacy_tf.graph_layers import Network, dense
from legacy_tf.image_networks import convolve


class MLPRewardNet(Network):
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
        self.observation_size, self.action_size = observation_size, action_size
        self.hidden_sizes, self.dtype = hidden_sizes, dtype

    def forward(
        self, observation: tf.Tensor, action: tf.Tensor, next_observation: tf.Tensor
    ) -> tf.Tensor:
        """Return the rewards (..., 1) of (..., observation), (..., action) and (..., observation)."""
        x = tf.concat([observation, action, observation - next_observation], axis=-1)
        x = dense(x, self.hidden_sizes[0], "r_dense1", tf.nn.relu)
        x = dense(x, self.hidden_sizes[1], "r_dense2", tf.nn.relu)
        return dense(x, 1, "r")


class ConvRewardNet(Network):
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
        self.observation_shape, self.action_size = observation_shape, action_size
        self.filters, self.units, self.dtype = filters, units, dtype

    def forward(
        self, observation: tf.Tensor, action: tf.Tensor, next_observation: tf.Tensor
    ) -> tf.Tensor:
        """Return the rewards (..., 1).

        Args:
            observation: (..., height, width, channels).
            action: (..., actions), 1 at the action that was taken, else 0.
            next_observation: (..., height, width, channels).
        """
        x = tf.concat([observation, observation - next_observation], axis=-1)
        x = convolve("r", tf.reshape(x, (-1, *x.shape[-3:])), self.filters)
        x = dense(dense(x, self.units, "r_dense_act", tf.nn.relu), self.action_size, "r_act")
        return tf.reduce_sum(tf.reshape(x, tf.shape(action)) * action, axis=-1, keepdims=True)
