"""The losses of the offline agents as pure functions of tensors.

Definitions of d3rlpy 2.8.1 (algos/qlearning/torch/*_impl.py, models/torch/), which the papers named below leave open in
part. Where the two frameworks round differently, the formula is chosen so that they agree.

Mirror: torch_impl/offline_losses.py.
"""

from __future__ import annotations

import math

import tensorflow as tf

_HALF_LOG_TAU = 0.5 * math.log(2.0 * math.pi)


def td_target(
    reward: tf.Tensor, terminated: tf.Tensor, next_value: tf.Tensor, *, gamma: float
) -> tf.Tensor:
    """Return y = reward + gamma * next_value * (1 - terminated), (batch,); no gradient flows through it."""
    return tf.stop_gradient(reward + gamma * next_value * (1.0 - terminated))


def td_loss(value: tf.Tensor, target: tf.Tensor, *, loss: str) -> tf.Tensor:
    """Return the mean loss between values and targets, 0-d.

    Args:
        value: (batch,).
        target: (batch,).
        loss: "mse": error**2; "huber": 0.5 * error**2 below |error| = 1, |error| - 0.5 from there on.
    """
    error = target - value
    if loss == "mse":
        return tf.reduce_mean(tf.square(error))
    size = tf.abs(error)
    return tf.reduce_mean(tf.where(size < 1.0, 0.5 * tf.square(error), size - 0.5))


def chosen_value(values: tf.Tensor, action: tf.Tensor) -> tf.Tensor:
    """Return the value of one action a row: (batch, actions) and (batch,) give (batch,)."""
    return tf.gather(values, action, batch_dims=1)


def conservative_loss(values: tf.Tensor, action: tf.Tensor) -> tf.Tensor:
    """Return mean(logsumexp_a Q(s, a) - Q(s, a_data)): how far unseen actions are above those of the data, 0-d.

    Args:
        values: (batch, actions).
        action: (batch,), of the data.

    Source: Kumar et al. 2020, equation 4 (CQL(H)).
    """
    return tf.reduce_mean(tf.reduce_logsumexp(values, axis=1) - chosen_value(values, action))


def imitation_loss(logits: tf.Tensor, action: tf.Tensor, *, beta: float) -> tf.Tensor:
    """Return the cross entropy with the data's actions plus beta * mean((log p)**2), 0-d.

    d3rlpy writes the penalty as `dist.logits**2`, and the logits of torch's Categorical are normalised: log p(a|s) of all
    actions (d3rlpy 2.8.1, models/torch/imitators.py).

    Args:
        logits: (batch, actions).
        action: (batch,).
        beta: of the penalty; 0: cross entropy alone.
    """
    log_probability = tf.nn.log_softmax(logits, axis=1)
    loss = -tf.reduce_mean(chosen_value(log_probability, action))
    return loss + beta * tf.reduce_mean(tf.square(log_probability)) if beta else loss


def allowed_actions(logits: tf.Tensor, *, flexibility: float) -> tf.Tensor:
    """Return which actions are likely enough in the data: p(a|s) / max_a p(a|s) > flexibility, (batch, actions) bool.

    Source: Fujimoto et al. 2019b (discrete BCQ), equation 1.
    """
    log_probability = tf.nn.log_softmax(logits, axis=1)
    ratio = log_probability - tf.reduce_max(log_probability, axis=1, keepdims=True)
    # The best action has ratio 0, so one is left even where flexibility is 1 and its logarithm 0.
    threshold = math.log(flexibility) if flexibility > 0 else -math.inf
    return (ratio > threshold) | (ratio == 0.0)


def expectile_loss(difference: tf.Tensor, *, expectile: float) -> tf.Tensor:
    """Return mean(|expectile - 1[difference < 0]| * difference**2), 0-d.

    Args:
        difference: (batch,), what V should be less V.
        expectile: 0.5: half the squared error; towards 1: V nears the largest of what it should be.

    Source: Kostrikov et al. 2021 (IQL), equation 5.
    """
    below = tf.cast(difference < 0.0, difference.dtype)
    weight = below * (1.0 - expectile) + (1.0 - below) * expectile
    return tf.reduce_mean(weight * tf.square(difference))


def exponential_weight(advantage: tf.Tensor, *, weight_temp: float, max_weight: float) -> tf.Tensor:
    """Return min(exp(weight_temp * advantage), max_weight), (batch,); no gradient flows through it.

    Source: Kostrikov et al. 2021 (IQL), equation 7.
    """
    return tf.stop_gradient(tf.minimum(tf.exp(weight_temp * advantage), max_weight))


def softmax_weight(advantage: tf.Tensor, *, lam: float) -> tf.Tensor:
    """Return softmax(advantage / lam) over the batch, times its size, (batch,); no gradient flows through it.

    Source: Nair et al. 2020 (AWAC), equation 13, with the normalisation of its implementation.
    """
    count = tf.cast(tf.shape(advantage)[0], advantage.dtype)
    return tf.stop_gradient(tf.nn.softmax(advantage / lam, axis=0) * count)


def gaussian_log_density(mean: tf.Tensor, log_std: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """Return the log density of independent normals at x, summed over the last axis: (..., action) gives (...)."""
    scaled = (x - mean) / tf.exp(log_std)
    return tf.reduce_sum(-0.5 * tf.square(scaled) - log_std - _HALF_LOG_TAU, axis=-1)


def squashed_log_density(mean: tf.Tensor, log_std: tf.Tensor, raw: tf.Tensor) -> tf.Tensor:
    """Return the log density of tanh(raw) where raw is normal: (..., action) gives (...).

        log N(raw) - 2 * (log 2 - raw - softplus(-2 * raw))

    It is computed from `raw`, because 1 - tanh(raw)**2 is lost to rounding where tanh is near 1.
    """
    softplus = tf.math.softplus(-2.0 * raw)
    jacobian = 2.0 * (math.log(2.0) - raw - softplus)
    return gaussian_log_density(mean, log_std, raw) - tf.reduce_sum(jacobian, axis=-1)


def smaller(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Return the element-wise minimum; at ties all of the gradient goes to the first."""
    # torch.minimum would give each side half of it, tf.minimum gives all to the first.
    return tf.where(first <= second, first, second)
