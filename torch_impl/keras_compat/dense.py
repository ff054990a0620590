"""Dense layers over several axes. Each stands alone: its source is emitted as it is."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class EinsumDense(nn.Module):
    """y = einsum(equation, x, weight) + bias.

    Args:
        equation: of the input and the weight: "abc,cde->abde".
        kernel_shape: of the weight.
        bias_shape: of the bias, which is added with its last axes; None leaves it out.
    """

    def __init__(
        self,
        equation: str,
        *,
        kernel_shape: tuple[int, ...],
        bias_shape: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__()
        self.equation = equation
        self.weight = nn.Parameter(torch.zeros(kernel_shape))
        self.bias = (
            None if bias_shape is None else nn.Parameter(torch.zeros(bias_shape))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the product, with the bias if there is one."""
        y = torch.einsum(self.equation, x, self.weight)
        return y if self.bias is None else y + self.bias
