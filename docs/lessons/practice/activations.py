"""Activation functions side by side: slopes where gradients pass or do not, units that are closed, how fast each learns.

python docs/lessons/practice/activations.py
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ACTIVATIONS: Mapping[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky relu": nn.LeakyReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


def slope(activation: nn.Module, at: float) -> float:
    """Return the derivative at a point, by autograd."""
    x = torch.tensor(at, requires_grad=True)
    (gradient,) = torch.autograd.grad(activation(x), x)
    return float(gradient)


def closed_share(activation: nn.Module, shift: float = -2.0) -> float:
    """Return the share of units that pass no gradient for inputs of N(shift, 1)."""
    x = torch.randn(10_000, generator=torch.Generator().manual_seed(0)) + shift
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(activation(x).sum(), x)
    return float((gradient == 0).float().mean())


def learn_sine(make: Callable[[], nn.Module], steps: int = 300, seed: int = 0) -> float:
    """Return the loss after learning a sine wave with one hidden layer of 32 units."""
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(1, 32), make(), nn.Linear(32, 1))
    x = torch.linspace(-3, 3, 64)[:, None]
    y: Tensor = torch.sin(x)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    for _ in range(steps):
        loss = F.mse_loss(network(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return float(loss.item())


def main() -> None:
    """Print a table."""
    print(f"{'':12}{'slope at 0':>12}{'at 5':>10}{'at -5':>10}{'closed':>9}{'loss':>10}")
    for name, make in ACTIVATIONS.items():
        slopes = [slope(make(), at) for at in (0.0, 5.0, -5.0)]
        print(
            f"{name:12}{slopes[0]:12.3f}{slopes[1]:10.4f}{slopes[2]:10.4f}"
            f"{closed_share(make()):9.0%}{learn_sine(make):10.5f}"
        )


if __name__ == "__main__":
    main()
