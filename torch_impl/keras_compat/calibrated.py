"""Products with the few bits a weight that GPTQ or AWQ left. The class stands alone: its source is emitted as it is."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class CalibratedEinsumDense(nn.Module):
    """y = einsum(equation, x, kernel) + bias, with a kernel that is rebuilt from its bits when it is used.

        kernel = ((weight - zero[group]) scale[group])^T / row_scale

    The matrix on the right has a row for every input and is reshaped to the kernel's shape.

    Args:
        equation: of the input and the kernel: "...a,ab->...b" for a linear layer.
        kernel_shape: as the equation needs it.
        columns: of the matrix.
        groups: number of groups of rows with a scale and a zero of their own.
        packed: one byte holds two columns of 4 bits, the first in its lower half; otherwise a byte holds one.
        scales_rows: whether there is a row_scale, as AWQ has.
        bias_shape: of the bias, which is added with its last axes; None leaves it out.

    Source: keras 3.15.1, layers/core/dense.py and einsum_dense.py, `_gptq_call`, `_awq_call`; quantizers/quantizers.py.
    """

    def __init__(
        self,
        equation: str,
        *,
        kernel_shape: tuple[int, ...],
        columns: int,
        groups: int = 1,
        packed: bool = True,
        scales_rows: bool = False,
        bias_shape: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__()
        self.equation, self.kernel_shape = equation, kernel_shape
        self.columns, self.packed = columns, packed
        rows = 1
        for size in kernel_shape:
            rows *= size
        rows //= columns
        self.bias = (
            None if bias_shape is None else nn.Parameter(torch.zeros(bias_shape))
        )
        self.weight: Tensor
        self.scale: Tensor
        self.zero: Tensor
        self.group: Tensor
        stored = ((columns + 1) // 2 if packed else columns, rows)
        self.register_buffer("weight", torch.zeros(stored, dtype=torch.uint8))
        self.register_buffer("scale", torch.ones(columns, groups))
        self.register_buffer("zero", torch.zeros(columns, groups, dtype=torch.uint8))
        self.register_buffer("group", torch.zeros(rows))
        self.row_scale: Tensor | None
        self.register_buffer("row_scale", torch.ones(rows) if scales_rows else None)

    def forward(self, x: Tensor) -> Tensor:
        """Return the product, with the bias if there is one."""
        weight = self.weight
        if self.packed:
            halves = torch.stack((weight & 15, weight >> 4), 1)
            weight = halves.flatten(0, 1)[: self.columns]
        group = self.group.long()
        zero, scale = self.zero[:, group].to(self.scale.dtype), self.scale[:, group]
        kernel = ((weight.to(scale.dtype) - zero) * scale).T
        if self.row_scale is not None:
            kernel = kernel / self.row_scale.unsqueeze(-1)
        y = torch.einsum(self.equation, x, kernel.reshape(self.kernel_shape))
        return y if self.bias is None else y + self.bias
