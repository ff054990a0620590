"""Losses against values worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from converters.losses import LOSSES, find_loss, find_losses

OUTPUT = torch.tensor([[0.5, 0.25], [0.5, 2.0]], dtype=torch.float64)
TARGET = torch.tensor([[1.0, 0.0], [0.5, 0.0]], dtype=torch.float64)
# Differences -0.5, 0.25, 0, 2. Rows of OUTPUT sum to 0.75 and 2.5.


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mse", (0.25 + 0.0625 + 0 + 4) / 4),
        ("mae", (0.5 + 0.25 + 0 + 2) / 4),
        ("huber", (0.125 + 0.03125 + 0 + 1.5) / 4),
        ("log_cosh", sum(math.log(math.cosh(x)) for x in (0.5, 0.25, 0, 2)) / 4),
        ("categorical_crossentropy", (-math.log(0.5 / 0.75) - 0.5 * math.log(0.2)) / 2),
    ],
)
def test_loss_is_the_mean_keras_takes(name: str, value: float) -> None:
    assert LOSSES[name](OUTPUT, TARGET).item() == pytest.approx(value, rel=1e-12)


def test_probabilities_are_clipped_before_the_logarithm() -> None:
    output = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    target = torch.tensor([[1.0], [0.0]], dtype=torch.float64)

    assert LOSSES["binary_crossentropy"](output, target).item() == pytest.approx(
        -math.log(1e-7), rel=1e-6
    )


@pytest.mark.parametrize(
    ("stored", "name"),
    [
        ("mse", "mse"),
        ({"class_name": "Huber", "config": {"delta": 1.0}}, "huber"),
        ({"class_name": "Huber", "config": {"delta": 2.0}}, None),
        ({"class_name": "function", "config": "mse"}, "mse"),
        ({"class_name": "MyLoss", "config": {}}, None),
        ("my_loss", None),
        (None, None),
        (3, None),
    ],
)
def test_stored_loss_is_found_or_left_alone(stored: object, name: str | None) -> None:
    assert find_loss(stored) is (None if name is None else LOSSES[name])


@pytest.mark.parametrize(
    ("training", "outputs", "weights"),
    [
        ({"loss": "mse"}, 1, [1.0]),
        ({"loss": "mse"}, 2, [1.0, 1.0]),
        ({"loss": ["mse", "mae"], "loss_weights": [1, 0.5]}, 2, [1.0, 0.5]),
        ({"loss": ["mse", "mae"], "loss_weights": [1]}, 2, None),
        ({"loss": ["mse", "my_loss"]}, 2, None),
        ({"loss": ["mse", "mae"]}, 1, None),
        ({"loss": ["mse", "mae"], "loss_weights": {"a": 1, "b": 2}}, 2, None),
        ({}, 1, None),
    ],
)
def test_every_output_has_its_loss_and_weight_or_none_is_used(
    training: Any, outputs: int, weights: list[float] | None
) -> None:
    found = find_losses(training, outputs)

    assert (None if found is None else [weight for _, weight in found]) == weights
