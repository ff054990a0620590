"""Random layers: their input at inference, the right statistics in training."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from torch_impl.keras_compat.noise import (
    GaussianDropout,
    GaussianNoise,
    SharedAlphaDropout,
    SharedDropout,
)

LAYERS = (
    GaussianNoise(0.5),
    GaussianDropout(0.2),
    SharedDropout(0.25, axes=(1,)),
    SharedAlphaDropout(0.25, axes=(1,)),
)
DRAWS = 40_000
LIMIT = 0.03
"""Six standard errors of a mean of 40,000 draws of variance 1."""


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
def test_inference_returns_the_input(layer: nn.Module) -> None:
    x = torch.randn(3, 4, 2)

    assert torch.equal(layer.eval()(x), x)


@pytest.mark.parametrize(
    ("layer", "deviation"),
    [(LAYERS[0], 0.5), (LAYERS[1], 2.0 * (0.2 / 0.8) ** 0.5), (LAYERS[2], 2.0 * (1 / 3) ** 0.5)],
    ids=["noise", "gaussian dropout", "dropout"],
)
def test_training_keeps_the_mean_and_spreads_by_the_formula(
    layer: nn.Module, deviation: float
) -> None:
    torch.manual_seed(1)
    x = torch.full((DRAWS, 1, 1), 2.0, dtype=torch.float64)

    y = layer.train()(x)

    assert y.mean().item() == pytest.approx(2.0, abs=LIMIT)
    assert y.std().item() == pytest.approx(deviation, abs=LIMIT)


def test_alpha_dropout_keeps_mean_0_and_variance_1() -> None:
    torch.manual_seed(2)
    x = torch.randn(DRAWS, 1, 1, dtype=torch.float64)

    y = LAYERS[3].train()(x)

    assert y.mean().item() == pytest.approx(0.0, abs=LIMIT)
    assert y.std().item() == pytest.approx(1.0, abs=LIMIT)


def test_shared_axes_get_one_draw_and_the_others_their_own() -> None:
    torch.manual_seed(3)
    x = torch.ones(50, 5, 4)

    y = LAYERS[2].train()(x)

    assert torch.equal(y, y[:, :1].expand_as(y))
    assert sorted(set(y.flatten().tolist())) == pytest.approx([0.0, 4 / 3])
    assert 0.15 < (y[:, 0] == 0).float().mean().item() < 0.35
