"""Loops over a time axis of free length, as an operation that torch.export keeps: an unrolled one fixes the length.

Only while a module is traced; its own loops, which the emitted source has too, stay as a person would write them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torch_impl.keras_compat.conv_recurrent import ConvLSTM
from torch_impl.keras_compat.recurrent import GRU, LSTM, SimpleRNN

Step = Callable[..., tuple[tuple[Tensor, ...], Tensor]]


@contextlib.contextmanager
def kept_loops(model: nn.Module) -> Iterator[None]:
    """Have the recurrent layers of a model at inference loop by an operation instead of in Python."""
    changed: list[tuple[nn.Module, str]] = []
    try:
        for module in model.modules():
            for kind, name, function in _LOOPS:
                if isinstance(module, kind):
                    object.__setattr__(module, name, partial(function, module))
                    changed.append((module, name))
        yield
    finally:
        for module, name in changed:
            object.__delattr__(module, name)


def _scan(
    step: Step, state: tuple[Tensor, ...], steps: tuple[Tensor, ...]
) -> tuple[tuple[Tensor, ...], Tensor]:
    """Return the last state and the outputs (batch, time, ...) of a step taken for every time.

    Args:
        step: the state and one time of each of `steps` to the next state and an output.
        state: to begin with.
        steps: (batch, time, ...).
    """
    from torch._higher_order_ops.scan import scan  # where torch 2.13 has it

    def take(
        before: tuple[Tensor, ...], taken: tuple[Tensor, ...]
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        after, output = step(*before, *taken)
        # What is carried on and what comes out may not be one, and lies as what it began with.
        return tuple(each.contiguous() for each in after), output.clone()

    last, outputs = scan(
        take,
        # No two of its tensors may share memory: both states of an LSTM begin as the same zeros.
        tuple(each.detach().clone(memory_format=torch.contiguous_format) for each in state),
        tuple(each.detach().movedim(1, 0) for each in steps),
    )
    return last, outputs.movedim(0, 1)


def _lstm(
    module: LSTM, x: Tensor, h: Tensor, cell: Tensor, keep: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    def step(
        h: Tensor, cell: Tensor, projected: Tensor, kept: Tensor | None = None
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        gates = projected + F.linear(h, module.weight_hh)
        i, f, c, o = gates.chunk(4, dim=-1)
        new = module.recurrent_activation(f) * cell
        new = new + module.recurrent_activation(i) * module.activation(c)
        new = new if kept is None else torch.where(kept, new, cell)
        h = module.recurrent_activation(o) * module.activation(new)
        return (h, new), h

    projected = F.linear(x, module.weight_ih)
    projected = projected if module.bias is None else projected + module.bias
    steps = (projected,) if keep is None else (projected, keep.unsqueeze(-1))
    (h, cell), y = _scan(step, (h, cell), steps)
    return y, h, cell


def _gru(module: GRU, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    bias, state_bias = module._biases()
    reset, update, new = (part.detach().clone() for part in module.weight_hh.chunk(3))
    b_r, b_z, b_n = (part.detach().clone() for part in state_bias.chunk(3))

    def step(h: Tensor, projected: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        x_r, x_z, x_n = projected.chunk(3, dim=-1)
        r = module.recurrent_activation(x_r + F.linear(h, reset, b_r))
        z = module.recurrent_activation(x_z + F.linear(h, update, b_z))
        if module.reset_after:
            n = module.activation(x_n + r * F.linear(h, new, b_n))
        else:
            n = module.activation(x_n + F.linear(r * h, new))
        h = z * h + (1 - z) * n
        return (h,), h

    (h,), y = _scan(step, (h,), (F.linear(x, module.weight_ih) + bias,))
    return y, h


def _simple(module: SimpleRNN, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    def step(h: Tensor, projected: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        h = module.activation(projected + F.linear(h, module.weight_hh))
        return (h,), h

    (h,), y = _scan(step, (h,), (F.linear(x, module.weight_ih, module.bias),))
    return y, h


def _convolved(
    module: ConvLSTM, projected: Tensor, h: Tensor, cell: Tensor, masks: list[Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    def step(h: Tensor, cell: Tensor, projected: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        gates = projected + module._convolve_state(h, masks)
        i, f, c, o = gates.chunk(4, dim=1)
        new = module.recurrent_activation(f) * cell
        new = new + module.recurrent_activation(i) * module.activation(c)
        h = module.recurrent_activation(o) * module.activation(new)
        return (h, new), h

    (h, cell), y = _scan(step, (h, cell), (projected,))
    return y, h, cell


_LOOPS: tuple[tuple[type[nn.Module], str, Callable[..., object]], ...] = (
    # With torch's own kernels as well: torch.export takes these apart into a loop of fixed length.
    (LSTM, "run", _lstm),
    (GRU, "run", _gru),
    (SimpleRNN, "run", _simple),
    (ConvLSTM, "_loop", _convolved),
)
