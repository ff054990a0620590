"""The losses of the agents as pure functions of tensors: they may be differentiated or traced by `tf.function`.

Mirror: torch_impl/losses.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import keras
import tensorflow as tf

from legacy_tf.networks import run_masked


class TensorBatch(NamedTuple):
    """The transitions of one update as tensors; all but `action` have the network's dtype."""

    observation: tf.Tensor  # (batch, state)
    action: tf.Tensor  # (batch,), int64
    reward: tf.Tensor  # (batch,)
    next_observation: tf.Tensor  # (batch, state)
    terminated: tf.Tensor  # (batch,), 0 or 1


def q_learning_target(
    q_network: keras.Model,
    target_network: keras.Model,
    batch: TensorBatch,
    *,
    gamma: float,
    double: bool,
) -> tf.Tensor:
    """Return what Q(observation, action) should be; no gradient flows through it.

        target = reward + gamma * (1 - terminated) * Q_target(next_observation, a)

    where a is the best action by the target network, or by the online one if `double`. Neither has dropout here,
    whatever the training pass does.

    Args:
        q_network: used only if `double`.
        target_network: copy of the online network.
        batch: transitions.
        gamma: discount per step.
        double: van Hasselt et al. 2016, equation 4, instead of Mnih et al. 2015, equation 2.

    Returns:
        (batch,).
    """
    next_q = target_network(batch.next_observation, training=False)
    if double:
        best = tf.argmax(q_network(batch.next_observation, training=False), axis=1)
        next_value = tf.gather(next_q, best, batch_dims=1)
    else:
        next_value = tf.reduce_max(next_q, axis=1)
    return tf.stop_gradient(batch.reward + gamma * (1 - batch.terminated) * next_value)


def q_learning_loss(
    q_network: keras.Model,
    target_network: keras.Model,
    batch: TensorBatch,
    noise: Mapping[str, tf.Tensor] | None,
    *,
    gamma: float,
    double: bool,
    loss: str,
) -> tf.Tensor:
    """Return the mean loss over the batch between Q(observation, action) and its target.

    Args:
        q_network: online network.
        target_network: copy of the online network.
        batch: transitions.
        noise: dropout masks of the pass over `batch.observation`, (batch, units) each; None: the layers draw them.
        gamma: discount per step.
        double: see `q_learning_target`.
        loss: "mse": error**2; "huber": 0.5 * error**2 up to |error| = 1, |error| - 0.5 beyond.

    Returns:
        0-d.
    """
    target = q_learning_target(q_network, target_network, batch, gamma=gamma, double=double)
    if noise is None:
        all_q = q_network(batch.observation, training=True)
    else:
        all_q = run_masked(q_network, batch.observation, noise)
    q = tf.gather(all_q, batch.action, batch_dims=1)
    # The functions take one row of outputs for each example; the loss classes would compute in float32.
    function = keras.losses.mean_squared_error if loss == "mse" else keras.losses.huber
    return tf.reduce_mean(function(target[:, None], q[:, None]))
