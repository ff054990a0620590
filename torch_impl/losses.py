"""The losses of the agents as pure functions of tensors: they may be differentiated, compiled or vmapped.

Mirror: legacy_tf/losses.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

Network = Callable[..., Tensor]
"""(batch, state), and optionally dropout masks by layer name, to (batch, actions)."""


class TensorBatch(NamedTuple):
    """The transitions of one update as tensors; all but `action` have the network's dtype."""

    observation: Tensor  # (batch, state)
    action: Tensor  # (batch,), int64
    reward: Tensor  # (batch,)
    next_observation: Tensor  # (batch, state)
    terminated: Tensor  # (batch,), 0 or 1


def q_learning_target(
    q_network: Network, target_network: Network, batch: TensorBatch, *, gamma: float, double: bool
) -> Tensor:
    """Return what Q(observation, action) should be; no gradient flows through it.

        target = reward + gamma * (1 - terminated) * Q_target(next_observation, a)

    where a is the best action by the target network, or by the online one if `double`. Neither has dropout here,
    whatever the training pass does.

    Args:
        q_network: in eval mode; used only if `double`.
        target_network: in eval mode.
        batch: transitions.
        gamma: discount per step.
        double: van Hasselt et al. 2016, equation 4, instead of Mnih et al. 2015, equation 2.

    Returns:
        (batch,).
    """
    with torch.no_grad():
        next_q = target_network(batch.next_observation)
        if double:
            best = q_network(batch.next_observation).argmax(dim=1, keepdim=True)
            next_value = next_q.gather(1, best).squeeze(1)
        else:
            next_value = next_q.amax(dim=1)
        return batch.reward + gamma * (1 - batch.terminated) * next_value


def q_learning_loss(
    q_network: Network,
    target_network: Network,
    batch: TensorBatch,
    noise: Mapping[str, Tensor],
    *,
    gamma: float,
    double: bool,
    loss: str,
) -> Tensor:
    """Return the mean loss over the batch between Q(observation, action) and its target.

    Args:
        q_network: in eval mode; its dropout is what `noise` says.
        target_network: in eval mode.
        batch: transitions.
        noise: dropout masks of the pass over `batch.observation`, (batch, units) each.
        gamma: discount per step.
        double: see `q_learning_target`.
        loss: "mse": error**2; "huber": 0.5 * error**2 up to |error| = 1, |error| - 0.5 beyond.

    Returns:
        0-d.
    """
    target = q_learning_target(q_network, target_network, batch, gamma=gamma, double=double)
    q = q_network(batch.observation, noise).gather(1, batch.action.unsqueeze(1)).squeeze(1)
    return F.mse_loss(q, target) if loss == "mse" else F.huber_loss(q, target)
