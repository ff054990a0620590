"""Convolutional recurrent layers as Keras computes them. Each class stands alone: its source is emitted as it is."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class ConvLSTM(nn.Module):
    """Long short-term memory over (batch, time, channels, *space) whose products are convolutions.

        i, f, c, o = split(conv(x, weight_ih) + bias + conv(h, weight_hh))
        cell = r(f) * cell + r(i) * a(c)
        h = r(o) * a(cell)              a: activation, r: recurrent_activation

    The convolution of h has a stride of 1, no dilation, and as many zeros around h as keep its size; where that is an
    odd number, one more behind than before.

    Args:
        in_channels: channels of a time step.
        filters: channels of the state.
        kernel_size: for every spatial axis.
        stride: of the convolution of x, for every spatial axis.
        dilation: the same.
        pad: zeros around x as `torch.nn.functional.pad` takes them, last axis first; () for none.
        use_bias: False leaves out the bias.
        return_sequences: return h of every time step, not only of the last.
        return_state: return (output, h, cell).
        go_backwards: start at the last time step; the output keeps the order in which it was computed.
        stateful: start where the last call ended, until `reset_state`; gradients do not reach back into it.
        dropout: share of x that is zero in training, the same cells for all time steps, others for every gate.
        recurrent_dropout: the same for h.

    Source: keras 3.15.1, layers/rnn/conv_lstm.py and dropout_rnn_cell.py.
    """

    def __init__(
        self,
        in_channels: int,
        filters: int,
        kernel_size: tuple[int, ...],
        *,
        stride: tuple[int, ...] | None = None,
        dilation: tuple[int, ...] | None = None,
        pad: tuple[int, ...] = (),
        activation: Callable[[Tensor], Tensor] = torch.tanh,
        recurrent_activation: Callable[[Tensor], Tensor] = torch.sigmoid,
        use_bias: bool = True,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        functional = nn.functional
        rank = len(kernel_size)
        self.conv = (functional.conv1d, functional.conv2d, functional.conv3d)[rank - 1]
        self.stride, self.dilation = stride or (1,) * rank, dilation or (1,) * rank
        self.pad = pad
        self.state_pad = [
            size for k in reversed(kernel_size) for size in ((k - 1) // 2, k // 2)
        ]
        self.activation, self.recurrent_activation = activation, recurrent_activation
        self.return_sequences, self.return_state = return_sequences, return_state
        self.go_backwards, self.stateful = go_backwards, stateful
        self.state: tuple[Tensor, ...] = ()
        self.dropout, self.recurrent_dropout = dropout, recurrent_dropout
        self.weight_ih = nn.Parameter(
            torch.empty(4 * filters, in_channels, *kernel_size)
        )
        self.weight_hh = nn.Parameter(torch.empty(4 * filters, filters, *kernel_size))
        self.bias = nn.Parameter(torch.zeros(4 * filters)) if use_bias else None
        nn.init.xavier_uniform_(self.weight_ih)
        nn.init.orthogonal_(self.weight_hh)

    def forward(self, x: Tensor, *initial_state: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Return h of the last time step (batch, filters, *space), or as the arguments say."""
        projected = self._project(x.flip(1) if self.go_backwards else x)
        zero = torch.zeros_like(projected[:, 0].chunk(4, dim=1)[0])
        h, cell = initial_state or self.state or (zero, zero)
        y, h, cell = self._loop(projected, h, cell, self._dropped(h))
        return self._ended(y, h, cell)

    def reset_state(self) -> None:
        """Let the next call of a stateful layer start from zeros."""
        self.state = ()

    def _ended(self, y: Tensor, h: Tensor, cell: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Keep the state if the layer does, and return what the arguments say."""
        if self.stateful:
            self.state = (h.detach(), cell.detach())
        y = y if self.return_sequences else y[:, -1]
        return (y, h, cell) if self.return_state else y

    def _dropped(self, h: Tensor) -> list[Tensor]:
        """Return what h is multiplied by for every gate; nothing outside of training."""
        if not self.training or self.recurrent_dropout == 0:
            return []
        ones = torch.ones_like(h)
        drop = nn.functional.dropout
        return [drop(ones, self.recurrent_dropout) for _ in range(4)]

    def _loop(
        self, projected: Tensor, h: Tensor, cell: Tensor, masks: list[Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        outputs = []
        for step in projected.unbind(1):
            gates = step + self._convolve_state(h, masks)
            i, f, c, o = gates.chunk(4, dim=1)
            kept = self.recurrent_activation(f) * cell
            cell = kept + self.recurrent_activation(i) * self.activation(c)
            h = self.recurrent_activation(o) * self.activation(cell)
            outputs.append(h)
        return torch.stack(outputs, dim=1), h, cell

    def _project(self, x: Tensor) -> Tensor:
        """Return the convolution of all time steps at once: (batch, time, 4 * filters, *space)."""
        inputs: list[Tensor] = [x]
        weights: list[Tensor] = [self.weight_ih]
        if self.training and self.dropout > 0:
            ones = torch.ones_like(x[:, :1])
            inputs = [x * nn.functional.dropout(ones, self.dropout) for _ in range(4)]
            weights = list(self.weight_ih.chunk(4))
        parts = []
        for part, weight in zip(inputs, weights, strict=True):
            frames = nn.functional.pad(part.flatten(0, 1), self.pad)
            parts.append(self.conv(frames, weight, None, self.stride, 0, self.dilation))
        projected = torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]
        if self.bias is not None:
            projected = projected + self.bias.view(-1, *[1] * (x.dim() - 3))
        return torch.unflatten(projected, 0, x.shape[:2])

    def _convolve_state(self, h: Tensor, masks: list[Tensor]) -> Tensor:
        if not masks:
            return self.conv(nn.functional.pad(h, self.state_pad), self.weight_hh)
        parts = [
            self.conv(nn.functional.pad(h * mask, self.state_pad), weight)
            for mask, weight in zip(masks, self.weight_hh.chunk(4), strict=True)
        ]
        return torch.cat(parts, dim=1)


class MaskedConvLSTM(ConvLSTM):
    """`ConvLSTM` that passes over masked steps: they change no state, and their output is that of the step before.

    Where no step came before, the output is 0, whatever the initial state. Source: keras 3.15.1,
    backend/tensorflow/rnn.py.
    """

    def forward(  # type: ignore[override]  # a mask goes before the states
        self, x: Tensor, mask: Tensor, *initial_state: Tensor
    ) -> Tensor | tuple[Tensor, ...]:
        """Return what `ConvLSTM` does for the steps, or cells of steps, where the mask (batch, time, *space) is True."""
        if self.go_backwards:
            x, mask = x.flip(1), mask.flip(1)
        projected = self._project(x)
        output = torch.zeros_like(projected[:, 0].chunk(4, dim=1)[0])
        h, cell = initial_state or self.state or (output, output)
        dropped = self._dropped(h)
        outputs: list[Tensor] = []
        for index in range(projected.shape[1]):
            step = projected[:, index : index + 1]
            keep = mask[:, index].unsqueeze(1)  # the axis of the channels
            keep = keep.reshape(*keep.shape, *[1] * (h.dim() - keep.dim()))
            _, new_h, new_cell = self._loop(step, h, cell, dropped)
            output = torch.where(keep, new_h, output)
            h, cell = torch.where(keep, new_h, h), torch.where(keep, new_cell, cell)
            outputs.append(output)
        return self._ended(torch.stack(outputs, dim=1), h, cell)
