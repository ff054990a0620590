"""The LSTM of OpenAI baselines and stable-baselines: one step, with the mask that starts episodes afresh."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class BaselinesLSTM(nn.Module):
    """One step of the LSTM whose gates lie in the order input, forget, output, candidate.

    The state is (batch, 2 * units): the cell before the hidden values. Where `mask` is 1 (an episode begins), both are 0
    before the step.

    Source: baselines a2c/utils.py `lstm`; stable_baselines 2.10 common/tf_layers.py `lstm`.
    """

    def __init__(self, features: int, units: int) -> None:
        super().__init__()
        self.input = nn.Linear(features, 4 * units)
        self.hidden = nn.Linear(units, 4 * units, bias=False)

    def forward(self, x: Tensor, state: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return the hidden values (batch, units) and the next state.

        Args:
            x: (batch, features).
            state: (batch, 2 * units).
            mask: (batch,).
        """
        cell, hidden = (state * (1 - mask.to(state.dtype)).unsqueeze(-1)).chunk(
            2, dim=-1
        )
        gates = self.input(x) + self.hidden(hidden)
        entry, forget, output, candidate = gates.chunk(4, dim=-1)
        cell = torch.sigmoid(forget) * cell + torch.sigmoid(entry) * torch.tanh(
            candidate
        )
        hidden = torch.sigmoid(output) * torch.tanh(cell)
        return hidden, torch.cat([cell, hidden], dim=-1)


class BaselinesLayerNormLSTM(nn.Module):
    """`BaselinesLSTM` whose two products and whose cell are normalized over the units, with epsilon 1e-5.

    Source: baselines a2c/utils.py `lnlstm`; stable_baselines 2.10 common/tf_layers.py `lstm(layer_norm=True)`.
    """

    def __init__(self, features: int, units: int) -> None:
        super().__init__()
        self.input = nn.Linear(features, 4 * units, bias=False)
        self.hidden = nn.Linear(units, 4 * units, bias=False)
        self.bias = nn.Parameter(torch.zeros(4 * units))
        self.input_norm = nn.LayerNorm(4 * units)
        self.hidden_norm = nn.LayerNorm(4 * units)
        self.cell_norm = nn.LayerNorm(units)

    def forward(self, x: Tensor, state: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return the hidden values (batch, units) and the next state.

        Args:
            x: (batch, features).
            state: (batch, 2 * units).
            mask: (batch,).
        """
        cell, hidden = (state * (1 - mask.to(state.dtype)).unsqueeze(-1)).chunk(
            2, dim=-1
        )
        gates = (
            self.input_norm(self.input(x))
            + self.hidden_norm(self.hidden(hidden))
            + self.bias
        )
        entry, forget, output, candidate = gates.chunk(4, dim=-1)
        cell = torch.sigmoid(forget) * cell + torch.sigmoid(entry) * torch.tanh(
            candidate
        )
        hidden = torch.sigmoid(output) * torch.tanh(self.cell_norm(cell))
        return hidden, torch.cat([cell, hidden], dim=-1)
