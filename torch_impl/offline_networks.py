"""Networks of the offline agents: hidden layers with ReLU and one layer for every output.

Mirror: legacy_tf/offline_networks.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import skip_init

from experience.offline_settings import dense_layers, initial_weights
from torch_impl.networks import DTYPES


class DenseNetwork(nn.Module):
    """fc1, fc2, ... with ReLU, then one layer for every output; first weights as `initial_weights` says.

    Args:
        inputs: numbers in a row.
        hidden_sizes: units of the hidden layers, at least one.
        outputs: name of an output, and of its layer, to its size.
        name: of the network; part of the seed.
        dtype: "float32" or "float64".
        seed: of the initial weights.
    """

    def __init__(
        self,
        inputs: int,
        hidden_sizes: Sequence[int],
        outputs: Mapping[str, int],
        *,
        name: str,
        dtype: str = "float32",
        seed: int = 0,
    ) -> None:
        super().__init__()
        layers = dense_layers(inputs, hidden_sizes, outputs)
        # nn.Linear by itself would draw its weights from torch's global generator.
        linear = partial(skip_init, nn.Linear, dtype=DTYPES[dtype])
        for layer, (fan_in, units) in layers.items():
            self.add_module(layer, linear(fan_in, units))
        self._hidden = [f"fc{index}" for index in range(1, len(hidden_sizes) + 1)]
        self._outputs = list(outputs)
        with torch.no_grad():
            for path, array in initial_weights(name, layers, seed).items():
                layer, _, kind = path.partition("/")
                own = self.get_submodule(layer)
                parameter = own.get_parameter("weight" if kind == "kernel" else "bias")
                parameter.copy_(torch.from_numpy(array.T.copy()))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return the outputs of (batch, inputs), (batch, size) each."""
        for layer in self._hidden:
            x = F.relu(getattr(self, layer)(x))
        return {name: getattr(self, name)(x) for name in self._outputs}


class TrainedVector(nn.Module):
    """Numbers that are trained and depend on no input: a temperature, the width of a policy.

    Args:
        start: first values.
        dtype: "float32" or "float64".
    """

    def __init__(self, start: Sequence[float], *, dtype: str = "float32") -> None:
        super().__init__()
        # Float32 numbers in either dtype, as the weights of a network.
        first = torch.from_numpy(np.asarray(start, dtype=np.float32)).to(DTYPES[dtype])
        self.value = nn.Parameter(first)

    def forward(self) -> Tensor:
        """Return the numbers, (size,)."""
        return self.value
