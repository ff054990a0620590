from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from torch_impl.keras_compat.recurrent import GRU, LSTM, SimpleRNN, split_time

Layer = LSTM | GRU | SimpleRNN
KINDS: dict[str, Callable[..., Layer]] = {"lstm": LSTM, "gru": GRU, "simple_rnn": SimpleRNN}
BATCH, TIME, SIZE, UNITS = 3, 5, 4, 2


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def make(kind: str, **kwargs: object) -> Layer:
    layer = KINDS[kind](SIZE, UNITS, **kwargs).double()
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    return layer


def sequence() -> Tensor:
    return torch.randn(BATCH, TIME, SIZE, dtype=torch.float64)


def stock(layer: Layer) -> nn.RNNBase:
    """Return torch's own module with the same weights and Keras's one bias in `bias_ih`."""
    kinds: dict[type[nn.Module], Callable[..., nn.RNNBase]] = {
        LSTM: nn.LSTM,
        GRU: nn.GRU,
        SimpleRNN: nn.RNN,
    }
    module = kinds[type(layer)](SIZE, UNITS, batch_first=True).double()
    assert layer.bias is not None
    bias = layer.bias.detach()
    rows = bias if bias.dim() == 2 else torch.stack([bias, torch.zeros_like(bias)])
    state = {
        "weight_ih_l0": layer.weight_ih.detach(),
        "weight_hh_l0": layer.weight_hh.detach(),
        "bias_ih_l0": rows[0],
        "bias_hh_l0": rows[1],
    }
    module.load_state_dict(state)
    return module


@pytest.mark.parametrize("kind", KINDS)
def test_default_activations_compute_what_the_stock_module_computes(kind: str) -> None:
    layer, x = make(kind, return_sequences=True), sequence()

    y = layer(x)

    torch.testing.assert_close(y, stock(layer)(x)[0], rtol=0, atol=1e-14)


@pytest.mark.parametrize("kind", KINDS)
def test_loop_and_kernel_compute_the_same(kind: str) -> None:
    def same_tanh(x: Tensor) -> Tensor:
        return torch.tanh(x)

    fused, x = make(kind, return_sequences=True, return_state=True), sequence()
    looped = make(kind, activation=same_tanh, return_sequences=True, return_state=True)
    looped.load_state_dict(fused.state_dict())

    for wanted, found in zip(fused(x), looped(x), strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-14)


@pytest.mark.parametrize("kind", KINDS)
def test_states_carry_a_sequence_over_two_calls(kind: str) -> None:
    layer, x = make(kind, return_state=True), sequence()

    whole, *_ = layer(x)
    _, *states = layer(x[:, :2])
    rest, *_ = layer(x[:, 2:], *states)

    torch.testing.assert_close(rest, whole, rtol=0, atol=1e-14)


@pytest.mark.parametrize("kind", KINDS)
def test_stateful_layer_goes_on_where_it_ended_until_it_is_reset(kind: str) -> None:
    layer, x = make(kind, stateful=True), sequence()
    plain = make(kind)
    plain.load_state_dict(layer.state_dict())

    layer(x[:, :2])
    continued = layer(x[:, 2:])
    layer.reset_state()

    torch.testing.assert_close(continued, plain(x), rtol=0, atol=1e-14)
    assert torch.equal(layer(x), plain(x))
    assert not layer.state[0].requires_grad


@pytest.mark.parametrize("kind", KINDS)
def test_backwards_is_the_turned_sequence_in_computed_order(kind: str) -> None:
    layer, x = make(kind, return_sequences=True), sequence()
    backwards = make(kind, return_sequences=True, go_backwards=True)
    backwards.load_state_dict(layer.state_dict())

    assert torch.equal(backwards(x), layer(x.flip(1)))


@pytest.mark.parametrize("reset_after", [True, False])
def test_gru_follows_its_formula(reset_after: bool) -> None:
    layer, x = make("gru", reset_after=reset_after), sequence()
    assert layer.bias is not None
    w_r, w_z, w_n = torch.split(layer.weight_ih, UNITS)
    u_r, u_z, u_n = torch.split(layer.weight_hh, UNITS)
    b, c = (layer.bias[0], layer.bias[1]) if reset_after else (layer.bias, 0 * layer.bias)

    h = torch.zeros(BATCH, UNITS, dtype=torch.float64)
    for time in range(TIME):
        step = x[:, time]
        r = torch.sigmoid(step @ w_r.T + b[:2] + h @ u_r.T + c[:2])
        z = torch.sigmoid(step @ w_z.T + b[2:4] + h @ u_z.T + c[2:4])
        inner = r * (h @ u_n.T + c[4:]) if reset_after else (r * h) @ u_n.T
        h = z * h + (1 - z) * torch.tanh(step @ w_n.T + b[4:] + inner)

    torch.testing.assert_close(layer(x), h, rtol=0, atol=1e-14)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("which", ["dropout", "recurrent_dropout"])
def test_dropout_acts_in_training_only(kind: str, which: str) -> None:
    layer, x = make(kind, **{which: 0.5}), sequence()
    plain = make(kind)
    plain.load_state_dict(layer.state_dict())

    assert torch.equal(layer.eval()(x), plain(x))
    assert not torch.equal(layer.train()(x), plain(x))


def test_input_dropout_drops_a_feature_in_all_time_steps() -> None:
    layer = make("simple_rnn", dropout=0.5, activation=torch.relu, return_sequences=True).train()
    with torch.no_grad():
        layer.weight_ih.copy_(torch.eye(UNITS, SIZE))
        layer.weight_hh.zero_()
        layer.bias.zero_()  # type: ignore[union-attr]

    y = layer(torch.ones(200, TIME, SIZE, dtype=torch.float64))

    assert set(y.unique().tolist()) == {0.0, 2.0}
    assert torch.equal(y, y[:, :1].expand_as(y))


def test_state_dropout_keeps_one_mask_for_all_time_steps() -> None:
    layer = make(
        "simple_rnn", recurrent_dropout=0.5, activation=torch.relu, return_sequences=True
    ).train()
    with torch.no_grad():
        layer.weight_ih.zero_()
        layer.weight_hh.copy_(torch.eye(UNITS))
        layer.bias.zero_()  # type: ignore[union-attr]

    y = layer(torch.zeros(200, TIME, SIZE, dtype=torch.float64), torch.ones(200, UNITS).double())

    factors = y[:, 0]
    assert set(factors.unique().tolist()) == {0.0, 2.0}
    assert torch.equal(y[:, -1], factors**TIME)


@pytest.mark.parametrize("kind", KINDS)
def test_training_has_one_bias(kind: str) -> None:
    names = [name for name, _ in make(kind).named_parameters()]

    assert names == ["weight_ih", "weight_hh", "bias"]
    assert list(make(kind, use_bias=False).state_dict()) == ["weight_ih", "weight_hh"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_layer_can_be_exported(kind: str) -> None:
    layer, x = make(kind, return_sequences=True).eval(), sequence()

    exported = torch.export.export(layer, (x,)).module()

    torch.testing.assert_close(exported(x), layer(x), rtol=0, atol=1e-14)


def test_time_is_split_as_it_was() -> None:
    x = torch.arange(24.0).reshape(2, 3, 4)

    assert torch.equal(split_time(x.flatten(0, 1), x), x)
    assert split_time(torch.zeros(0, 4), torch.zeros(0, 3, 4)).shape == (0, 3, 4)
