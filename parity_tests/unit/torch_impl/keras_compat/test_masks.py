"""Masked layers against the same layers on sequences without the masked steps, one sample at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from torch_impl.keras_compat.attention import (
    Attention,
    LoweredMultiHeadAttention,
    LoweredScoredMultiHeadAttention,
    MaskedAttention,
    MaskedMultiHeadAttention,
    MultiHeadAttention,
)
from torch_impl.keras_compat.masks import (
    joint_softmax,
    keep_all,
    lowered_softmax,
    mask_steps,
    masked_mean,
    masked_softmax,
    zero_masked,
)
from torch_impl.keras_compat.normalization import BatchNorm, MaskedBatchNorm
from torch_impl.keras_compat.recurrent import (
    GRU,
    LSTM,
    MaskedGRU,
    MaskedLSTM,
    MaskedSimpleRNN,
    SimpleRNN,
    hold_steps,
    kept_first,
)

KINDS: dict[str, tuple[Callable[..., nn.Module], Callable[..., nn.Module]]] = {
    "lstm": (LSTM, MaskedLSTM),
    "gru": (GRU, MaskedGRU),
    "simple_rnn": (SimpleRNN, MaskedSimpleRNN),
}
MASK = torch.tensor(
    [[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [0, 0, 1, 1, 1], [0, 1, 0, 1, 0], [0, 0, 0, 0, 0]]
).bool()
SIZE, UNITS = 4, 3


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def pair(kind: str, **kwargs: object) -> tuple[nn.Module, nn.Module]:
    """Return the layer and the masked one with the same weights."""
    plain, masked = (make(SIZE, UNITS, **kwargs).double() for make in KINDS[kind])
    for parameter in plain.parameters():
        nn.init.normal_(parameter)
    masked.load_state_dict(plain.state_dict())
    return plain, masked


def sequence() -> Tensor:
    return torch.randn(*MASK.shape, SIZE, dtype=torch.float64)


@pytest.mark.parametrize("backwards", [False, True], ids=["forwards", "backwards"])
@pytest.mark.parametrize("kind", KINDS)
def test_masked_steps_change_nothing(kind: str, backwards: bool) -> None:
    plain, masked = pair(kind, return_state=True, go_backwards=backwards)
    x = sequence()

    results = masked(x, MASK)

    for sample in range(len(x) - 1):
        kept = plain(x[sample : sample + 1, MASK[sample]])
        for found, wanted in zip(results, kept, strict=True):
            torch.testing.assert_close(found[sample : sample + 1], wanted, rtol=0, atol=1e-14)


@pytest.mark.parametrize("kind", KINDS)
def test_output_of_a_masked_step_is_that_of_the_step_before_and_at_first_0(kind: str) -> None:
    _, masked = pair(kind, return_sequences=True)

    y = masked(sequence(), MASK)

    assert torch.equal(y[1, 2:], y[1, 1].expand(3, UNITS))
    assert not y[2, :2].any()
    assert y[2, 2].all()
    assert not y[4].any()


@pytest.mark.parametrize("kind", KINDS)
def test_sample_without_steps_keeps_its_initial_state_and_gives_0(kind: str) -> None:
    _, masked = pair(kind, return_state=True)
    states = [torch.randn(5, UNITS, dtype=torch.float64) for _ in range(2 if kind == "lstm" else 1)]

    y, *last = masked(sequence(), MASK, *states)

    assert not y[4].any()
    assert all(torch.equal(found[4], start[4]) for found, start in zip(last, states, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_stateful_layer_goes_on_from_its_last_kept_step(kind: str) -> None:
    plain, masked = pair(kind, stateful=True)
    x = sequence()[:2]

    masked(x, MASK[:2])
    y = masked(x, MASK[:2])

    plain(x[1:, :2])
    torch.testing.assert_close(y[1:], plain(x[1:, :2]), rtol=0, atol=1e-14)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gru"])  # all three stand on the same two functions
def test_masked_layer_compiles_whole_and_exports_with_a_free_batch(kind: str) -> None:
    _, masked = pair(kind, return_sequences=True)
    x = sequence()
    compiled = torch.compile(masked, fullgraph=True, backend="aot_eager")
    batch = torch.export.Dim("batch", min=2, max=64)
    shapes = {"x": {0: batch}, "mask": {0: batch}}
    exported = torch.export.export(masked, (x, MASK), dynamic_shapes=shapes).module()

    torch.testing.assert_close(compiled(x, MASK), masked(x, MASK), rtol=0, atol=1e-14)
    few = masked(x[:3], MASK[:3])
    torch.testing.assert_close(exported(x[:3], MASK[:3]), few, rtol=0, atol=1e-14)


def test_kept_steps_move_to_the_front_in_their_order() -> None:
    x = torch.arange(5.0).reshape(1, 5, 1).expand(5, 5, 1)

    moved, keep = kept_first(x, MASK)

    assert moved[3, :2, 0].tolist() == [1, 3]
    assert keep[3].tolist() == [True, True, False, False, False]


def test_held_steps_stand_at_their_places_again() -> None:
    y = torch.tensor([[[1.0], [2.0], [9.0], [9.0]]])
    mask = torch.tensor([[False, True, False, True]])

    assert hold_steps(y, mask, torch.tensor([[7.0]]))[0, :, 0].tolist() == [7, 1, 1, 2]


def test_masked_batch_statistics_are_those_of_the_kept_steps() -> None:
    plain, masked, x = BatchNorm(SIZE).double(), MaskedBatchNorm(SIZE).double(), sequence()

    plain(x[MASK])
    masked(x, MASK)

    count = float(MASK.sum())
    exact = plain.running_mean * (count / (count + 1e-7))
    torch.testing.assert_close(masked.running_mean, exact, rtol=0, atol=1e-15)
    torch.testing.assert_close(masked.running_var, plain.running_var, rtol=1e-8, atol=0)


def heads(kind: type[MultiHeadAttention], count: int, dropout: float = 0.0) -> nn.Module:
    return kind(
        (4, 4, 4),
        heads=count,
        key_size=3,
        value_size=3,
        output_shape=(4,),
        key_heads=count,
        bias=dropout == 0,
        dropout=dropout,
    ).double()


def test_masked_heads_see_only_what_is_kept() -> None:
    plain, masked = heads(MultiHeadAttention, 2), heads(MaskedMultiHeadAttention, 2)
    masked.load_state_dict(plain.state_dict())
    x = sequence()

    y = masked(x, x, x, MASK.unsqueeze(1))

    wanted = plain(x[3:4], x[3:4, MASK[3]])
    torch.testing.assert_close(y[3:4], wanted, rtol=0, atol=1e-14)
    everything = x[4:].mean(1, keepdim=True)
    torch.testing.assert_close(y[4:], plain(x[4:], everything).expand(1, 5, 4), rtol=0, atol=1e-14)


def test_head_with_dropout_gives_no_weight_to_a_query_that_sees_nothing() -> None:
    masked, x = heads(MaskedMultiHeadAttention, 1, dropout=0.5).eval(), sequence()

    y = masked(x, x, x, MASK.unsqueeze(1))

    assert not y[4].any()
    assert y[:4].all()


def test_masked_attention_sees_only_what_is_kept() -> None:
    x = sequence()

    y = MaskedAttention()(x, x, x, MASK.unsqueeze(1))

    torch.testing.assert_close(y[3], Attention()(x[3:4], x[3:4, MASK[3]])[0], rtol=0, atol=1e-14)


def test_steps_that_hold_one_value_are_masked_and_become_0() -> None:
    x = torch.tensor([[[2.0, 2.0], [2.0, 3.0], [0.0, 0.0]]])

    y, mask = mask_steps(x, value=2.0)

    assert mask.tolist() == [[False, True, True]]
    assert y.tolist() == [[[0.0, 0.0], [2.0, 3.0], [0.0, 0.0]]]


def test_mean_and_softmax_leave_masked_elements_out() -> None:
    x, mask = torch.tensor([[1.0, 3.0, 8.0]]), torch.tensor([[True, True, False]])

    assert masked_mean(x.unsqueeze(-1), mask).tolist() == [[2.0]]
    assert masked_mean(x.unsqueeze(1), mask, dim=2, keepdim=True).tolist() == [[[2.0]]]
    wanted = torch.softmax(x[:, :2], -1)
    torch.testing.assert_close(masked_softmax(x, mask)[:, :2], wanted)
    assert masked_softmax(x, mask)[0, 2] == 0
    assert torch.equal(masked_softmax(x, mask), masked_softmax(x, mask.float()))
    assert not masked_softmax(x, ~keep_all(x.unsqueeze(-1))).any()


def test_softmax_over_several_axes_is_one_over_all_their_elements() -> None:
    x = torch.linspace(-2, 3, 12).reshape(2, 3, 2)
    keep = torch.tensor([[True, True], [True, False], [True, True]])

    joint = joint_softmax(x, dim=(1, 2))
    masked = masked_softmax(x, keep, dim=(1, 2))  # a mask may have fewer axes than what it is for

    torch.testing.assert_close(joint, x.flatten(1).softmax(1).view_as(x))
    wanted = torch.zeros_like(x)
    wanted[:, keep] = x[:, keep].softmax(1)
    torch.testing.assert_close(masked, wanted)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16])
def test_softmax_of_keras_2_takes_what_a_number_can_hold_from_masked_elements(
    dtype: torch.dtype,
) -> None:
    x = torch.linspace(-2, 3, 12, dtype=dtype).reshape(2, 3, 2)
    keep = torch.tensor([[True, True], [True, False], [False, False]])
    size = 32752.0 if dtype == torch.float16 else 1e9

    along_one, along_two = (lowered_softmax(x, keep, dim=dim) for dim in (-1, (1, 2)))

    left_out = (size * ~keep.numpy()).astype(x.numpy().dtype)
    lowered = (x.numpy() - left_out).astype(np.float64)
    for found, axes in ((along_one, -1), (along_two, (1, 2))):
        powers = np.exp(lowered - lowered.max(axes, keepdims=True))
        wanted = torch.from_numpy(powers / powers.sum(axes, keepdims=True)).to(dtype)
        torch.testing.assert_close(found, wanted)
    assert torch.equal(lowered_softmax(x, keep.to(dtype)), along_one)


@pytest.mark.parametrize("causal", [False, True])
def test_query_of_keras_2_that_sees_no_value_sees_all_of_them(causal: bool) -> None:
    sizes = {"heads": 2, "key_heads": 2, "key_size": 3, "value_size": 3, "output_shape": (SIZE,)}
    kinds = (MultiHeadAttention, LoweredMultiHeadAttention, LoweredScoredMultiHeadAttention)
    plain, lowered, scored = (
        kind((SIZE,) * 3, causal=causal and kind is not MultiHeadAttention, **sizes).double()  # type: ignore[arg-type]
        for kind in kinds
    )
    for module in (lowered, scored):
        module.load_state_dict(plain.state_dict())
    x = torch.randn(2, 5, SIZE, dtype=torch.float64)
    seen = torch.ones(2, 5, 5, dtype=torch.bool)
    seen[:, 0] = False
    seen[1, 3, 1] = False

    y, weights = scored(x, x, x, seen)

    torch.testing.assert_close(lowered(x, x, x, seen), y)
    # All scores of the first query are lowered alike; float64 keeps seven digits of what they were.
    torch.testing.assert_close(y[:, 0], plain(x, x)[:, 0], rtol=0, atol=1e-6)
    assert weights[1, :, 3, 1].max() == 0
    assert weights[0, :, 2, 3:].max() == 0 if causal else weights[0, :, 2, 3:].min() > 0


def test_masked_outputs_become_0() -> None:
    y, mask = torch.ones(2, 2, 3), torch.tensor([[True, False], [False, True]])

    assert zero_masked(y, mask).sum(-1).tolist() == [[3, 0], [0, 3]]
    assert zero_masked(y[:, -1], mask).sum(-1).tolist() == [0, 3]
