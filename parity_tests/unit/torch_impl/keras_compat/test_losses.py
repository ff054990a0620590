"""Losses against live Keras with their gradients, and against numbers worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from converters.live.losses import find_loss
from converters.loss_names import LOSSES
from torch_impl.keras_compat import losses
from torch_impl.keras_compat.compiled_loss import CompiledLoss, KerasLoss, Term

draws = np.random.default_rng(4)
REAL = 3 * draws.normal(size=(6, 4))
REAL_TARGET = draws.normal(size=(6, 4)) + np.eye(6, 4)
REAL[0, :2] = REAL_TARGET[0, :2] + np.array([1.0, 0.0])  # the corner of huber, and no error
POSITIVE, POSITIVE_TARGET = np.abs(REAL), np.abs(REAL_TARGET)
SIGMOID = 1 / (1 + np.exp(-REAL))
SIGMOID[0] = [0.0, 1.0, 1e-9, 0.5]
SOFTMAX = np.exp(REAL) / np.exp(REAL).sum(-1, keepdims=True)
SOFTMAX[1] = [1.0, 0.0, 0.0, 0.0]
BITS = (REAL_TARGET > 0).astype(np.float64)
ONE_HOT = np.eye(4)[[0, 1, 2, 3, 1, 2]]
NUMBERS = np.array([0, 1, 2, 3, 1, 2])
LENGTH_1 = REAL / np.linalg.norm(REAL, axis=-1, keepdims=True)
SEQUENCES = draws.normal(size=(3, 7, 5))
LABELS = np.array([[1, 2, 0], [4, 4, 3], [2, 0, 0]])
Case = tuple[str, dict[str, Any], Any, Any]

CASES: list[Case] = [
    ("MeanSquaredError", {}, REAL, REAL_TARGET),
    ("MeanSquaredError", {"reduction": "sum"}, REAL[:, :1], REAL_TARGET[:, 0]),
    ("MeanAbsoluteError", {"reduction": "none"}, REAL, REAL_TARGET),
    ("MeanAbsolutePercentageError", {}, REAL, REAL_TARGET),
    ("MeanSquaredLogarithmicError", {}, REAL, POSITIVE_TARGET),
    ("CosineSimilarity", {"axis": 0}, REAL, REAL_TARGET),
    ("Huber", {"delta": 0.7}, REAL, REAL_TARGET),
    ("LogCosh", {}, 30 * REAL, REAL_TARGET),
    ("Hinge", {}, REAL, BITS),
    ("SquaredHinge", {}, REAL, 2 * BITS - 1),
    ("CategoricalHinge", {}, REAL, ONE_HOT),
    ("KLDivergence", {}, SOFTMAX, SOFTMAX[::-1].copy()),
    ("Poisson", {}, POSITIVE, POSITIVE_TARGET),
    ("BinaryCrossentropy", {"label_smoothing": 0.1}, SIGMOID, BITS),
    ("BinaryCrossentropy", {"from_logits": True, "axis": 0}, 20 * REAL, BITS),
    ("BinaryFocalCrossentropy", {"apply_class_balancing": True, "gamma": 3.0}, SIGMOID, BITS),
    ("BinaryFocalCrossentropy", {"from_logits": True, "label_smoothing": 0.1}, REAL, BITS),
    ("CategoricalCrossentropy", {"label_smoothing": 0.2}, SOFTMAX, ONE_HOT),
    ("CategoricalCrossentropy", {"from_logits": True}, 20 * REAL, ONE_HOT),
    ("CategoricalFocalCrossentropy", {"alpha": 0.4}, SOFTMAX, ONE_HOT),
    ("CategoricalFocalCrossentropy", {"from_logits": True, "gamma": 1.5}, REAL, ONE_HOT),
    ("CategoricalFocalCrossentropy", {"alpha": [0.5, 0.25, 1.0, 2.0]}, SOFTMAX, ONE_HOT),
    ("SparseCategoricalCrossentropy", {}, SOFTMAX, NUMBERS),
    ("SparseCategoricalCrossentropy", {"from_logits": True, "ignore_class": 1}, REAL, NUMBERS),
    ("CategoricalGeneralizedCrossEntropy", {"q": 0.3}, SOFTMAX[2:], NUMBERS[2:]),
    ("Dice", {"axis": (1,)}, SIGMOID, BITS),
    ("Tversky", {"alpha": 0.3, "beta": 0.9}, SIGMOID, BITS),
    ("Circle", {"gamma": 8, "margin": 0.3}, LENGTH_1, NUMBERS),
    ("CTC", {}, SEQUENCES, LABELS),
]
IDS = ["-".join([case[0], *case[1]]) for case in CASES]
WEIGHT = np.array([0.5, 2.0, 0.0, 1.0, 3.0, 1.5])


def keras_value(case: Case, weight: Any = None) -> tuple[Any, Any]:
    tf, keras = pytest.importorskip("tensorflow"), pytest.importorskip("keras")
    name, options, output, target = case
    loss = getattr(keras.losses, name)(**options, dtype="float64")
    variable = tf.constant(output, "float64")
    with tf.GradientTape() as tape:
        tape.watch(variable)
        value = loss(tf.constant(target), variable, sample_weight=weight)
        total = tf.reduce_sum(value)
    return value.numpy(), tape.gradient(total, variable).numpy()


def ours(case: Case, weight: Any = None) -> tuple[Any, Any]:
    name, options, output, target = case
    loss = find_loss({"class_name": name, "config": options})
    assert loss is not None
    tensor = torch.tensor(output, requires_grad=True)
    weights = None if weight is None else torch.tensor(weight)
    value = loss(tensor, torch.tensor(target), weights)
    [gradient] = torch.autograd.grad(value.sum(), tensor)
    return value.detach().numpy(), gradient.numpy()


# Constants that Keras makes in float32 before it casts them to the loss's float64; TensorFlow's CTC is float32 as a whole.
ROUNDED = {"MeanSquaredLogarithmicError": 1e-7, "LogCosh": 1e-7, "CTC": 1e-6}


@pytest.mark.tf
@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_loss_and_gradient_are_those_of_keras(case: Case) -> None:
    legacy, torch_side = keras_value(case), ours(case)
    limit = ROUNDED.get(case[0], 1e-13)
    for wanted, found in zip(legacy, torch_side, strict=True):
        assert wanted.shape == found.shape
        assert np.abs(wanted - found).max() <= limit * max(1.0, np.abs(wanted).max())


@pytest.mark.tf
@pytest.mark.parametrize(
    "reduction", ["sum_over_batch_size", "mean_with_sample_weight", "sum", "none"]
)
@pytest.mark.parametrize("ignored", [None, 1])
def test_weights_of_samples_and_ignored_classes_enter_the_mean_as_in_keras(
    reduction: str, ignored: int | None
) -> None:
    options = {"reduction": reduction, "ignore_class": ignored}
    case = ("SparseCategoricalCrossentropy", options, SOFTMAX, NUMBERS)
    np.testing.assert_allclose(ours(case, WEIGHT)[0], keras_value(case, WEIGHT)[0], rtol=1e-13)


def test_every_loss_has_a_case() -> None:
    found = [find_loss({"class_name": case[0], "config": case[1]}) for case in CASES]
    assert {loss.name for loss in found if loss} == set(LOSSES)


def test_probability_of_a_softmax_is_not_clipped() -> None:
    p, target = torch.tensor([[1e-20, 1.0]]), torch.tensor([0])
    clipped = losses.sparse_categorical_crossentropy(p, target)
    whole = losses.sparse_categorical_crossentropy(p, target, clip=False)
    assert clipped.item() == pytest.approx(-math.log(1e-7), rel=1e-6)
    assert whole.item() == pytest.approx(-math.log(1e-20), rel=1e-6)


def test_sigmoid_that_rounds_to_one_is_taken_for_the_number_before() -> None:
    p, target = torch.tensor([[1.0]]), torch.tensor([[0.0]])
    found = losses.binary_crossentropy(p, target, clip=False)
    assert found.item() == pytest.approx(24 * math.log(2), rel=1e-6)


def test_terms_of_several_outputs_are_weighted_and_outputs_without_loss_left_out() -> None:
    mse = KerasLoss("mean_squared_error", losses.mean_squared_error)
    mae = KerasLoss("mean_absolute_error", losses.mean_absolute_error)
    loss = CompiledLoss((Term(0, "a", mse, 2.0), Term(2, "c", mae, 0.5)))
    outputs = [torch.full((3, 2), value) for value in (1.0, 5.0, 3.0)]
    zeros = [torch.zeros(3, 2)] * 3
    assert loss(outputs, zeros).item() == 2.0 * 1 + 0.5 * 3
    assert loss(dict(zip("abc", outputs, strict=True)), zeros[:2]).item() == 3.5
    with pytest.raises(ValueError, match="3 outputs and 1 targets for 2 losses"):
        loss(outputs, zeros[:1])


def test_half_precision_is_computed_in_float32() -> None:
    mse = KerasLoss("mean_squared_error", losses.mean_squared_error)
    output = torch.tensor([[300.0], [0.0]], dtype=torch.float16)  # 300**2 is beyond float16
    assert mse(output, torch.zeros(2, 1)).item() == 45000.0


def test_unknown_reduction_is_refused() -> None:
    with pytest.raises(ValueError, match="'average' is none of"):
        losses.reduce_loss(torch.ones(2), reduction="average")


@pytest.mark.tf
@pytest.mark.parametrize(
    ("activation", "name", "target"),
    [
        ("softmax", "categorical_crossentropy", ONE_HOT),
        ("softmax", "sparse_categorical_crossentropy", NUMBERS),
        ("sigmoid", "binary_crossentropy", BITS),
    ],
)
def test_saturated_output_counts_as_in_a_compiled_model(
    activation: str, name: str, target: Any
) -> None:
    keras = pytest.importorskip("keras")
    logits = (8 * REAL).astype(np.float32).clip(-60, 14)
    logits[0, 0] = -40.0  # the probability of its class is far below 1e-7
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Activation(activation)(inputs))
    model.compile("sgd", name)
    legacy = float(model.evaluate(logits, target, verbose=0))
    tensor = torch.from_numpy(logits)
    output = tensor.softmax(-1) if activation == "softmax" else tensor.sigmoid()
    found, clipping = find_loss(name, clip=(name,)), find_loss(name)
    assert found is not None
    assert clipping is not None
    assert float(found(output, torch.from_numpy(target))) == pytest.approx(legacy, rel=1e-4)
    assert float(clipping(output, torch.from_numpy(target))) != pytest.approx(legacy, rel=1e-2)
