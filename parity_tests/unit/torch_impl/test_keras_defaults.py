"""First values by Keras' laws: bounds worked out by hand, what is refused, what stays."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from torch_impl.keras_defaults import init_like_keras


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("layer", "fans"),
    [
        (nn.Linear(40, 60), 40 + 60),
        (nn.Linear(40, 60, bias=False), 40 + 60),
        (nn.Conv1d(8, 24, 5), 5 * (8 + 24)),
        (nn.Conv2d(8, 24, (3, 5)), 15 * (8 + 24)),
        (nn.Conv2d(8, 24, (3, 5), groups=4), 15 * (2 + 24)),
        (nn.Conv2d(8, 24, (3, 5), groups=8), 15 * (8 + 3)),
        (nn.Conv3d(4, 12, (3, 2, 5), groups=4), 30 * (1 + 12)),
        (nn.ConvTranspose2d(8, 24, (3, 5)), 15 * (8 + 24)),
        (nn.ConvTranspose1d(8, 24, 50, groups=2), 50 * (8 + 12)),
    ],
    ids=[
        "dense",
        "no bias",
        "one axis",
        "two axes",
        "groups",
        "depthwise",
        "groups of one in three axes",
        "transposed",
        "transposed groups",
    ],
)
def test_kernel_fills_keras_bound_and_bias_is_zero(layer: nn.Module, fans: int) -> None:
    assert init_like_keras(layer, seeded()) is layer

    bound, weight = math.sqrt(6 / fans), layer.get_parameter("weight").detach()
    assert 0.97 * bound < weight.max() <= bound
    assert -bound <= weight.min() < -0.97 * bound
    assert float(weight.square().mean()) == pytest.approx(bound**2 / 3, rel=0.15)
    assert layer.bias is None or not layer.bias.any()


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_recurrent_kernel_is_orthogonal_as_a_whole(kind: type[nn.RNNBase]) -> None:
    layer = init_like_keras(kind(5, 7, num_layers=2, bidirectional=True), seeded())

    recurrent = [p.detach() for name, p in layer.named_parameters() if name.startswith("weight_hh")]
    assert len(recurrent) == 4
    for weight in recurrent:
        torch.testing.assert_close(weight.T @ weight, torch.eye(7))
    rows = layer.weight_ih_l1.shape[0]
    assert 0.9 < float(layer.weight_ih_l1.detach().abs().max()) / math.sqrt(6 / (14 + rows)) <= 1


@pytest.mark.parametrize("layer", [nn.LSTM(5, 3), nn.LSTMCell(5, 3)], ids=["layer", "cell"])
def test_both_biases_of_an_lstm_sum_to_one_at_the_forget_gate(layer: nn.Module) -> None:
    biases = [p.detach() for name, p in init_like_keras(layer).named_parameters() if "bias" in name]

    assert torch.stack(biases).sum(0).tolist() == [0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("layer", [nn.GRU(5, 3), nn.GRUCell(5, 3), nn.RNN(5, 3)])
def test_other_recurrent_layers_begin_without_biases(layer: nn.Module) -> None:
    init_like_keras(layer)

    assert not any(p.any() for name, p in layer.named_parameters() if "bias" in name)


@pytest.mark.parametrize(("sizes", "fans"), [({}, 80), ({"kdim": 30, "vdim": 30}, 70)])
def test_attention_draws_query_key_and_value_apart(sizes: dict[str, int], fans: int) -> None:
    layer = init_like_keras(nn.MultiheadAttention(40, 4, **sizes), seeded())

    key = layer.k_proj_weight if sizes else layer.in_proj_weight[40:80]
    assert 0.98 < float(key.detach().abs().max()) / math.sqrt(6 / fans) <= 1
    assert 0.98 < float(layer.out_proj.weight.detach().abs().max()) / math.sqrt(6 / 80) <= 1
    assert not layer.in_proj_bias.any()


def test_embedding_is_uniform_but_for_its_padding() -> None:
    layer = init_like_keras(nn.Embedding(50, 7, padding_idx=3), seeded())

    assert 0.049 < float(layer.weight.detach().abs().max()) <= 0.05
    assert not layer.weight[3].any()
    assert layer.weight[4].all()


def test_normalizations_and_slopes_are_fresh() -> None:
    network = nn.Sequential(nn.BatchNorm1d(3), nn.LayerNorm(3), nn.PReLU())
    network(torch.randn(5, 3, generator=seeded()))
    for parameter in network.parameters():
        nn.init.constant_(parameter, 0.5)

    state = init_like_keras(network).state_dict()

    assert {name: value.flatten().tolist() for name, value in state.items()} == {
        "0.weight": [1, 1, 1],
        "0.bias": [0, 0, 0],
        "0.running_mean": [0, 0, 0],
        "0.running_var": [1, 1, 1],
        "0.num_batches_tracked": [0],
        "1.weight": [1, 1, 1],
        "1.bias": [0, 0, 0],
        "2.weight": [0],
    }


def test_the_generator_alone_decides() -> None:
    first, second, third = (nn.Sequential(nn.Linear(4, 3), nn.LSTM(3, 5)) for _ in range(3))

    init_like_keras(first, seeded(1))
    init_like_keras(second, seeded(1))
    init_like_keras(third, seeded(2))

    assert torch.equal(first[0].weight, second[0].weight)
    assert torch.equal(first[1].weight_hh_l0, second[1].weight_hh_l0)
    assert not torch.equal(first[0].weight, third[0].weight)


def test_without_a_generator_the_global_one_is_used() -> None:
    torch.manual_seed(5)
    first = init_like_keras(nn.utils.skip_init(nn.Linear, 4, 3)).weight
    second = init_like_keras(nn.Linear(4, 3), seeded(5)).weight

    assert torch.equal(first, second)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_dtypes_keep_theirs(dtype: torch.dtype) -> None:
    layer = init_like_keras(nn.GRU(5, 7, dtype=dtype), seeded())

    assert layer.weight_hh_l0.dtype == dtype
    close = 1e-12 if dtype == torch.float64 else 0.02
    gram = (layer.weight_hh_l0.T @ layer.weight_hh_l0).double()
    torch.testing.assert_close(gram, torch.eye(7, dtype=torch.float64), rtol=0, atol=close)


def test_a_shared_weight_is_the_first_layers() -> None:
    embedding, output = nn.Embedding(9, 4), nn.Linear(4, 9, bias=False)
    output.weight = embedding.weight

    init_like_keras(nn.Sequential(embedding, output), seeded())

    assert float(output.weight.detach().abs().max()) <= 0.05


def test_a_parametrized_weight_is_set_through_its_parametrization() -> None:
    layer = parametrizations.weight_norm(nn.Linear(40, 60))

    init_like_keras(layer, seeded())

    expected = init_like_keras(nn.Linear(40, 60), seeded()).weight
    torch.testing.assert_close(layer.weight, expected)
    assert not layer.bias.any()


def test_what_keras_has_not_stays() -> None:
    network = nn.Sequential(nn.Bilinear(3, 4, 2), nn.Linear(2, 2))
    before = network[0].weight.clone()

    init_like_keras(network)

    assert torch.equal(network[0].weight, before)


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: nn.LazyLinear(3), "1: its shapes are not known before the first call"),
        (lambda: nn.LSTM(4, 5, proj_size=2), r"1: .* projection \(proj_size=2\)"),
        (
            lambda: prune.l1_unstructured(nn.Linear(4, 3), "weight", amount=1),
            "1: a hook makes 'weight'",
        ),
    ],
    ids=["lazy", "projection", "pruned"],
)
def test_what_cannot_be_drawn_is_refused_before_anything_changes(
    make: Callable[[], nn.Module], complaint: str
) -> None:
    network = nn.Sequential(nn.Linear(4, 3), make())
    before = network[0].weight.clone()

    with pytest.raises(ValueError, match=complaint):
        init_like_keras(network)

    assert torch.equal(network[0].weight, before)
