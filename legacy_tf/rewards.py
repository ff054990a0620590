"""Networks that predict the reward of one step, learnt from the returns of whole episodes.

Mirror: torch_impl/rewards.py.
"""

from __future__ import annotations

import tensorflow as tf

from legacy_tf.graph_layers import Network, dense


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
