from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from torch_impl.keras_compat.conv_recurrent import ConvLSTM

BATCH, TIME, CHANNELS, FILTERS, SIZE = 2, 3, 2, 3, 5


def make(**settings: Any) -> ConvLSTM:
    torch.manual_seed(0)
    return ConvLSTM(CHANNELS, FILTERS, (3,), pad=(1, 1), **settings).double()


def sequence() -> Tensor:
    draws = np.random.default_rng(1).normal(size=(BATCH, TIME, CHANNELS, SIZE))
    return torch.from_numpy(draws)


def test_kernel_of_one_cell_is_an_lstm_at_every_cell() -> None:
    layer = ConvLSTM(CHANNELS, FILTERS, (1,), return_sequences=True).double()
    stock = torch.nn.LSTM(CHANNELS, FILTERS, batch_first=True).double()
    stock.weight_ih_l0.data = layer.weight_ih.data[..., 0]
    stock.weight_hh_l0.data = layer.weight_hh.data[..., 0]
    stock.bias_ih_l0.data = torch.linspace(-1, 1, 4 * FILTERS).double()
    assert layer.bias is not None
    layer.bias.data = stock.bias_ih_l0.data
    stock.bias_hh_l0.data = torch.zeros(4 * FILTERS).double()
    x = sequence()

    y = layer(x)

    for cell in range(SIZE):
        torch.testing.assert_close(y[..., cell], stock(x[..., cell])[0], rtol=0, atol=1e-14)


def test_odd_zero_around_an_even_kernel_comes_behind() -> None:
    layer = ConvLSTM(1, 1, (2,), use_bias=False, return_sequences=True, activation=torch.relu)
    layer.weight_ih.data.fill_(1.0)
    layer.weight_hh.data = torch.tensor([[[0.0, 1.0]]] * 4)  # sees only the cell behind
    x = torch.zeros(1, 2, 1, 3)
    x[0, 0, 0] = torch.tensor([0.0, 0.0, 4.0])

    y = layer(x)
    assert isinstance(y, Tensor)
    first, second = y.detach()[0].unbind(0)

    gate = 1 / (1 + np.exp(-4.0))
    assert first[0].tolist() == pytest.approx([0.0, 4 * gate * gate])
    assert second[0, 0] > 0.0  # sees the cell behind
    assert second[0, 1] == pytest.approx(gate)  # sees a zero: half of half of what the cell held


def test_stateful_layer_goes_on_where_it_ended_until_it_is_reset() -> None:
    layer, whole, x = make(stateful=True), make(), sequence()

    layer(x[:, :1])
    continued = layer(x[:, 1:])
    layer.reset_state()

    torch.testing.assert_close(continued, whole(x), rtol=0, atol=1e-14)
    torch.testing.assert_close(layer(x), whole(x), rtol=0, atol=0)


def test_backwards_is_the_turned_sequence_in_computed_order() -> None:
    x = sequence()

    backwards = make(go_backwards=True, return_sequences=True)(x)

    torch.testing.assert_close(backwards, make(return_sequences=True)(x.flip(1)), rtol=0, atol=0)


@pytest.mark.parametrize("which", ["dropout", "recurrent_dropout"])
def test_dropout_acts_in_training_only(which: str) -> None:
    layer, x = make(**{which: 0.5}), sequence()

    trained = layer.train()(x)

    torch.testing.assert_close(layer.eval()(x), make()(x), rtol=0, atol=0)
    assert not torch.equal(trained, layer(x))


def test_dropped_inputs_are_the_same_at_all_time_steps_and_others_for_every_gate() -> None:
    layer = make(dropout=0.5).train()
    layer.pad, layer.state_pad = (), []
    layer.weight_ih = torch.nn.Parameter(torch.ones(4 * FILTERS, CHANNELS, 1).double())
    torch.manual_seed(3)

    projected = layer._project(torch.ones(1, TIME, CHANNELS, 20).double())

    first, *others = projected[0].unbind(0)
    assert all(torch.equal(first, other) for other in others)
    gates = [gate[0] for gate in first.chunk(4)]
    assert all(not torch.equal(gates[0], gate) for gate in gates[1:])


@pytest.mark.slow
def test_layer_can_be_exported_with_a_free_batch() -> None:
    layer, x = make(return_state=True).eval(), sequence()
    batch = torch.export.Dim("batch", min=2)

    exported = torch.export.export(layer, (x,), dynamic_shapes=({0: batch},))

    wide = torch.cat([x, x, x])
    for y, wanted in zip(exported.module()(wide), layer(wide), strict=True):
        torch.testing.assert_close(y, wanted, rtol=0, atol=1e-14)
