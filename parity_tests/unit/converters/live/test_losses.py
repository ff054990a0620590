"""Losses and metrics as files store them: found in the closed table, or left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import torchward
from converters.architecture import Architecture, InputValue, Step
from converters.errors import UnsupportedError
from converters.live.losses import compile_loss, find_loss, unclipped_losses
from converters.loss_names import LOSSES
from parity_tests import FIXTURES
from torch_impl.keras_compat import losses


def test_table_names_functions_and_their_arguments() -> None:
    for name, options in LOSSES.items():
        own = set(getattr(losses, name).__kwdefaults__ or {}) | ({"q"} & set(options))
        assert set(options) == own - {"clip"}, name


@pytest.mark.parametrize(
    ("stored", "name", "options"),
    [
        ("mse", "mean_squared_error", {}),
        ("MSE", "mean_squared_error", {}),
        ("KLDivergence", "kl_divergence", {}),
        ("kullback_leibler_divergence", "kl_divergence", {}),
        ("CTC", "ctc", {}),
        ({"class_name": "Huber", "config": {"delta": 2.0, "name": "h"}}, "huber", {"delta": 2.0}),
        ({"class_name": "function", "config": "logcosh"}, "log_cosh", {}),
        ({"class_name": "Dice", "config": {"axis": [1, 2]}}, "dice", {"axis": (1, 2)}),
        (
            {"class_name": "CategoricalGeneralizedCrossEntropy", "config": {"q": 0.5}},
            "categorical_generalized_cross_entropy",
            {"q": 0.5},
        ),
    ],
)
def test_stored_loss_is_found(stored: object, name: str, options: dict[str, Any]) -> None:
    found = find_loss(stored)
    assert found is not None
    assert found.function is getattr(losses, name)
    assert found.options == options


@pytest.mark.parametrize(
    "stored",
    [
        {"class_name": "MyLoss", "config": {}},
        {"class_name": "Huber", "config": {"slope": 2.0}},
        {"class_name": "Huber", "config": {"reduction": "median"}},
        {"class_name": "Huber", "config": {"reduction": ["sum"]}},
        {"class_name": "Huber", "config": 3},
        "same_rank",
        "EPSILON",
        None,
        3,
    ],
)
def test_what_is_no_loss_is_left_alone(stored: object) -> None:
    assert find_loss(stored) is None


@pytest.mark.parametrize(
    ("stored", "reduction"),
    [("auto", "sum_over_batch_size"), (None, "none"), ("sum", "sum"), ("mean", "mean")],
)
def test_reduction_is_that_of_the_file(stored: str | None, reduction: str) -> None:
    found = find_loss({"class_name": "Huber", "config": {"reduction": stored}})
    assert found is not None
    assert found.reduction == reduction


@pytest.mark.parametrize(
    ("training", "outputs", "terms"),
    [
        ({"loss": "mse"}, 1, [(0, 1.0)]),
        ({"loss": "mse"}, 2, [(0, 1.0), (1, 1.0)]),
        ({"loss": "mse", "loss_weights": 0.5}, 1, [(0, 0.5)]),
        ({"loss": ["mse", None], "loss_weights": [2, 1]}, 2, [(0, 2.0)]),
        ({"loss": {"b": "mae"}, "output_names": ["a", "b"]}, 2, [(1, 1.0)]),
        (
            {
                "loss": {"b": "mae", "a": "mse"},
                "loss_weights": {"b": 3},
                "output_names": ["a", "b"],
            },
            2,
            [(0, 1.0), (1, 3.0)],
        ),
        ({"loss": {"c": "mae"}, "output_names": ["a", "b"]}, 2, None),
        ({"loss": ["mse", "mae"], "loss_weights": [1]}, 2, None),
        ({"loss": ["mse", "my_loss"]}, 2, None),
        ({"loss": ["mse", "mae"]}, 1, None),
        ({"loss": ["mse"], "loss_weights": ["much"]}, 1, None),
        ({}, 1, None),
    ],
)
def test_every_output_has_its_loss_and_weight_or_none_is_used(
    training: Any, outputs: int, terms: list[tuple[int, float]] | None
) -> None:
    found = compile_loss(training, outputs)
    assert (None if found is None else [(t.output, t.weight) for t in found.terms]) == terms


def network(op: str, dtype: str = "float32") -> Architecture:
    steps = (Step(op, ("x",), "y", kwargs={"dim": -1} if "softmax" in op else {}),)
    return Architecture(
        "Net", (InputValue("x", (None, 2), dtype),), ("y",), steps, "single", (), dtype
    )


@pytest.mark.parametrize(
    ("op", "dtype", "generation", "producer", "count"),
    [
        ("F.softmax", "float32", 3, "Keras 3.15.1", 2),
        ("torch.sigmoid", "float32", 2, "Keras 2.15.0", 2),
        ("F.softmax", "float32", 2, "Keras 2.3.1", 0),
        ("F.softmax", "float64", 3, "Keras 3.15.1", 0),
        ("torch.tanh", "float32", 3, None, 0),
    ],
)
def test_keras_looks_through_the_last_activation(
    op: str, dtype: str, generation: int, producer: str | None, count: int
) -> None:
    found = unclipped_losses(network(op, dtype), generation=generation, producer=producer)
    assert len(found.get(0, [])) == count


def test_loss_and_metrics_come_from_the_converted_file(tmp_path: Path) -> None:
    torchward.convert(FIXTURES / "k315_dqn_seed" / "model.keras", tmp_path / "a.pth")
    loss = torchward.load_loss(tmp_path / "a.pth")
    output, target = torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 4.0]])
    assert loss(output, target).item() == np.mean([1.0, 4.0])
    assert set(torchward.load_metrics(tmp_path / "a.pth")) <= {"mae"}


def test_file_without_compile_has_no_loss(tmp_path: Path, small_model: Path) -> None:
    torchward.convert(small_model, tmp_path / "a.pth")
    with pytest.raises(UnsupportedError, match="names no loss"):
        torchward.load_loss(tmp_path / "a.pth")
    assert torchward.load_metrics(tmp_path / "a.pth") == {}
