"""Losses by the names that files give them."""

from __future__ import annotations

import pytest

from converters.loss_names import unstored_options

KERAS3 = {"class_name": "Huber", "config": {"name": "huber_loss", "reduction": "sum"}}
KERAS2 = {"class_name": "Huber", "config": {"name": "huber_loss", "delta": 2.0}}


@pytest.mark.parametrize(
    "stored", [KERAS3, [None, KERAS3, KERAS3], {"value": KERAS3, "policy": "mse"}]
)
def test_delta_that_keras_3_left_out_is_noted_once(stored: object) -> None:
    (note,) = unstored_options(stored)

    assert "delta" in note


@pytest.mark.parametrize("stored", [None, "huber", "Huber", KERAS2, ["mse", "huber_loss"], {}])
def test_delta_that_is_known_is_not_noted(stored: object) -> None:
    assert unstored_options(stored) == []
