"""Layers with int8 and int4 weights as Keras computes them. Each class is emitted as it is, with the function it uses.

Weights stay as small as in the file and become numbers when they are used. Where Keras rounds the input as well, the
gradient passes the rounding unchanged, as in Keras.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def rounded_to_int8(x: Tensor, axes: tuple[int, ...] = (-1,)) -> Tensor:
    """Return x in 127 steps on either side of 0, the largest along `axes`; gradients pass as if it were not rounded."""
    factor = 127 / (x.abs().amax(axes, keepdim=True) + 1e-7)
    rounded = torch.clamp(torch.round(x * factor), -127, 127) / factor
    return x + (rounded - x).detach()


def from_either_end(x: Tensor, rows: int) -> Tensor:
    """Return places in a table of `rows` rows; Keras 3 counts those below 0 from the end (ops.take)."""
    return torch.where(x < 0, x + rows, x)


class QuantizedLinear(nn.Module):
    """y = x' kernel / scale + bias, or x (kernel - zero) scale + bias where rows of the kernel have scales in groups.

        x' = round(x f) / f,  f = 127 / (max |x| + 1e-7)

    Args:
        in_features: size of the last axis of x.
        out_features: size of the last axis of y.
        bits: of the kernel, 8 or 4; with 4, one byte holds two columns, the first in its lower half.
        groups: number of groups of rows with a scale and a zero of their own; None: one scale a column.
        rounds_input: use x' for x.
        bias: whether one is added.
        rank: of the matrices of LoRA: factor x lora_a lora_b is added as well; None: there are none.
        factor: their weight.

    Source: keras 3.15.1, layers/core/dense.py, `_int8_call`, `_int4_call`; quantizers/quantizers.py.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        bits: int = 8,
        groups: int | None = None,
        rounds_input: bool = False,
        bias: bool = True,
        rank: int | None = None,
        factor: float = 1.0,
    ) -> None:
        super().__init__()
        self.out_features, self.bits, self.groups = out_features, bits, groups
        self.rounds_input, self.rank, self.factor = rounds_input, rank, factor
        self.bias = nn.Parameter(torch.zeros(out_features)) if bias else None
        if rank is not None:
            self.lora_a = nn.Parameter(torch.zeros(in_features, rank))
            self.lora_b = nn.Parameter(torch.zeros(rank, out_features))
        columns = out_features if bits == 8 else (out_features + 1) // 2
        scales = (out_features,) if groups is None else (groups, out_features)
        self.weight: Tensor
        self.scale: Tensor
        self.zero: Tensor
        self.group: Tensor
        self.register_buffer(
            "weight", torch.zeros(in_features, columns, dtype=torch.int8)
        )
        self.register_buffer("scale", torch.ones(scales))
        if groups is not None:
            self.register_buffer("zero", torch.zeros(scales, dtype=torch.int8))
            self.register_buffer("group", torch.zeros(in_features))

    def forward(self, x: Tensor) -> Tensor:
        """Return (..., out_features)."""
        kernel = self.weight
        if self.bits == 4:
            low, high = ((kernel & 15) ^ 8) - 8, kernel >> 4
            kernel = torch.stack((low, high), -1).flatten(-2)[:, : self.out_features]
        if self.groups is None:
            weight = kernel.to(x.dtype) / self.scale
        else:
            group = self.group.long()
            weight = kernel.to(x.dtype) - self.zero[group].to(x.dtype)
            weight = weight * self.scale[group]
        y = (rounded_to_int8(x) if self.rounds_input else x) @ weight
        if self.rank is not None:
            y = y + self.factor * (x @ self.lora_a @ self.lora_b)
        return y if self.bias is None else y + self.bias


class QuantizedEinsumDense(nn.Module):
    """y = einsum(equation, x', kernel) / scale + bias with an int8 kernel; x' as in a quantized linear layer.

    With 4 bits, the kernel is a matrix with rows along the axes that are summed; it is reshaped to `kernel_shape` after
    kernel / scale, or (kernel - zero) scale with scales in groups.

    Args:
        equation: of the input and the kernel: "abc,cde->abde".
        kernel_shape: as the equation needs it.
        scale_shape: of the scale: broadcast to the output, with 4 bits (columns,) or (groups, columns).
        bits: of the kernel, 8 or 4; with 4, one byte holds two columns, the first in its lower half.
        bias_shape: of the bias, which is added with its last axes; None leaves it out.
        summed_axes: of the input, over which the largest value is taken when it is rounded; () leaves it as it is.
        groups: number of groups of rows with a scale and a zero of their own; None: one scale a column.
        rank: of the matrices of LoRA, whose einsum with `lora_a` times `lora_b` is added; None: there are none.
        factor: their weight.

    Source: keras 3.15.1, layers/core/einsum_dense.py, `_int8_call`, `_int4_call`.
    """

    def __init__(
        self,
        equation: str,
        *,
        kernel_shape: tuple[int, ...],
        scale_shape: tuple[int, ...],
        bits: int = 8,
        bias_shape: tuple[int, ...] | None = None,
        summed_axes: tuple[int, ...] = (),
        groups: int | None = None,
        rank: int | None = None,
        factor: float = 1.0,
    ) -> None:
        super().__init__()
        self.equation, self.kernel_shape, self.groups = equation, kernel_shape, groups
        self.bits, self.summed_axes = bits, summed_axes
        self.rank, self.factor = rank, factor
        self.bias = (
            None if bias_shape is None else nn.Parameter(torch.zeros(bias_shape))
        )
        if rank is not None:
            self.lora_a = nn.Parameter(torch.zeros(*kernel_shape[:-1], rank))
            self.lora_b = nn.Parameter(torch.zeros(rank, kernel_shape[-1]))
        self.weight: Tensor
        self.scale: Tensor
        self.zero: Tensor
        self.group: Tensor
        stored = kernel_shape
        if bits == 4:
            columns = scale_shape[-1]
            rows = 1
            for size in kernel_shape:
                rows *= size
            stored = (rows // columns, (columns + 1) // 2)
        self.register_buffer("weight", torch.zeros(stored, dtype=torch.int8))
        self.register_buffer("scale", torch.ones(scale_shape))
        if groups is not None:
            self.register_buffer("zero", torch.zeros(scale_shape, dtype=torch.int8))
            self.register_buffer("group", torch.zeros(stored[0]))

    def forward(self, x: Tensor) -> Tensor:
        """Return the product, with the bias if there is one."""
        rounded = rounded_to_int8(x, self.summed_axes) if self.summed_axes else x
        if self.bits == 8:
            kernel = self.weight.to(x.dtype)
            y = torch.einsum(self.equation, rounded, kernel) / self.scale
        else:
            low, high = ((self.weight & 15) ^ 8) - 8, self.weight >> 4
            kernel = torch.stack((low, high), -1).flatten(-2)[:, : self.scale.shape[-1]]
            if self.groups is None:
                kernel = kernel.to(x.dtype) / self.scale
            else:
                group = self.group.long()
                kernel = (
                    kernel.to(x.dtype) - self.zero[group].to(x.dtype)
                ) * self.scale[group]
            kernel = kernel.reshape(self.kernel_shape)
            y = torch.einsum(self.equation, rounded, kernel)
        if self.rank is not None:
            learned = torch.einsum(self.equation, x, self.lora_a) @ self.lora_b
            y = y + self.factor * learned
        return y if self.bias is None else y + self.bias


class QuantizedEmbedding(nn.Module):
    """Rows of a table of int8 or int4: table[x] / scale[x], or (table[x] - zero[x]) scale[x] with scales in groups.

    For numbers that are not whole, the other direction: how much each row looks like the vector, x' table^T / scale.

    Args:
        num_embeddings: rows of the table.
        embedding_dim: size of a row.
        bits: of the table, 8 or 4; with 4, one byte holds two columns, the first in its lower half.
        groups: number of groups of columns with a scale and a zero of their own; None: one scale a row.
        rounds_input: in the other direction, round x as a quantized linear layer does.
        soft_cap: limit of the results of the other direction: soft_cap tanh(y / soft_cap).
        tied: the other direction uses the same table; otherwise one of its own, in the same groups.
        rank: of the matrices of LoRA: factor lora_a[x] lora_b is added to rows that are looked up; None: there are none.
        factor: their weight.

    Source: keras 3.15.1, layers/core/embedding.py, layers/core/reversible_embedding.py.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        *,
        bits: int = 8,
        groups: int | None = None,
        rounds_input: bool = False,
        soft_cap: float | None = None,
        tied: bool = True,
        rank: int | None = None,
        factor: float = 1.0,
    ) -> None:
        super().__init__()
        self.width, self.bits, self.groups = embedding_dim, bits, groups
        self.rank, self.factor = rank, factor
        if rank is not None:
            self.lora_a = nn.Parameter(torch.zeros(num_embeddings, rank))
            self.lora_b = nn.Parameter(torch.zeros(rank, embedding_dim))
        self.rounds_input, self.soft_cap, self.tied = rounds_input, soft_cap, tied
        columns = embedding_dim if bits == 8 else (embedding_dim + 1) // 2
        scales = (num_embeddings,) if groups is None else (num_embeddings, groups)
        self.weight: Tensor
        self.scale: Tensor
        self.zero: Tensor
        self.group: Tensor
        self.register_buffer(
            "weight", torch.zeros(num_embeddings, columns, dtype=torch.int8)
        )
        self.register_buffer("scale", torch.ones(scales))
        if groups is not None:
            self.register_buffer("zero", torch.zeros(scales, dtype=torch.int8))
            self.register_buffer("group", torch.zeros(embedding_dim))
        self.reverse: Tensor
        self.reverse_scale: Tensor
        self.reverse_zero: Tensor
        if not tied:
            self.register_buffer("reverse", torch.zeros_like(self.weight))
            self.register_buffer("reverse_scale", torch.ones(scales))
            if groups is not None:
                self.register_buffer("reverse_zero", torch.zeros(scales))

    def _rows(self, table: Tensor, scale: Tensor, zero: Tensor | None) -> Tensor:
        """Return (num_embeddings, embedding_dim) numbers."""
        if self.bits == 4:
            low, high = ((table & 15) ^ 8) - 8, table >> 4
            table = torch.stack((low, high), -1).flatten(-2)[:, : self.width]
        rows = table.to(scale.dtype)
        if zero is None:
            return rows / scale.unsqueeze(-1)
        group = self.group.long()
        return (rows - zero[:, group].to(rows.dtype)) * scale[:, group]

    def forward(self, x: Tensor) -> Tensor:
        """Return (..., embedding_dim) for indices, (..., num_embeddings) for vectors."""
        grouped = self.groups is not None
        if self.tied or not x.is_floating_point():
            rows = self._rows(self.weight, self.scale, self.zero if grouped else None)
        else:
            zero = self.reverse_zero if grouped else None
            rows = self._rows(self.reverse, self.reverse_scale, zero)
        if not x.is_floating_point():
            places = from_either_end(x, rows.shape[0])
            y = nn.functional.embedding(places, rows)
            if self.rank is None:
                return y
            learned = nn.functional.embedding(places, self.lora_a) @ self.lora_b
            return y + self.factor * learned
        if self.rounds_input:
            x = rounded_to_int8(x)
        y = x @ rows.T
        return (
            y
            if self.soft_cap is None
            else torch.tanh(y / self.soft_cap) * self.soft_cap
        )


class ReversibleEmbedding(nn.Module):
    """A table that is looked up, and the other way round: how much each row looks like a vector, x table^T.

    Args:
        num_embeddings: rows of the table.
        embedding_dim: size of a row.
        tied: the other direction uses the same table; otherwise one of its own.
        soft_cap: limit of the results of the other direction: soft_cap tanh(y / soft_cap).
        reverse_dtype: what the other direction computes in and gives; None: as the vectors are.

    Source: keras 3.15.1, layers/core/reversible_embedding.py.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        *,
        tied: bool = True,
        soft_cap: float | None = None,
        reverse_dtype: str | None = None,
    ) -> None:
        super().__init__()
        self.soft_cap = soft_cap
        self.reverse_dtype = (
            None if reverse_dtype is None else getattr(torch, reverse_dtype)
        )
        self.weight = nn.Parameter(torch.zeros(num_embeddings, embedding_dim))
        self.reverse = (
            None if tied else nn.Parameter(torch.zeros(num_embeddings, embedding_dim))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return (..., embedding_dim) for whole numbers, (..., num_embeddings) for vectors."""
        if not x.is_floating_point():
            return nn.functional.embedding(
                from_either_end(x, self.weight.shape[0]), self.weight
            )
        table: Tensor = self.weight if self.reverse is None else self.reverse
        if self.reverse_dtype is not None:
            x, table = x.to(self.reverse_dtype), table.to(self.reverse_dtype)
        y = x @ table.T
        return (
            y
            if self.soft_cap is None
            else torch.tanh(y / self.soft_cap) * self.soft_cap
        )
