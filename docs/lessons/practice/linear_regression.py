"""Linear regression from scratch, three ways that must agree: gradient by hand, gradient by autograd, exact solution.

python docs/lessons/practice/linear_regression.py
"""

from __future__ import annotations

import torch
from torch import Tensor

STEPS, RATE = 400, 0.1


def make_data(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return 200 points of y = 2 x1 − x2 + 0.5 with noise: inputs with a column of ones behind, and answers."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(200, 2, generator=generator, dtype=torch.float64)
    y = (
        2 * x[:, 0]
        - x[:, 1]
        + 0.5
        + 0.1 * torch.randn(200, generator=generator, dtype=torch.float64)
    )
    return torch.cat([x, torch.ones(200, 1, dtype=torch.float64)], dim=1), y


def fit_by_hand(x: Tensor, y: Tensor) -> Tensor:
    """Return the weights after gradient descent with d/dw mean((x w − y)²) = 2 xᵀ(x w − y) / n."""
    w = torch.zeros(x.shape[1], dtype=x.dtype)
    for _ in range(STEPS):
        w -= RATE * 2 * x.T @ (x @ w - y) / len(x)
    return w


def fit_by_autograd(x: Tensor, y: Tensor) -> Tensor:
    """Return the weights after the same steps, with gradients that nobody wrote down."""
    w = torch.zeros(x.shape[1], dtype=x.dtype, requires_grad=True)
    for _ in range(STEPS):
        loss = (x @ w - y).square().mean()
        (gradient,) = torch.autograd.grad(loss, w)
        with torch.no_grad():
            w -= RATE * gradient
    return w.detach()


def solve(x: Tensor, y: Tensor) -> Tensor:
    """Return the weights at which the gradient is 0, without descending."""
    return torch.linalg.lstsq(x, y).solution


def main() -> None:
    """Print the three results."""
    x, y = make_data()
    for function in (fit_by_hand, fit_by_autograd, solve):
        weights = ", ".join(f"{value:.6f}" for value in function(x, y).tolist())
        print(f"{function.__name__:16}{weights}")


if __name__ == "__main__":
    main()
