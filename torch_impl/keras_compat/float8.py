"""Products that are trained in float8 as Keras does it. The class stands alone: its source is emitted as it is."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Float8EinsumDense(nn.Module):
    """y = einsum(equation, q(x), q(kernel)) + bias, where q rounds to the 4 + 3 bits of float8_e4m3fn.

        q(x) = float8(clip(x / scale, -448, 448)) scale

    The gradient passes q unchanged; that of y is rounded likewise, to float8_e5m2 (at most 57344). In training, each
    scale becomes the largest value of its history divided by that limit, and the largest |x| of this step goes into
    the history. The bias is rounded to bfloat16.

    Args:
        equation: of the input and the kernel: "...a,ab->...b" for a linear layer.
        kernel_shape: of the kernel.
        bias_shape: of the bias, which is added with its last axes; None leaves it out.
        history: how many steps a history remembers.

    Source: keras 3.15.1, layers/core/dense.py and einsum_dense.py, `_float8_call`; quantizers/quantizers.py.
    """

    def __init__(
        self,
        equation: str,
        *,
        kernel_shape: tuple[int, ...],
        bias_shape: tuple[int, ...] | None = None,
        history: int = 1024,
    ) -> None:
        super().__init__()
        self.equation = equation
        self.weight = nn.Parameter(torch.zeros(kernel_shape))
        self.bias = (
            None if bias_shape is None else nn.Parameter(torch.zeros(bias_shape))
        )
        self.input_scale: Tensor
        self.input_history: Tensor
        self.weight_scale: Tensor
        self.weight_history: Tensor
        self.gradient_scale: Tensor
        self.gradient_history: Tensor
        for name in ("input", "weight", "gradient"):
            self.register_buffer(f"{name}_scale", torch.ones(()))
            self.register_buffer(f"{name}_history", torch.zeros(history))

    def forward(self, x: Tensor) -> Tensor:
        """Return the product, with the bias if there is one."""
        rounded = self._rounded(x, self.input_scale, 448.0, torch.float8_e4m3fn)
        weight = self._rounded(
            self.weight, self.weight_scale, 448.0, torch.float8_e4m3fn
        )
        y = torch.einsum(self.equation, rounded, weight)
        if self.training:
            self._move(self.input_scale, self.input_history, x, 448.0)
            self._move(self.weight_scale, self.weight_history, self.weight, 448.0)
            if y.requires_grad:
                y.register_hook(self._rounded_gradient)  # type: ignore[no-untyped-call]
        return y if self.bias is None else y + self.bias.to(torch.bfloat16).to(y.dtype)

    def _rounded(
        self, x: Tensor, scale: Tensor, limit: float, dtype: torch.dtype
    ) -> Tensor:
        """Return x as float8 has it; the gradient is that of x."""
        found = torch.clamp(x / scale, -limit, limit).to(dtype).to(x.dtype) * scale
        return x + (found - x).detach()

    def _rounded_gradient(self, gradient: Tensor) -> Tensor:
        rounded = self._rounded(
            gradient, self.gradient_scale, 57344.0, torch.float8_e5m2
        )
        self._move(self.gradient_scale, self.gradient_history, gradient, 57344.0)
        return rounded

    def _move(self, scale: Tensor, history: Tensor, x: Tensor, limit: float) -> None:
        largest = history.amax()
        known = (largest > 0) & torch.isfinite(largest)
        scale.copy_(torch.where(known, largest / limit, scale))
        history.copy_(torch.roll(history, -1))
        history[0] = x.detach().abs().amax()
