"""Metrics as files store them: found in the closed table with options of the right kind, or left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import torchward
from converters.errors import UnsupportedError
from converters.live.metrics import MAX_CLASSES, MAX_CUTS, find_metric

OUTPUT, TARGET = torch.tensor([[3.0, 4.0]]), torch.tensor([[6.0, 8.0]])


@pytest.mark.parametrize(
    ("stored", "name"),
    [
        ("AUC", "auc"),
        ("auc", "auc"),
        ("F1Score", "f1_score"),
        ("f1_score", "f1_score"),
        ("TruePositives", "true_positives"),
        ("LogCoshError", "log_cosh"),
        ("mse", "mean_squared_error"),
        ({"class_name": "MeanIoU", "config": {"num_classes": 3, "dtype": "int64"}}, "mean_io_u"),
        ({"class_name": "Custom>Precision", "config": {"top_k": 2}}, "precision"),
    ],
)
def test_metric_is_found_by_name(stored: object, name: str) -> None:
    found = find_metric(stored)
    assert found is not None
    assert found.name == name


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("MyMetric", {}),
        ("Mean", {}),
        ("AUC", {"num_thresholds": MAX_CUTS + 1}),
        ("AUC", {"num_thresholds": 2.5}),
        ("AUC", {"curve": "DET"}),
        ("AUC", {"thresholds": ["a"]}),
        ("AUC", {"thresholds": [[0.1]]}),
        ("AUC", {"label_weights": {"class_name": "__tensor__", "config": 3}}),
        ("AUC", {"slope": 1}),
        ("Precision", {"thresholds": []}),
        ("Recall", {"top_k": 0}),
        ("PrecisionAtRecall", {}),
        ("F1Score", {"average": "median"}),
        ("F1Score", {"average": ["micro"]}),
        ("MeanIoU", {}),
        ("MeanIoU", {"num_classes": MAX_CLASSES + 1}),
        ("IoU", {"num_classes": 2, "target_class_ids": [2]}),
        ("BinaryIoU", {"target_class_ids": [0, 5]}),
    ],
)
def test_what_is_no_metric_is_left_alone(name: str, config: dict[str, Any]) -> None:
    assert find_metric({"class_name": name, "config": config}) is None


def test_similarity_is_the_negative_of_the_loss_but_not_before_keras_2_3() -> None:
    names = ("CosineSimilarity", "cosine_similarity", "cosine_proximity")
    for name in names:
        found = find_metric(name)
        assert found is not None
        assert found(OUTPUT, TARGET).item() == pytest.approx(1.0)
    old = find_metric("cosine_proximity", negative_cosine=True)
    assert old is not None
    assert old(OUTPUT, TARGET).item() == pytest.approx(-1.0)


def wrapped(function: object, **options: object) -> dict[str, object]:
    config = {"name": "shown", "dtype": "float32", "fn": function, **options}
    return {"class_name": "MeanMetricWrapper", "config": config}


@pytest.mark.parametrize(
    ("function", "name"),
    [
        ("kl_divergence", "kl_divergence"),  # Keras 2
        ("cosine_similarity", "cosine_similarity"),
        ({"class_name": "function", "config": "mean_squared_error"}, "mean_squared_error"),
        ({"class_name": "function", "config": "cosine_similarity"}, None),
        ({"class_name": "function", "config": "mine"}, None),
        ({"class_name": "function", "config": 3}, None),
        (None, None),
    ],
)
def test_function_in_a_wrapper_is_found(function: object, name: str | None) -> None:
    found = find_metric(wrapped(function))
    assert (found and found.name) == name


def test_options_of_a_wrapped_function_are_used() -> None:
    found = find_metric(wrapped("binary_accuracy", threshold=0.2))
    assert found is not None
    assert found(torch.tensor([[0.3]]), torch.tensor([[1.0]])).item() == 1.0


@pytest.mark.tf
def test_metrics_of_a_file_show_what_keras_shows(tmp_path: Path) -> None:
    keras = pytest.importorskip("keras")
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, activation="sigmoid")])
    named = [keras.metrics.AUC(name="area"), "Precision", keras.metrics.F1Score(average="macro")]
    weighted = [keras.metrics.Recall(thresholds=0.4, name="recall"), "mae"]
    model.compile("sgd", "mse", metrics=[*named, "mae"], weighted_metrics=weighted)
    x, weights = torch.randn(9, 3), torch.rand(9)
    y = (torch.rand(9, 2) > 0.5).float()
    arrays = [values.numpy() for values in (x, y, weights)]
    legacy = model.evaluate(
        x=arrays[0], y=arrays[1], sample_weight=arrays[2], batch_size=4, verbose=0, return_dict=True
    )
    model.save(tmp_path / "a.keras")

    torchward.convert(tmp_path / "a.keras", tmp_path / "a.pth")
    ours = torchward.load(tmp_path / "a.pth")
    metrics = torchward.load_metrics(tmp_path / "a.pth")
    assert list(metrics) == ["area", "Precision", "f1_score", "mae", "recall", "mae_1"]
    for rows in (slice(0, 4), slice(4, 8), slice(8, 9)):
        for place, metric in enumerate(metrics.values()):
            weight = weights[rows] if place >= 4 else None
            metric.update(ours(x[rows]), y[rows], weight)
    found = {name: metric.result().item() for name, metric in metrics.items()}
    legacy["mae_1"] = legacy.pop("weighted_mae")
    del legacy["loss"]
    assert found == pytest.approx(legacy, rel=1e-5)


@pytest.mark.tf
def test_metric_of_a_foreign_class_is_refused_by_name(tmp_path: Path) -> None:
    keras = pytest.importorskip("keras")
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile("sgd", "mse", metrics=[keras.metrics.Mean(name="plain_mean")])
    model.save(tmp_path / "a.keras")
    torchward.convert(tmp_path / "a.keras", tmp_path / "a.pth")
    with pytest.raises(UnsupportedError, match="not known here: plain_mean"):
        torchward.load_metrics(tmp_path / "a.pth")
