"""Settings at PyTorch's defaults are named with Keras's, others are not."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import nn, optim

from torch_impl.changed_defaults import (
    INITIAL_VALUES,
    LAYER_ROWS,
    OPTIMIZER_ROWS,
    DefaultRow,
    changed_defaults,
)
from torch_impl.keras_defaults import init_like_keras

Parameters = Iterator[nn.Parameter]


def settings_of(
    module: nn.Module, optimizer: optim.Optimizer | None = None
) -> list[tuple[str, str]]:
    """Return place and setting of every finding but those about first values."""
    found = changed_defaults(module, optimizer)
    return [(each.place, each.setting) for each in found if each.setting != INITIAL_VALUES]


def fresh(module: nn.Module) -> list[str]:
    """Return the places whose values look as PyTorch drew them."""
    return [each.place for each in changed_defaults(module) if each.setting == INITIAL_VALUES]


def optimizer_with(row: DefaultRow, **settings: object) -> optim.Optimizer:
    (kind,) = row.types
    return kind([nn.Parameter(torch.zeros(4, 3))], **settings)


def test_settings_are_named_with_place_value_and_remedy() -> None:
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Sequential(nn.LeakyReLU()))

    found = changed_defaults(network)

    assert [(f.place, f.kind, f.setting, f.value, f.keras, f.remedy) for f in found] == [
        ("0", "BatchNorm2d", "eps", 1e-5, 1e-3, "eps=0.001"),
        ("0", "BatchNorm2d", "momentum", 0.1, 0.99, "momentum=0.01"),
        ("1.0", "LeakyReLU", "negative_slope", 0.01, 0.3, "negative_slope=0.3"),
    ]
    assert all(f.reason for f in found)


def test_settings_of_ones_own_are_not_named() -> None:
    network = nn.Sequential(
        nn.BatchNorm1d(3, eps=1e-3, momentum=0.01),
        nn.LayerNorm(3, eps=1e-6),
        nn.LeakyReLU(0.2),
        nn.Softmax(dim=1),
        nn.MultiheadAttention(4, 2, batch_first=True),
    )

    assert settings_of(network) == []


def test_layers_with_the_same_defaults_are_not_named() -> None:
    assert changed_defaults(nn.Sequential(nn.ELU(), nn.GELU(), nn.Softplus(), nn.CELU())) == ()


def test_a_class_derived_from_a_layer_has_its_rows() -> None:
    class Norm(nn.LayerNorm):
        pass

    assert settings_of(Norm(3)) == [("Norm", "eps")]


@pytest.mark.parametrize("row", OPTIMIZER_ROWS, ids=lambda row: f"{row.keras_class} {row.setting}")
def test_every_row_of_an_optimizer_is_found_and_its_remedy_ends_it(row: DefaultRow) -> None:
    network = nn.Identity()

    assert ("optimizer", row.setting) in settings_of(network, optimizer_with(row))
    mended = optimizer_with(row, **{row.setting: row.wanted})
    assert ("optimizer", row.setting) not in settings_of(network, mended)


@pytest.mark.parametrize("row", LAYER_ROWS, ids=lambda row: f"{row.keras_class} {row.setting}")
def test_every_row_of_a_layer_is_found_and_its_remedy_ends_it(row: DefaultRow) -> None:
    kind = nn.LSTM if row.types == (nn.RNNBase,) else row.types[0]
    sizes: dict[str, tuple[int, ...]] = {"LeakyReLU": (), "Softmax": (), "GroupNorm": (2, 4)}
    sizes |= {"LSTM": (3, 4), "MultiheadAttention": (4, 2)}
    positions = sizes.get(kind.__name__, (4,))

    assert row.setting in [setting for _, setting in settings_of(kind(*positions))]
    mended = kind(*positions, **{row.setting: row.wanted})
    assert row.setting not in [setting for _, setting in settings_of(mended)]


def test_parameter_groups_are_looked_at_one_by_one() -> None:
    first, second = nn.Linear(2, 2), nn.Linear(2, 2)
    groups = [{"params": first.parameters()}, {"params": second.parameters(), "eps": 1e-7}]
    optimizer = optim.Adam(groups, lr=torch.tensor(1e-3))

    assert settings_of(nn.Identity(), optimizer) == [("optimizer.param_groups[0]", "eps")]


FRESH: tuple[Callable[[], nn.Module], ...] = (
    lambda: nn.Linear(4, 3),
    lambda: nn.Linear(40, 3, bias=False),
    lambda: nn.Conv2d(3, 5, 3),
    lambda: nn.ConvTranspose2d(3, 5, 3),
    lambda: nn.Conv2d(4, 8, 3, groups=4),
    lambda: nn.Embedding(9, 4, padding_idx=0),
    lambda: nn.LSTM(3, 5),
    lambda: nn.GRUCell(3, 5),
    lambda: nn.RNN(3, 5, bias=False),
    lambda: nn.PReLU(3),
)


@pytest.mark.parametrize("make", FRESH, ids=lambda make: type(make()).__name__)
@pytest.mark.parametrize("seed", range(3))
def test_values_of_pytorch_are_named_until_they_are_drawn_as_keras_does(
    make: Callable[[], nn.Module], seed: int
) -> None:
    torch.manual_seed(seed)
    layer = make()

    assert fresh(layer) == [type(layer).__name__]
    assert fresh(init_like_keras(layer)) == []


def test_attention_is_named_with_its_output() -> None:
    layer = nn.MultiheadAttention(8, 2)

    assert fresh(layer) == ["MultiheadAttention", "out_proj"]
    assert fresh(init_like_keras(layer)) == []


def test_values_in_half_precision_are_named() -> None:
    assert fresh(nn.Linear(400, 300, dtype=torch.bfloat16)) == ["Linear"]


def test_trained_values_are_not_named() -> None:
    layer = nn.Linear(4, 3)
    with torch.no_grad():
        layer.weight += 1

    assert fresh(layer) == []


def test_a_kernel_with_the_same_law_is_not_named() -> None:
    # 1 / sqrt(4) = sqrt(6 / (4 + 20))
    assert fresh(nn.Linear(4, 20, bias=False)) == []


def test_arrays_without_values_are_passed_over() -> None:
    without = [nn.LazyLinear(3), nn.Linear(4, 3, device="meta"), nn.Embedding(0, 4)]

    assert fresh(nn.Sequential(*without)) == []
