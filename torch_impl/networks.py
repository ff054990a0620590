"""The networks of the agents, and their weights under Keras' names.

Mirror: legacy_tf/networks.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils import skip_init

from experience.dqn_rules import dropout_rates
from experience.shapes import check_shapes
from torch_impl.arrays import fill_tensor, keras_name, to_array

DTYPES = {"float32": torch.float32, "float64": torch.float64}


class DQNetwork(nn.Module):
    """The Q network: hidden layers fc1, fc2, ... with ReLU, then one value per action.

    Dropout follows every hidden layer but the last. The output is the layer after the last hidden one (fc4 with
    the defaults, 12,165 parameters); a dueling network has `advantage` and `value` instead. Kernels are
    He-normal without truncation, biases zero.

    Args:
        state_size: numbers in an observation.
        action_size: number of actions.
        hidden_sizes: units of the hidden layers, at least one.
        dropout: rate, in [0, 1), or one for each dropout layer.
        dueling: Q = value + advantage - mean(advantage).
        dtype: "float32" or "float64".
        seed: of the initial weights.
    """

    fc1: nn.Linear
    advantage: nn.Linear
    value: nn.Linear

    def __init__(
        self,
        state_size: int = 12,
        action_size: int = 5,
        *,
        hidden_sizes: Sequence[int] = (128, 64, 32),
        dropout: float | Sequence[float] = 0.2,
        dueling: bool = False,
        dtype: str = "float32",
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.hidden_count, self.dueling = len(hidden_sizes), dueling
        rates = dropout_rates(dropout, hidden_sizes)
        # nn.Linear by itself would draw its weights from torch's global generator.
        linear = partial(skip_init, nn.Linear, dtype=DTYPES[dtype])
        for index, (fan_in, units) in enumerate(pairwise((state_size, *hidden_sizes)), start=1):
            self.add_module(f"fc{index}", linear(fan_in, units))
            if index < self.hidden_count:
                self.add_module(f"dropout{index}", nn.Dropout(rates[f"dropout{index}"]))
        output = {f"fc{self.hidden_count + 1}": action_size}
        # The order is that of Keras' weight list, which optimizer state is stored in.
        for name, units in ({"advantage": action_size, "value": 1} if dueling else output).items():
            self.add_module(name, linear(hidden_sizes[-1], units))
        generator = torch.Generator().manual_seed(seed)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor, noise: Mapping[str, Tensor] | None = None) -> Tensor:
        """Return the Q values.

        Args:
            x: (batch, state), on the network's device and of its dtype.
            noise: masks by dropout layer name; a mask takes the layer's place, in either mode.

        Returns:
            (batch, actions).

        Raises:
            ValueError: The input is on another device or of another dtype.
        """
        weight = self.fc1.weight
        if x.device != weight.device or x.dtype != weight.dtype:
            msg = (
                f"the input is {x.dtype} on {x.device}, the network {weight.dtype} on {weight.device}; "
                f"move it with x.to({str(weight.device)!r}, {weight.dtype})"
            )
            raise ValueError(msg)
        for index in range(1, self.hidden_count + 1):
            x = F.relu(getattr(self, f"fc{index}")(x))
            name = f"dropout{index}"
            if index < self.hidden_count:
                x = x * noise[name] if noise and name in noise else getattr(self, name)(x)
        if not self.dueling:
            return cast("Tensor", getattr(self, f"fc{self.hidden_count + 1}")(x))
        advantage = self.advantage(x)
        return cast("Tensor", self.value(x) + (advantage - advantage.mean(dim=1, keepdim=True)))

    def evaluate(self, x: Tensor) -> Tensor:
        """Return the Q values without dropout, the same numbers as `forward` in eval mode, bit by bit.

        For one observation the calls of modules cost more than the arithmetic: this takes half the time. Hooks on
        layers are not called.
        """
        layers = self._modules
        for index in range(1, self.hidden_count + 1):
            x = F.relu(_linear(x, layers[f"fc{index}"]))
        if not self.dueling:
            return _linear(x, layers[f"fc{self.hidden_count + 1}"])
        advantage = _linear(x, layers["advantage"])
        return _linear(x, layers["value"]) + (advantage - advantage.mean(dim=1, keepdim=True))


def _linear(x: Tensor, layer: nn.Module | None) -> Tensor:
    parameters = cast("nn.Linear", layer)._parameters
    return F.linear(x, cast("Tensor", parameters["weight"]), parameters["bias"])


def read_weights(tensors: Mapping[str, Tensor]) -> dict[str, NDArray[np.floating]]:
    """Return copies of a network's weights (or of their gradients) under Keras' names and in its layout.

    "fc1.weight" (out, in) becomes "fc1/kernel" (in, out), "fc1.bias" becomes "fc1/bias".
    """
    return {keras_name(name): to_array(tensor) for name, tensor in tensors.items()}


def write_weights(network: nn.Module, weights: Mapping[str, NDArray[np.floating]]) -> None:
    """Set the weights of a network from arrays as `read_weights` gives them.

    Raises:
        ValueError: A name is missing or unknown, or a shape differs; nothing is changed then.
    """
    own = dict(network.named_parameters())
    check_shapes("weights", weights, {k: v.shape for k, v in read_weights(own).items()})
    for name, parameter in own.items():
        fill_tensor(parameter, weights[keras_name(name)])
