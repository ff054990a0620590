"""Policies of continuous actions: deterministic, and normal with a standard deviation of its own for every state.

Mirror: torch_impl/policies.py.
"""

from __future__ import annotations

import math

import tensorflow as tf

from legacy_tf.graph_layers import Network, dense

MINIMUM_STD = 1e-2
LOGSTD_RANGE = (-20.0, 2.0)


class MLPPolicy(Network):
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
        self.observation_size, self.action_size = observation_size, action_size
        self.hidden_sizes, self.dtype = hidden_sizes, dtype

    def forward(self, observation: tf.Tensor) -> tf.Tensor:
        """Return the actions (batch, action), in [-1, 1], of observations (batch, observation)."""
        x = dense(observation, self.hidden_sizes[0], "pi_dense1", tf.nn.relu)
        x = dense(x, self.hidden_sizes[1], "pi_dense2", tf.nn.relu)
        return dense(x, self.action_size, "pi", tf.nn.tanh)


class MLPStochasticPolicy(Network):
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
        self.observation_size, self.action_size = observation_size, action_size
        self.hidden_sizes, self.dtype = hidden_sizes, dtype

    def forward(self, observation: tf.Tensor) -> RandomNormal:
        """Return the distribution (batch, action) of observations (batch, observation); log std in [-20, 2]."""
        x = dense(observation, self.hidden_sizes[0], "pi_dense1", tf.nn.relu)
        x = dense(x, self.hidden_sizes[1], "pi_dense2", tf.nn.relu)
        x = dense(x, 2 * self.action_size, "pi")
        mean, logstd = x[:, : self.action_size], x[:, self.action_size :]
        return RandomNormal(mean, tf.clip_by_value(logstd, *LOGSTD_RANGE))


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

    def __init__(self, mean: tf.Tensor, logstd: tf.Tensor) -> None:
        if len(logstd.shape) < len(mean.shape):
            logstd = tf.zeros_like(mean) + logstd
        self.mean, self.logstd = mean, logstd
        self.std = tf.maximum(tf.exp(logstd), tf.constant(MINIMUM_STD, logstd.dtype))

    def sample(self, noise: tf.Tensor) -> tf.Tensor:
        """Return mean + noise * std for standard normal noise of the same shape."""
        return self.mean + noise * self.std

    def log_p(self, x: tf.Tensor) -> tf.Tensor:
        """Return the log density of x (..., size): sum(-ln(2 pi) / 2 - logstd - ((x - mean) / std)^2 / 2), (..., 1)."""
        z = (x - self.mean) / self.std
        terms = -0.5 * math.log(2 * math.pi) - self.logstd - 0.5 * tf.square(z)
        return tf.reduce_sum(terms, axis=-1, keepdims=True)

    def entropy(self) -> tf.Tensor:
        """Return sum(logstd + ln(2 pi e) / 2), (..., 1)."""
        terms = self.logstd + 0.5 * math.log(2 * math.pi * math.e)
        return tf.reduce_sum(terms, axis=-1, keepdims=True)

    def kl(self, other: RandomNormal) -> tf.Tensor:
        """Return the Kullback-Leibler divergence from this distribution to the other, (..., 1)."""
        ratio, distance = self.std / other.std, (self.mean - other.mean) / other.std
        terms = (
            -0.5 + other.logstd - self.logstd + 0.5 * tf.square(ratio) + 0.5 * tf.square(distance)
        )
        return tf.reduce_sum(terms, axis=-1, keepdims=True)
