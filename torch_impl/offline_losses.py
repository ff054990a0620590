"""The losses of the offline agents as pure functions of tensors.

Definitions of d3rlpy 2.8.1 (algos/qlearning/torch/*_impl.py, models/torch/), which the papers named below leave open in
part. Where the two frameworks round differently, the formula is chosen so that they agree.

Mirror: legacy_tf/offline_losses.py.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

_HALF_LOG_TAU = 0.5 * math.log(2.0 * math.pi)


def td_target(reward: Tensor, terminated: Tensor, next_value: Tensor, *, gamma: float) -> Tensor:
    """Return y = reward + gamma * next_value * (1 - terminated), (batch,); no gradient flows through it."""
    return (reward + gamma * next_value * (1.0 - terminated)).detach()


def td_loss(value: Tensor, target: Tensor, *, loss: str) -> Tensor:
    """Return the mean loss between values and targets, 0-d.

    Args:
        value: (batch,).
        target: (batch,).
        loss: "mse": error**2; "huber": 0.5 * error**2 below |error| = 1, |error| - 0.5 from there on.
    """
    error = target - value
    if loss == "mse":
        return error.square().mean()
    size = error.abs()
    return torch.where(size < 1.0, 0.5 * error.square(), size - 0.5).mean()


def chosen_value(values: Tensor, action: Tensor) -> Tensor:
    """Return the value of one action a row: (batch, actions) and (batch,) give (batch,)."""
    return values.gather(1, action.unsqueeze(1)).squeeze(1)


def conservative_loss(values: Tensor, action: Tensor) -> Tensor:
    """Return mean(logsumexp_a Q(s, a) - Q(s, a_data)): how far unseen actions are above those of the data, 0-d.

    Args:
        values: (batch, actions).
        action: (batch,), of the data.

    Source: Kumar et al. 2020, equation 4 (CQL(H)).
    """
    return (torch.logsumexp(values, dim=1) - chosen_value(values, action)).mean()


def imitation_loss(logits: Tensor, action: Tensor, *, beta: float) -> Tensor:
    """Return the cross entropy with the data's actions plus beta * mean((log p)**2), 0-d.

    d3rlpy writes the penalty as `dist.logits**2`, and the logits of torch's Categorical are normalised: log p(a|s) of all
    actions (d3rlpy 2.8.1, models/torch/imitators.py).

    Args:
        logits: (batch, actions).
        action: (batch,).
        beta: of the penalty; 0: cross entropy alone.
    """
    log_probability = F.log_softmax(logits, dim=1)
    loss = -chosen_value(log_probability, action).mean()
    return loss + beta * log_probability.square().mean() if beta else loss


def allowed_actions(logits: Tensor, *, flexibility: float) -> Tensor:
    """Return which actions are likely enough in the data: p(a|s) / max_a p(a|s) > flexibility, (batch, actions) bool.

    Source: Fujimoto et al. 2019b (discrete BCQ), equation 1.
    """
    log_probability = F.log_softmax(logits, dim=1)
    ratio = log_probability - log_probability.amax(dim=1, keepdim=True)
    # The best action has ratio 0, so one is left even where flexibility is 1 and its logarithm 0.
    threshold = math.log(flexibility) if flexibility > 0 else -math.inf
    return (ratio > threshold) | (ratio == 0.0)


def expectile_loss(difference: Tensor, *, expectile: float) -> Tensor:
    """Return mean(|expectile - 1[difference < 0]| * difference**2), 0-d.

    Args:
        difference: (batch,), what V should be less V.
        expectile: 0.5: half the squared error; towards 1: V nears the largest of what it should be.

    Source: Kostrikov et al. 2021 (IQL), equation 5.
    """
    # torch.where of two Python numbers would make them float32.
    below = (difference.detach() < 0.0).to(difference.dtype)
    weight = below * (1.0 - expectile) + (1.0 - below) * expectile
    return (weight * difference.square()).mean()


def exponential_weight(advantage: Tensor, *, weight_temp: float, max_weight: float) -> Tensor:
    """Return min(exp(weight_temp * advantage), max_weight), (batch,); no gradient flows through it.

    Source: Kostrikov et al. 2021 (IQL), equation 7.
    """
    return (weight_temp * advantage.detach()).exp().clamp(max=max_weight)


def softmax_weight(advantage: Tensor, *, lam: float) -> Tensor:
    """Return softmax(advantage / lam) over the batch, times its size, (batch,); no gradient flows through it.

    Source: Nair et al. 2020 (AWAC), equation 13, with the normalisation of its implementation.
    """
    return F.softmax(advantage.detach() / lam, dim=0) * len(advantage)


def gaussian_log_density(mean: Tensor, log_std: Tensor, x: Tensor) -> Tensor:
    """Return the log density of independent normals at x, summed over the last axis: (..., action) gives (...)."""
    scaled = (x - mean) / log_std.exp()
    return (-0.5 * scaled.square() - log_std - _HALF_LOG_TAU).sum(dim=-1)


def squashed_log_density(mean: Tensor, log_std: Tensor, raw: Tensor) -> Tensor:
    """Return the log density of tanh(raw) where raw is normal: (..., action) gives (...).

        log N(raw) - 2 * (log 2 - raw - softplus(-2 * raw))

    It is computed from `raw`, because 1 - tanh(raw)**2 is lost to rounding where tanh is near 1.
    """
    # F.softplus is the identity above 20 (torch 2.13, default threshold), 2e-9 off there; logsigmoid is exact.
    softplus = -F.logsigmoid(2.0 * raw)
    jacobian = 2.0 * (math.log(2.0) - raw - softplus)
    return gaussian_log_density(mean, log_std, raw) - jacobian.sum(dim=-1)


def smaller(first: Tensor, second: Tensor) -> Tensor:
    """Return the element-wise minimum; at ties all of the gradient goes to the first."""
    # torch.minimum would give each side half of it, tf.minimum gives all to the first.
    return torch.where(first <= second, first, second)
