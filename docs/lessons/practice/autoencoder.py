"""A simple autoencoder: 8 numbers through a bottleneck of 2 and back.

Data that lies on a plane in the eight dimensions comes through almost whole; pure noise does not, whatever the network learns.

python docs/lessons/practice/autoencoder.py
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTH, BOTTLENECK = 8, 2


class Autoencoder(nn.Module):
    """Encoder to two numbers, decoder back to eight."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(WIDTH, 16), nn.Tanh(), nn.Linear(16, BOTTLENECK))
        self.decoder = nn.Sequential(nn.Linear(BOTTLENECK, 16), nn.Tanh(), nn.Linear(16, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        """Return what is left of (batch, 8) behind the bottleneck."""
        code: Tensor = self.decoder(self.encoder(x))
        return code


def make_plane(rows: int, seed: int = 0) -> Tensor:
    """Return points (rows, 8) of a plane, each number with variance 1."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, BOTTLENECK, generator=generator) @ torch.randn(
        BOTTLENECK, WIDTH, generator=generator
    )
    return (x - x.mean(dim=0)) / x.std(dim=0)


def make_noise(rows: int, seed: int = 0) -> Tensor:
    """Return numbers (rows, 8) that have nothing to do with each other, with variance 1."""
    return torch.randn(rows, WIDTH, generator=torch.Generator().manual_seed(seed))


def train(data: Tensor, steps: int = 600, seed: int = 0) -> tuple[Autoencoder, float]:
    """Return the trained network and its last loss: the share of the variance that is lost."""
    torch.manual_seed(seed)
    network = Autoencoder()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(steps):
        loss = F.mse_loss(network(data), data)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network, float(loss.item())


def main() -> None:
    """Print what is lost of either kind of data."""
    for name, data in (("plane", make_plane(256)), ("noise", make_noise(256))):
        print(f"{name}: {train(data)[1]:.1%} of the variance is lost")


if __name__ == "__main__":
    main()
