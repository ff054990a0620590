"""Batch normalization worked out by hand in float64."""

from __future__ import annotations

import pytest
import torch

from torch_impl.keras_compat.normalization import BatchNorm

# Two features; means 2 and 0, biased variances 2/3 and 8/3, n = 3.
BATCH = torch.tensor([[1.0, -2.0], [2.0, 0.0], [3.0, 2.0]], dtype=torch.float64)
MEAN = torch.tensor([2.0, 0.0], dtype=torch.float64)
VARIANCE = torch.tensor([2 / 3, 8 / 3], dtype=torch.float64)


def test_training_normalizes_by_the_batch_with_epsilon_inside_the_root() -> None:
    layer = BatchNorm(2, eps=0.5).double()

    y = layer(BATCH)

    torch.testing.assert_close(y, (BATCH - MEAN) / torch.sqrt(VARIANCE + 0.5))


def test_momentum_weighs_the_old_statistics() -> None:
    layer = BatchNorm(2, momentum=0.9).double()

    layer(BATCH)

    torch.testing.assert_close(layer.running_mean, 0.1 * MEAN)
    torch.testing.assert_close(layer.running_var, 0.9 + 0.1 * VARIANCE)


@pytest.mark.parametrize(
    ("kind", "factor"), [("biased", 1.0), ("unbiased", 3 / 2), ("keras2", 3 / (3 - 1.001))]
)
def test_moving_variance_is_scaled_as_its_keras_did(kind: str, factor: float) -> None:
    layer = BatchNorm(2, momentum=0.0, variance=kind).double()

    y = layer(BATCH)

    torch.testing.assert_close(layer.running_var, factor * VARIANCE)
    torch.testing.assert_close(y, (BATCH - MEAN) / torch.sqrt(VARIANCE + 1e-3))


def test_first_debiased_update_takes_the_batch_alone() -> None:
    layer = BatchNorm(2, debiased_updates=0).double()

    layer(BATCH)

    torch.testing.assert_close(layer.running_mean, MEAN)
    torch.testing.assert_close(layer.running_var, VARIANCE)


def test_debiased_average_of_equal_batches_is_the_batch_and_of_others_is_weighted() -> None:
    layer = BatchNorm(2, momentum=0.9, debiased_updates=0).double()

    for batch in (BATCH, BATCH + 1):
        layer(batch)

    # Weights of an unbiased average: 0.9 * 0.1 for the first and 0.1 for the second, over their sum 0.19.
    torch.testing.assert_close(layer.running_mean, MEAN + 0.1 / 0.19)


def test_inference_uses_the_moving_statistics_and_leaves_them() -> None:
    layer = BatchNorm(2, eps=0.0).double().eval()
    layer.running_mean.fill_(1.0)
    layer.running_var.fill_(4.0)

    y = layer(BATCH)

    torch.testing.assert_close(y, (BATCH - 1) / 2)
    assert layer.running_mean.tolist() == [1.0, 1.0]


def test_frozen_layer_never_moves_its_statistics() -> None:
    layer = BatchNorm(2, frozen=True, eps=0.0).double().train()

    y = layer(BATCH)

    torch.testing.assert_close(y, BATCH)
    assert layer.running_var.tolist() == [1.0, 1.0]


def test_statistics_carry_no_gradient() -> None:
    layer = BatchNorm(2).double()

    layer(BATCH.clone().requires_grad_())

    assert not layer.running_mean.requires_grad


@pytest.mark.parametrize(("axis", "shape"), [(1, (4, 3, 5)), (2, (4, 5, 3)), (-1, (4, 5, 3))])
def test_statistics_are_kept_for_one_axis(axis: int, shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    layer = BatchNorm(3, axis=axis, momentum=0.0).double()

    y = layer(x)

    others = [index for index in range(3) if index != axis % 3]
    assert y.shape == x.shape
    torch.testing.assert_close(layer.running_mean, x.mean(others))
    torch.testing.assert_close(y.mean(others), torch.zeros(3, dtype=torch.float64))


@pytest.mark.parametrize(
    ("scale", "center", "names"),
    [
        (True, True, ["weight", "bias"]),
        (False, True, ["bias"]),
        (True, False, ["weight"]),
        (False, False, []),
    ],
)
def test_parameters_are_those_asked_for(scale: bool, center: bool, names: list[str]) -> None:
    layer = BatchNorm(2, scale=scale, center=center)

    assert [name for name, _ in layer.named_parameters()] == names


def test_stock_layer_differs_in_its_defaults() -> None:
    stock = torch.nn.BatchNorm1d(2).double()
    ours = BatchNorm(2).double()

    stock(BATCH)
    ours(BATCH)

    assert not torch.allclose(stock.running_var, ours.running_var)  # type: ignore[arg-type]


def test_statistics_that_do_not_move_stay_while_the_batch_normalizes() -> None:
    layer = BatchNorm(2, moves=False).double()
    x = torch.tensor([[1.0, 2.0], [3.0, 6.0]], dtype=torch.float64)

    y = layer(x)

    assert torch.equal(layer.running_mean, torch.zeros(2).double())
    assert torch.allclose(y.mean(0), torch.zeros(2).double(), atol=1e-12)


def test_standalone_keras_2_scales_the_variance_of_images_twice() -> None:
    layer = BatchNorm(1, momentum=0.0, eps=1e-3, axis=1, variance="keras2 unbiased").double()
    x = torch.arange(8.0, dtype=torch.float64).reshape(2, 1, 2, 2)

    layer(x)

    wanted = float(x.var(correction=0)) * 8 / 7 * 8 / (7 - 1e-3)
    assert layer.running_var.item() == pytest.approx(wanted, rel=1e-9)
