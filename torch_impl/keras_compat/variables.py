"""A weight that belongs to no layer. It stands alone: its source is emitted as it is."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Variable(nn.Module):
    """Takes nothing and returns its weight, or a constant that does not train."""

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        constant: bool = False,
        dtype: str | None = None,
    ) -> None:
        super().__init__()
        if constant:
            kind = None if dtype is None else getattr(torch, dtype)
            self.register_buffer("value", torch.zeros(shape, dtype=kind))
        else:
            self.value = nn.Parameter(torch.zeros(shape))

    def forward(self) -> Tensor:
        """Return the weight."""
        return self.value
