"""Recurrent layers as Keras computes them. Each class stands alone: its source is emitted as it is.

With the default activations they call the fused kernels of `nn.LSTM`, `nn.GRU` and `nn.RNN`; the parameters are those
of Keras, one for one, so that an optimizer treats them as it did there.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class LSTM(nn.Module):
    """Long short-term memory over (batch, time, input_size); a gate more than torch names differently: c is torch's g.

        i, f, c, o = split(x weight_ih^T + h weight_hh^T + bias)
        cell = r(f) * cell + r(i) * a(c)
        h = r(o) * a(cell)              a: activation, r: recurrent_activation

    `nn.LSTM` has two biases that are only ever added. Both would be trained, so that an optimizer would take a
    double step; here there is one, as in Keras.

    Args:
        input_size: features of a time step.
        units: size of the state.
        use_bias: False leaves out the bias.
        return_sequences: return h of every time step, not only of the last.
        return_state: return (output, h, cell).
        go_backwards: start at the last time step; the output keeps the order in which it was computed.
        stateful: start where the last call ended, until `reset_state`; gradients do not reach back into it.
        dropout: share of input features that are zero in training, the same for all time steps.
        recurrent_dropout: the same for h; then every gate has masks of its own.

    Source: keras 3.15.1, layers/rnn/lstm.py and dropout_rnn_cell.py.
    """

    def __init__(
        self,
        input_size: int,
        units: int,
        *,
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
        self.units, self.activation = units, activation
        self.recurrent_activation = recurrent_activation
        self.return_sequences, self.return_state = return_sequences, return_state
        self.go_backwards, self.stateful = go_backwards, stateful
        self.state: tuple[Tensor, ...] = ()
        self.dropout, self.recurrent_dropout = dropout, recurrent_dropout
        self.is_fused = (
            activation is torch.tanh and recurrent_activation is torch.sigmoid
        )
        self.weight_ih = nn.Parameter(torch.empty(4 * units, input_size))
        self.weight_hh = nn.Parameter(torch.empty(4 * units, units))
        self.bias = nn.Parameter(torch.zeros(4 * units)) if use_bias else None
        nn.init.xavier_uniform_(self.weight_ih)
        nn.init.orthogonal_(self.weight_hh)

    def forward(self, x: Tensor, *initial_state: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Return h of the last time step (batch, units), or as the arguments say, for (batch, time, input_size)."""
        if self.go_backwards:
            x = x.flip(1)
        zero = x.new_zeros(x.shape[0], self.units)
        h, cell = initial_state or self.state or (zero, zero)
        y, h, cell = self.run(x, h, cell)
        if self.stateful:
            self.state = (h.detach(), cell.detach())
        y = y if self.return_sequences else h
        return (y, h, cell) if self.return_state else y

    def run(
        self, x: Tensor, h: Tensor, cell: Tensor, keep: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return h of every step, and the last h and cell; where `keep` is False, the cell stays as it was."""
        drops_state = self.training and self.recurrent_dropout > 0
        if self.training and self.dropout > 0 and not drops_state:
            x = x * nn.functional.dropout(torch.ones_like(x[:, :1]), self.dropout)
        # torch 2.13 cannot trace the backward pass of its LSTM kernel; compiled, the loop is fused anyway.
        traced = torch.compiler.is_dynamo_compiling() and torch.is_grad_enabled()
        if self.is_fused and not drops_state and not traced and keep is None:
            weights: list[Tensor] = [self.weight_ih, self.weight_hh]
            if self.bias is not None:
                weights += [self.bias, torch.zeros_like(self.bias)]
            state = (h.unsqueeze(0), cell.unsqueeze(0))
            y, h, cell = torch.lstm(
                x, state, weights, self.bias is not None, 1, 0.0, False, False, True
            )
            return y, h[0], cell[0]
        return self._loop(x, h, cell, keep)

    def reset_state(self) -> None:
        """Let the next call of a stateful layer start from zeros."""
        self.state = ()

    def _loop(
        self, x: Tensor, h: Tensor, cell: Tensor, keep: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        linear, drop = nn.functional.linear, nn.functional.dropout
        masks: list[Tensor] = []
        if self.training and self.recurrent_dropout > 0:
            ones = torch.ones_like(x[:, :1])
            inputs = [x * drop(ones, self.dropout) for _ in range(4)]
            parts = zip(inputs, self.weight_ih.chunk(4), strict=True)
            projected = torch.cat(
                [linear(part, weight) for part, weight in parts], dim=-1
            )
            masks = [drop(torch.ones_like(h), self.recurrent_dropout) for _ in range(4)]
        else:
            projected = linear(x, self.weight_ih)
        if self.bias is not None:
            projected = projected + self.bias
        outputs: list[Tensor] = []
        for step in projected.unbind(1):
            if masks:
                parts = zip(masks, self.weight_hh.chunk(4), strict=True)
                gates = step + torch.cat(
                    [linear(h * mask, weight) for mask, weight in parts], -1
                )
            else:
                gates = step + linear(h, self.weight_hh)
            i, f, c, o = gates.chunk(4, dim=-1)
            kept = self.recurrent_activation(f) * cell
            new = kept + self.recurrent_activation(i) * self.activation(c)
            cell = (
                new
                if keep is None
                else torch.where(keep[:, len(outputs), None], new, cell)
            )
            h = self.recurrent_activation(o) * self.activation(cell)
            outputs.append(h)
        return torch.stack(outputs, dim=1), h, cell


class GRU(nn.Module):
    """Gated recurrent unit over (batch, time, input_size), with Keras's h = z * h + (1 - z) * n.

        r, z = recurrent_activation(x W^T + b[0] + h U^T + b[1])                  of their thirds
        n = activation(x W^T + b[0] + r * (h U^T + b[1]))                         reset_after (as nn.GRU)
        n = activation(x W^T + b + (r * h) U^T)                                   otherwise, with one bias

    The gates lie in torch's order: r, z, n. The two rows of the bias are `bias_ih` and `bias_hh` of `nn.GRU`.

    Args:
        input_size: features of a time step.
        units: size of the state.
        reset_after: apply the reset gate after the product with the state (Keras 2 and 3) or before it (Keras 1).
        use_bias: False leaves out the bias.
        return_sequences: return h of every time step, not only of the last.
        return_state: return (output, h).
        go_backwards: start at the last time step; the output keeps the order in which it was computed.
        stateful: start where the last call ended, until `reset_state`; gradients do not reach back into it.
        dropout: share of input features that are zero in training, the same for all time steps.
        recurrent_dropout: the same for h; then every gate has masks of its own.

    Source: keras 3.15.1, layers/rnn/gru.py and dropout_rnn_cell.py.
    """

    def __init__(
        self,
        input_size: int,
        units: int,
        *,
        activation: Callable[[Tensor], Tensor] = torch.tanh,
        recurrent_activation: Callable[[Tensor], Tensor] = torch.sigmoid,
        reset_after: bool = True,
        use_bias: bool = True,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.units, self.activation = units, activation
        self.recurrent_activation, self.reset_after = recurrent_activation, reset_after
        self.return_sequences, self.return_state = return_sequences, return_state
        self.go_backwards, self.stateful = go_backwards, stateful
        self.state: tuple[Tensor, ...] = ()
        self.dropout, self.recurrent_dropout = dropout, recurrent_dropout
        defaults = activation is torch.tanh and recurrent_activation is torch.sigmoid
        self.is_fused = defaults and reset_after
        self.weight_ih = nn.Parameter(torch.empty(3 * units, input_size))
        self.weight_hh = nn.Parameter(torch.empty(3 * units, units))
        rows = (2, 3 * units) if reset_after else (3 * units,)
        self.bias = nn.Parameter(torch.zeros(rows)) if use_bias else None
        nn.init.xavier_uniform_(self.weight_ih)
        nn.init.orthogonal_(self.weight_hh)

    def forward(self, x: Tensor, *initial_state: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Return h of the last time step (batch, units), or as the arguments say, for (batch, time, input_size)."""
        if self.go_backwards:
            x = x.flip(1)
        h, *_ = initial_state or self.state or (x.new_zeros(x.shape[0], self.units),)
        y, h = self.run(x, h)
        if self.stateful:
            self.state = (h.detach(),)
        y = y if self.return_sequences else h
        return (y, h) if self.return_state else y

    def run(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Return h of every step, and the last."""
        drops_state = self.training and self.recurrent_dropout > 0
        if self.training and self.dropout > 0 and not drops_state:
            x = x * nn.functional.dropout(torch.ones_like(x[:, :1]), self.dropout)
        if self.is_fused and not drops_state:
            weights: list[Tensor] = [self.weight_ih, self.weight_hh]
            if self.bias is not None:
                weights += self.bias.unbind(0)
            y, h = torch.gru(
                x,
                h.unsqueeze(0),
                weights,
                self.bias is not None,
                1,
                0.0,
                False,
                False,
                True,
            )
            return y, h[0]
        return self._loop(x, h)

    def reset_state(self) -> None:
        """Let the next call of a stateful layer start from zeros."""
        self.state = ()

    def _loop(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        linear, drop = nn.functional.linear, nn.functional.dropout
        reset, update, new = self.weight_hh.chunk(3)
        bias, state_bias = self._biases()
        masks = [torch.ones_like(h[:1])] * 3
        if self.training and self.recurrent_dropout > 0:
            ones = torch.ones_like(x[:, :1])
            inputs = [x * drop(ones, self.dropout) for _ in range(3)]
            parts = zip(inputs, self.weight_ih.chunk(3), strict=True)
            projected = (
                torch.cat([linear(part, weight) for part, weight in parts], dim=-1)
                + bias
            )
            masks = [drop(torch.ones_like(h), self.recurrent_dropout) for _ in range(3)]
        else:
            projected = linear(x, self.weight_ih) + bias
        b_r, b_z, b_n = state_bias.chunk(3)
        outputs = []
        for step in projected.unbind(1):
            x_r, x_z, x_n = step.chunk(3, dim=-1)
            r = self.recurrent_activation(x_r + linear(h * masks[0], reset, b_r))
            z = self.recurrent_activation(x_z + linear(h * masks[1], update, b_z))
            if self.reset_after:
                n = self.activation(x_n + r * linear(h * masks[2], new, b_n))
            else:
                n = self.activation(x_n + linear(r * h * masks[2], new))
            h = z * h + (1 - z) * n
            outputs.append(h)
        return torch.stack(outputs, dim=1), h

    def _biases(self) -> tuple[Tensor, Tensor]:
        """Return what is added to the products with the input and with the state."""
        zeros = self.weight_hh.new_zeros(3 * self.units)
        if self.bias is None:
            return zeros, zeros
        return (self.bias[0], self.bias[1]) if self.reset_after else (self.bias, zeros)


class SimpleRNN(nn.Module):
    """Elman network over (batch, time, input_size): h = activation(x weight_ih^T + bias + h weight_hh^T).

    `nn.RNN` has two biases that are only ever added; here there is one, as in Keras.

    Args:
        input_size: features of a time step.
        units: size of the state.
        use_bias: False leaves out the bias.
        return_sequences: return h of every time step, not only of the last.
        return_state: return (output, h).
        go_backwards: start at the last time step; the output keeps the order in which it was computed.
        stateful: start where the last call ended, until `reset_state`; gradients do not reach back into it.
        dropout: share of input features that are zero in training, the same for all time steps.
        recurrent_dropout: the same for h.

    Source: keras 3.15.1, layers/rnn/simple_rnn.py and dropout_rnn_cell.py.
    """

    def __init__(
        self,
        input_size: int,
        units: int,
        *,
        activation: Callable[[Tensor], Tensor] = torch.tanh,
        use_bias: bool = True,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.units, self.activation = units, activation
        self.return_sequences, self.return_state = return_sequences, return_state
        self.go_backwards, self.stateful = go_backwards, stateful
        self.state: tuple[Tensor, ...] = ()
        self.dropout, self.recurrent_dropout = dropout, recurrent_dropout
        self.weight_ih = nn.Parameter(torch.empty(units, input_size))
        self.weight_hh = nn.Parameter(torch.empty(units, units))
        self.bias = nn.Parameter(torch.zeros(units)) if use_bias else None
        nn.init.xavier_uniform_(self.weight_ih)
        nn.init.orthogonal_(self.weight_hh)

    def forward(self, x: Tensor, *initial_state: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Return h of the last time step (batch, units), or as the arguments say, for (batch, time, input_size)."""
        if self.go_backwards:
            x = x.flip(1)
        h, *_ = initial_state or self.state or (x.new_zeros(x.shape[0], self.units),)
        y, h = self.run(x, h)
        if self.stateful:
            self.state = (h.detach(),)
        y = y if self.return_sequences else h
        return (y, h) if self.return_state else y

    def run(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Return h of every step, and the last."""
        if self.training and self.dropout > 0:
            x = x * nn.functional.dropout(torch.ones_like(x[:, :1]), self.dropout)
        drops_state = self.training and self.recurrent_dropout > 0
        if self.activation is torch.tanh and not drops_state:
            weights: list[Tensor] = [self.weight_ih, self.weight_hh]
            if self.bias is not None:
                weights += [self.bias, torch.zeros_like(self.bias)]
            y, h = torch.rnn_tanh(
                x,
                h.unsqueeze(0),
                weights,
                self.bias is not None,
                1,
                0.0,
                False,
                False,
                True,
            )
            return y, h[0]
        return self._loop(x, h)

    def reset_state(self) -> None:
        """Let the next call of a stateful layer start from zeros."""
        self.state = ()

    def _loop(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        mask = torch.ones_like(h[:1])
        if self.training and self.recurrent_dropout > 0:
            mask = nn.functional.dropout(torch.ones_like(h), self.recurrent_dropout)
        outputs = []
        for step in nn.functional.linear(x, self.weight_ih, self.bias).unbind(1):
            h = self.activation(step + nn.functional.linear(h * mask, self.weight_hh))
            outputs.append(h)
        return torch.stack(outputs, dim=1), h


class MaskedLSTM(LSTM):
    """`LSTM` that passes over masked steps: they change no state, and their output is that of the step before.

    Where no step came before, the output is 0, whatever the initial state. Source: keras 3.15.1,
    backend/tensorflow/rnn.py.
    """

    def forward(  # type: ignore[override]  # a mask goes before the states
        self, x: Tensor, mask: Tensor, *initial_state: Tensor
    ) -> Tensor | tuple[Tensor, ...]:
        """Return what `LSTM` does for the steps where the mask (batch, time) is True."""
        mask = mask.flip(1) if self.go_backwards else mask
        zero = x.new_zeros(x.shape[0], self.units)
        start, cell = initial_state or self.state or (zero, zero)
        steps, keep = kept_first(x.flip(1) if self.go_backwards else x, mask)
        needs_state = self.return_state or self.stateful
        # The fused kernel returns no cell but the last, which steps behind the kept ones would change.
        h, _, cell = self.run(steps, start, cell, keep if needs_state else None)
        y = hold_steps(h, mask, zero)
        y = y if self.return_sequences else y[:, -1]
        if not needs_state:
            return y
        last = hold_steps(h, mask, start)[:, -1]
        if self.stateful:
            self.state = (last.detach(), cell.detach())
        return (y, last, cell) if self.return_state else y


class MaskedGRU(GRU):
    """`GRU` that passes over masked steps: they change no state, and their output is that of the step before.

    Where no step came before, the output is 0, whatever the initial state. Source: keras 3.15.1,
    backend/tensorflow/rnn.py.
    """

    def forward(  # type: ignore[override]  # a mask goes before the states
        self, x: Tensor, mask: Tensor, *initial_state: Tensor
    ) -> Tensor | tuple[Tensor, ...]:
        """Return what `GRU` does for the steps where the mask (batch, time) is True."""
        mask = mask.flip(1) if self.go_backwards else mask
        zero = x.new_zeros(x.shape[0], self.units)
        start, *_ = initial_state or self.state or (zero,)
        steps, _ = kept_first(x.flip(1) if self.go_backwards else x, mask)
        h, _ = self.run(steps, start)
        y = hold_steps(h, mask, zero)
        y = y if self.return_sequences else y[:, -1]
        if not (self.return_state or self.stateful):
            return y
        last = hold_steps(h, mask, start)[:, -1]
        if self.stateful:
            self.state = (last.detach(),)
        return (y, last) if self.return_state else y


class MaskedSimpleRNN(SimpleRNN):
    """`SimpleRNN` that passes over masked steps: they change no state, and their output is that of the step before.

    Where no step came before, the output is 0, whatever the initial state. Source: keras 3.15.1,
    backend/tensorflow/rnn.py.
    """

    def forward(  # type: ignore[override]  # a mask goes before the states
        self, x: Tensor, mask: Tensor, *initial_state: Tensor
    ) -> Tensor | tuple[Tensor, ...]:
        """Return what `SimpleRNN` does for the steps where the mask (batch, time) is True."""
        mask = mask.flip(1) if self.go_backwards else mask
        zero = x.new_zeros(x.shape[0], self.units)
        start, *_ = initial_state or self.state or (zero,)
        steps, _ = kept_first(x.flip(1) if self.go_backwards else x, mask)
        h, _ = self.run(steps, start)
        y = hold_steps(h, mask, zero)
        y = y if self.return_sequences else y[:, -1]
        if not (self.return_state or self.stateful):
            return y
        last = hold_steps(h, mask, start)[:, -1]
        if self.stateful:
            self.state = (last.detach(),)
        return (y, last) if self.return_state else y


def kept_first(x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return (batch, time, features) with the steps that the mask keeps moved to the front in their order, and the mask so."""
    order = torch.argsort(mask.to(torch.int8), dim=1, descending=True, stable=True)
    # torch.take_along_dim would fix the size of the batch in torch.export (torch 2.13).
    steps = torch.gather(x, 1, order.unsqueeze(-1).expand_as(x))
    return steps, torch.gather(mask, 1, order)


def hold_steps(y: Tensor, mask: Tensor, before: Tensor) -> Tensor:
    """Return outputs of kept steps at their places in (batch, time, units); masked steps repeat the last, at first `before`."""
    places = mask.cumsum(1).unsqueeze(-1).expand_as(y)
    return torch.gather(torch.cat([before.unsqueeze(1), y], 1), 1, places)


def linear_activation(x: Tensor) -> Tensor:
    """Return x: the activation "linear" where a function is needed."""
    return x


def split_time(y: Tensor, x: Tensor) -> Tensor:
    """Return (batch * time, ...) as (batch, time, ...), the first two sizes of x."""
    return torch.unflatten(y, 0, x.shape[:2])
