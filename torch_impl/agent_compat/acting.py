"""From what a policy computes to an action: draws, bounds, and the scale of the environment."""

from __future__ import annotations

import torch
from torch import Tensor


def sample_categorical(logits: Tensor) -> Tensor:
    """Return an index (batch,) drawn by the probabilities that logits (batch, choices) give."""
    return torch.multinomial(torch.softmax(logits, dim=-1), 1).squeeze(-1)


def sample_normal(mean: Tensor, std: Tensor) -> Tensor:
    """Return draws of normal distributions, (batch, actions)."""
    return mean + std * torch.randn_like(mean)


def sample_bernoulli(probabilities: Tensor) -> Tensor:
    """Return 0 or 1 for each probability, (batch, actions)."""
    return torch.bernoulli(probabilities).long()


def clip_action(
    action: Tensor, low: tuple[float, ...], high: tuple[float, ...]
) -> Tensor:
    """Return actions (batch, actions) within the bounds of the environment."""
    bounds = torch.tensor([low, high], dtype=action.dtype, device=action.device)
    return torch.clamp(action, bounds[0], bounds[1])


def scale_action(
    action: Tensor, low: tuple[float, ...], high: tuple[float, ...]
) -> Tensor:
    """Return actions (batch, actions) of -1 to 1 in the range of the environment."""
    bounds = torch.tensor([low, high], dtype=action.dtype, device=action.device)
    return bounds[0] + 0.5 * (action + 1.0) * (bounds[1] - bounds[0])


def expectation(chances: Tensor, support: tuple[float, ...]) -> Tensor:
    """Return expected values (batch, actions) of chances (batch, actions, atoms) of the values in `support`."""
    return (
        chances * torch.tensor(support, dtype=chances.dtype, device=chances.device)
    ).sum(-1)


def one_hot_numbers(x: Tensor, sizes: tuple[int, ...]) -> Tensor:
    """Return numbers one-hot and side by side, (batch, sum of `sizes`).

    Args:
        x: (batch,) or (batch, numbers); what is one-hot already, (batch, sum of `sizes`), stays.
        sizes: how many values each number has.

    Source: ray 1.13, rllib/models/preprocessors.py, `OneHotPreprocessor`.
    """
    if x.dim() > 1 and x.shape[-1] == sum(sizes):
        return x.float()
    numbers = x.long().reshape(-1, len(sizes))
    columns = [
        numbers[:, place : place + 1] == torch.arange(size, device=x.device)
        for place, size in enumerate(sizes)
    ]
    return torch.cat(columns, dim=-1).float()
