"""The value and the policy network for the Royal Game of Ur.

Mirror: legacy_tf/ur_networks.py has the same names in the same order. Sizes and batches are in `experience.ur_networks`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import skip_init

from experience.ur_networks import FEATURES, HIDDEN_SIZES, OUTPUTS
from torch_impl.networks import DTYPES


class _UrNetwork(nn.Module):
    """Hidden layers fc1, fc2, ... with ReLU, dropout behind each, then a layer of `outputs` units."""

    fc1: nn.Linear
    outputs: ClassVar[int]
    seed_shift: ClassVar[int]

    def __init__(
        self,
        input_size: int = FEATURES,
        hidden_sizes: Sequence[int] = HIDDEN_SIZES,
        *,
        dropout: float = 0.1,
        dtype: str = "float32",
        seed: int = 0,
    ) -> None:
        super().__init__()
        sizes = (input_size, *hidden_sizes, self.outputs)
        generator = torch.Generator().manual_seed(seed + self.seed_shift)
        # nn.Linear by itself would draw its weights from torch's global generator.
        linear = partial(skip_init, nn.Linear, dtype=DTYPES[dtype])
        for number in range(1, len(sizes)):
            layer = linear(sizes[number - 1], sizes[number])
            bound = 1 / math.sqrt(sizes[number - 1])
            nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
            nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
            self.add_module(f"fc{number}", layer)
            if number < len(sizes) - 1:
                self.add_module(f"dropout{number}", nn.Dropout(dropout))

    def _sums(self, x: Tensor, noise: Mapping[str, Tensor] | None) -> Tensor:
        """Return the last layer's sums; a mask in `noise` takes its dropout layer's place."""
        layers = dict(self.named_children())
        hidden = len(layers) // 2
        for number in range(1, hidden + 1):
            x = F.relu(layers[f"fc{number}"](x))
            name = f"dropout{number}"
            x = x * noise[name] if noise and name in noise else layers[name](x)
        return cast("Tensor", layers[f"fc{hidden + 1}"](x))


class ValueNetwork(_UrNetwork):
    """How good a position is for player 2, from -1 to 1: 81,921 parameters with the original's sizes.

    Hidden layers fc1, fc2, ... with ReLU, dropout behind each, then one unit with tanh. Kernels and biases are drawn
    as `nn.Linear` draws them, uniformly up to 1/sqrt(in).

    Args:
        input_size: numbers in a position.
        hidden_sizes: units of the hidden layers.
        dropout: rate behind every hidden layer.
        dtype: "float32" or "float64".
        seed: of the initial weights.
    """

    outputs, seed_shift = OUTPUTS["value"], 0

    def forward(self, x: Tensor, noise: Mapping[str, Tensor] | None = None) -> Tensor:
        """Return (batch, 1) for (batch, features); `noise` has masks in place of dropout1, dropout2, ..."""
        return torch.tanh(self._sums(x, noise))


class PolicyNetwork(_UrNetwork):
    """How probable each of the seven pieces is as the expert's move: 82,119 parameters with the original's sizes.

    As `ValueNetwork`, with seven units and softmax at the end; its weights are drawn from another seed.
    """

    outputs, seed_shift = OUTPUTS["policy"], 1

    def forward(self, x: Tensor, noise: Mapping[str, Tensor] | None = None) -> Tensor:
        """Return (batch, 7) probabilities for (batch, features)."""
        return torch.softmax(self.logits(x, noise), dim=1)

    def logits(self, x: Tensor, noise: Mapping[str, Tensor] | None = None) -> Tensor:
        """Return what softmax is applied to, (batch, 7)."""
        return self._sums(x, noise)


class UrNetworks(nn.Module):
    """Both networks as one module, whose parameters are named "value.fc1.weight", "policy.fc1.weight", ...

    Args:
        input_size: numbers in a position.
        hidden_sizes: units of the hidden layers of each network.
        dropout: rate behind every hidden layer.
        dtype: "float32" or "float64".
        seed: of the initial weights.
    """

    def __init__(
        self,
        input_size: int = FEATURES,
        hidden_sizes: Sequence[int] = HIDDEN_SIZES,
        *,
        dropout: float = 0.1,
        dtype: str = "float32",
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.value, self.policy = (
            network(input_size, hidden_sizes, dropout=dropout, dtype=dtype, seed=seed)
            for network in (ValueNetwork, PolicyNetwork)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return (batch, 1) values and (batch, 7) probabilities."""
        return self.value(x), self.policy(x)
