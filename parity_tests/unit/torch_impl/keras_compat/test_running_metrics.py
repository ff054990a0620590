"""Metrics over several batches against live Keras in float32, and against numbers worked out by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch

from converters.live.metrics import find_metric
from converters.loss_names import METRICS, METRICS_WITH_MEMORY
from torch_impl.keras_compat.compiled_metric import KerasMetric
from torch_impl.keras_compat.running_metrics import WITH_MEMORY

draws = np.random.default_rng(9)
BATCHES = (5, 7, 1)
SAMPLES = sum(BATCHES)
REAL = (2 * draws.normal(size=(SAMPLES, 4))).astype(np.float32)
TARGET = (REAL + draws.normal(size=REAL.shape)).astype(np.float32)
SIGMOID = 1 / (1 + np.exp(-REAL))
SIGMOID[0] = [0.0, 1.0, 0.5, 0.25]  # on thresholds
SIGMOID[1] = [0.75, 0.75, 0.0, 0.75]  # ties
BITS = (TARGET > 0).astype(np.float32)
SOFTMAX = np.exp(REAL) / np.exp(REAL).sum(-1, keepdims=True)
NUMBERS = draws.integers(0, 4, size=SAMPLES)
ONE_HOT = np.eye(4, dtype=np.float32)[NUMBERS]
FOUND = draws.integers(-1, 5, size=(SAMPLES, 3)).astype(np.float32)  # some classes do not exist
PIXELS = draws.integers(0, 4, size=(SAMPLES, 3))
WEIGHTS = np.array([0.5, 2.0, 0.0, 1.0, 3.0, 1.5, 0.25, 1, 1, 2, 0.75, 1, 4], np.float32)
SEQUENCE, SEQUENCE_BITS = SIGMOID[:, :, None], BITS[:, :, None]


@dataclass(frozen=True)
class Case:
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    output: Any = field(default_factory=lambda: SIGMOID)
    target: Any = field(default_factory=lambda: BITS)


CASES = [
    Case("Accuracy", {}, FOUND[:, :1], PIXELS[:, 0]),
    Case("BinaryAccuracy", {"threshold": 0.4}),
    Case("CategoricalAccuracy", {}, SOFTMAX, ONE_HOT),
    Case("SparseCategoricalAccuracy", {}, SOFTMAX, NUMBERS[:, None]),
    Case("TopKCategoricalAccuracy", {"k": 2}, SOFTMAX, ONE_HOT),
    Case("SparseTopKCategoricalAccuracy", {"k": 3}, SOFTMAX, NUMBERS),
    Case("CosineSimilarity", {}, REAL, TARGET),
    Case("PearsonCorrelation", {}, REAL, TARGET),
    Case("ConcordanceCorrelation", {}, REAL, TARGET),
    Case("MeanSquaredError", {}, REAL, TARGET),
    Case("LogCoshError", {}, REAL, TARGET),
    Case("KLDivergence", {}, SOFTMAX, ONE_HOT),
    Case("BinaryCrossentropy", {"label_smoothing": 0.1}),
    Case("SparseCategoricalCrossentropy", {"ignore_class": 1}, SOFTMAX, NUMBERS),
    Case("SparseCategoricalCrossentropy", {"ignore_class": 0}, SOFTMAX[:, None], NUMBERS[:, None]),
    Case("MeanAbsoluteError", {}, SEQUENCE, SEQUENCE_BITS),
    Case("RootMeanSquaredError", {}, REAL, TARGET),
    Case("RootMeanSquaredError", {}, REAL[:, :1], TARGET[:, 0]),
    Case("TruePositives"),
    Case("FalsePositives", {"thresholds": 0.75}),
    Case("TrueNegatives", {"thresholds": [0.0, 0.25, 0.5, 0.75, 1.0]}),
    Case("FalseNegatives", {"thresholds": [0.1, 0.25, 0.8]}),
    Case("Precision"),
    Case("Precision", {"top_k": 2}),
    Case("Precision", {"thresholds": [0.1, 0.75], "class_id": 1, "top_k": 3}),
    Case("Precision", {}, SIGMOID[:, :1], BITS[:, 0]),
    Case("Recall", {"thresholds": [0.0, 0.5, 1.0]}),
    Case("Recall", {"class_id": 3}),
    Case("Recall", {}, SEQUENCE, SEQUENCE_BITS),
    Case("SensitivityAtSpecificity", {"specificity": 0.6, "num_thresholds": 21}),
    Case("SpecificityAtSensitivity", {"sensitivity": 0.7}),
    Case("PrecisionAtRecall", {"recall": 0.8, "class_id": 2}),
    Case("RecallAtPrecision", {"precision": 0.9, "num_thresholds": 1}),
    Case("AUC"),
    Case("AUC", {"from_logits": True, "num_thresholds": 50}, REAL),
    Case("AUC", {"curve": "PR"}),
    Case("AUC", {"curve": "PR", "summation_method": "minoring", "num_thresholds": 11}),
    Case("AUC", {"curve": "PRGAIN", "summation_method": "majoring"}),
    Case("AUC", {"thresholds": [0.7, 0.2, 0.25], "label_weights": [1.0, 0.5, 2.0, 0.0]}),
    Case("AUC", {"multi_label": True, "label_weights": [1.0, 0.5, 2.0, 0.25]}),
    Case("AUC", {"multi_label": True, "curve": "PR", "num_labels": 4}),
    Case("AUC", {"multi_label": True, "thresholds": [0.2, 0.25, 0.9]}),
    Case("F1Score", {}, SOFTMAX, ONE_HOT),
    Case("F1Score", {"average": "weighted", "threshold": 0.5}),
    Case("FBetaScore", {"average": "micro", "beta": 2.0}),
    Case("FBetaScore", {"average": "macro", "beta": 0.5}),
    Case("R2Score", {}, REAL, TARGET),
    Case("R2Score", {"class_aggregation": None}, REAL, TARGET),
    Case("R2Score", {"class_aggregation": "variance_weighted_average"}, REAL, TARGET),
    Case("R2Score", {"num_regressors": 3}, REAL, TARGET),
    Case("IoU", {"num_classes": 4, "target_class_ids": [0, 2]}, FOUND, PIXELS),
    Case("IoU", {"num_classes": 4, "target_class_ids": [3], "dtype": "float32"}, FOUND, PIXELS),
    Case("BinaryIoU", {"target_class_ids": [1], "threshold": 0.25}),
    Case("MeanIoU", {"num_classes": 6, "ignore_class": 2}, FOUND, PIXELS),
    Case("MeanIoU", {"num_classes": 4, "sparse_y_pred": False}, SOFTMAX, NUMBERS),
    Case("OneHotIoU", {"num_classes": 4, "target_class_ids": [1, 3]}, SOFTMAX, ONE_HOT),
    Case("OneHotMeanIoU", {"num_classes": 4}, SOFTMAX, ONE_HOT),
]
IDS = ["-".join([case.name, *map(str, case.options)]) for case in CASES]


def parts(values: Any) -> list[Any]:
    return list(np.split(values, np.cumsum(BATCHES)[:-1]))


def weights_of_steps() -> Any:
    """Return a weight for every step of the sequences, (batch, time)."""
    return (WEIGHTS[:, None] * np.array([1.0, 0.5, 0.0, 2.0])).astype(np.float32)


def stored_metric(legacy: Any) -> KerasMetric:
    """Return ours from what Keras itself stores of its metric."""
    keras = pytest.importorskip("keras")
    found = find_metric(keras.saving.serialize_keras_object(legacy))
    assert found is not None
    return found


def close(found: torch.Tensor, wanted: Any) -> None:
    wanted = np.asarray(wanted)
    assert tuple(found.shape) == wanted.shape
    # Sums of float32 in another order.
    np.testing.assert_allclose(found.numpy(), wanted, rtol=3e-6, atol=1e-6)


@pytest.mark.tf
@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_metric_gathers_over_batches_what_keras_gathers(case: Case) -> None:
    keras = pytest.importorskip("keras")
    legacy = getattr(keras.metrics, case.name)(**case.options)
    metric = stored_metric(legacy)
    for output, target in zip(parts(case.output), parts(case.target), strict=True):
        legacy.update_state(target, output)
        metric.update(torch.from_numpy(output), torch.from_numpy(target))
        close(metric.result(), legacy.result())


@pytest.mark.tf
@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_weights_of_samples_count_as_in_keras(case: Case) -> None:
    keras = pytest.importorskip("keras")
    legacy = getattr(keras.metrics, case.name)(**case.options)
    metric = stored_metric(legacy)
    weights = WEIGHTS
    if case.output is SEQUENCE:
        weights = weights_of_steps()
    if "IoU" in case.name:  # as many weights as decisions; whole numbers where the counts are
        shape = case.target.shape if "OneHot" not in case.name else (SAMPLES,)
        weights = np.broadcast_to(np.ceil(WEIGHTS).reshape(-1, *[1] * (len(shape) - 1)), shape)
        weights = weights.astype(np.float32 if "dtype" in case.options else np.int64)
    for output, target, weight in zip(
        *(parts(values) for values in (case.output, case.target, weights)), strict=True
    ):
        legacy.update_state(target, output, sample_weight=weight)
        tensors = [torch.tensor(values) for values in (output, target, weight)]
        metric.update(*tensors)
    close(metric.result(), legacy.result())


def test_every_metric_has_a_case() -> None:
    found = [metric_of(case.name, **case.options).name for case in CASES]
    assert set(found) >= {*METRICS, *METRICS_WITH_MEMORY}


def test_table_names_functions_and_their_arguments() -> None:
    assert set(WITH_MEMORY) == set(METRICS_WITH_MEMORY)
    for name, options in METRICS_WITH_MEMORY.items():
        own = set(WITH_MEMORY[name].__annotations__) - {"return", "whole_numbers"}
        assert set(options) == own, name


def metric_of(name: str, **options: object) -> KerasMetric:
    found = find_metric({"class_name": name, "config": options})
    assert found is not None
    return found


def test_precision_by_hand_and_one_batch_alone_leaves_the_sums() -> None:
    metric = metric_of("Precision")
    metric.update(torch.tensor([0.9, 0.8, 0.1]), torch.tensor([1, 0, 1]))
    metric.update(torch.tensor([0.7, 0.6]), torch.tensor([1, 1]))
    assert metric(torch.tensor([0.9]), torch.tensor([0])).item() == 0.0
    assert metric.result().item() == 0.75
    assert metric(torch.tensor([0.2]), torch.tensor([1])).item() == 0.0  # nothing positive


def test_root_of_the_mean_is_over_all_batches_and_not_a_mean_of_roots() -> None:
    metric = metric_of("RootMeanSquaredError")
    metric.update(torch.tensor([[1.0]]), torch.tensor([[0.0]]))
    metric.update(torch.tensor([[7.0]]), torch.tensor([[0.0]]))
    assert metric.result().item() == 5.0


def test_after_a_reset_only_later_batches_count() -> None:
    metric = metric_of("TruePositives")
    with pytest.raises(ValueError, match="true_positives has seen no batch"):
        metric.result()
    metric.update(torch.tensor([0.9, 0.9]), torch.tensor([1, 1]))
    metric.reset()
    with pytest.raises(ValueError, match="no batch"):
        metric.result()
    metric.update(torch.tensor([0.9]), torch.tensor([1]))
    assert metric.result().item() == 1.0


def test_gradient_is_not_kept_and_half_precision_counts_in_float32() -> None:
    metric = metric_of("TruePositives")
    ones = torch.ones(3000, dtype=torch.float16, requires_grad=True)  # float16 counts to 2048
    metric.update(ones, torch.ones(3000))
    assert not metric.result().requires_grad
    assert metric.result().item() == 3000.0


@pytest.mark.parametrize(
    ("output", "target", "value"),
    [
        ([[0.9], [0.2]], [[1.0], [1.0]], 0.5),
        ([[0.1, 0.9], [0.8, 0.2]], [1, 1], 0.5),
        ([[0.1, 0.9], [0.8, 0.2]], [[0.0, 1.0], [1.0, 0.0]], 1.0),
    ],
    ids=["binary", "class numbers", "one of n"],
)
def test_accuracy_is_the_one_that_fits_the_shapes(output: Any, target: Any, value: float) -> None:
    metric = find_metric("accuracy")
    assert metric is not None
    assert float(metric(torch.tensor(output), torch.tensor(target))) == value
