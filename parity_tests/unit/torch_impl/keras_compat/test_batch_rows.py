"""Rows of embeddings under the optimizers of Keras up to 2.10, which TensorFlow still carries inside."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from torch_impl.keras_compat import optimizers
from torch_impl.keras_compat.keras_optimizer import KerasOptimizer

ROWS = ([0, 1, 4], [2, 4], [1, 3, 0], [4], [2, 0])
"""Looked up in turn, of a table of six; the last one never."""
CASES: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    ("gradient_descent", "SGD", {"momentum": 0.5, "nesterov": True}, {}),
    ("rmsprop", "RMSprop", {"momentum": 0.5}, {}),
    ("rmsprop", "RMSprop", {"momentum": 0.5, "centered": True}, {}),
    ("adadelta", "Adadelta", {}, {}),
    ("adamax", "Adamax", {}, {}),
    ("nadam", "Nadam", {}, {"schedule_decay": float(np.float32(0.004))}),
    ("ftrl", "Ftrl", {"initial_accumulator_value": 0.125}, {}),
]
IDS = ["-".join([name, *options]) for _, name, options, _ in CASES]


def table() -> NDArray[np.float64]:
    return np.random.default_rng(1).normal(size=(6, 2))


def gradients() -> Iterator[tuple[list[int], NDArray[np.float64]]]:
    draws = np.random.default_rng(2)
    return ((rows, draws.normal(size=(len(rows), 2))) for rows in ROWS)


def legacy(module: str, name: str, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The table after all steps, and the hyper-parameters as such an optimizer stores them."""
    tf = pytest.importorskip("tensorflow")
    package = pytest.importorskip(f"tensorflow.python.keras.optimizer_v2.{module}")
    optimizer = getattr(package, name)(learning_rate=0.125, **options)
    variable = tf.Variable(table())
    for rows, values in gradients():
        slices = tf.IndexedSlices(tf.constant(values), tf.constant(rows), tf.constant([6, 2]))
        optimizer.apply_gradients([(slices, variable)])
    stored = dict(optimizer.get_config())
    return variable.numpy(), {k: v for k, v in stored.items() if k not in NO_OPTIONS}


NO_OPTIONS = {"name", "learning_rate", "decay"}


def ours(name: str, options: dict[str, Any]) -> tuple[NDArray[np.float64], KerasOptimizer]:
    parameter = torch.nn.Parameter(torch.from_numpy(table()))
    optimizer: KerasOptimizer = getattr(optimizers, name)([parameter], 0.125, **options)
    for rows, values in gradients():
        parameter.grad = torch.zeros(6, 2, dtype=torch.float64)
        parameter.grad[rows] = torch.from_numpy(values)
        optimizer.step()
    return parameter.detach().numpy(), optimizer


@pytest.mark.tf
@pytest.mark.parametrize(("module", "name", "options", "differing"), CASES, ids=IDS)
def test_rows_move_only_in_steps_that_look_them_up(
    module: str, name: str, options: dict[str, Any], differing: dict[str, Any]
) -> None:
    wanted, stored = legacy(module, name, options)
    found, _ = ours(name, {**stored, **differing, "row_wise": [0]})
    unlike, _ = ours(name, {**stored, **differing})
    # Nadam's product of momenta is rounded a little less often in Keras 3, whose order is followed.
    assert np.abs(found - wanted).max() < (1e-7 if name == "Nadam" else 1e-14)
    assert np.abs(unlike - wanted).max() > 1e-6


def test_slots_of_a_row_that_is_not_looked_up_stay_and_other_parameters_move() -> None:
    rows, other = (torch.nn.Parameter(torch.ones(2, 1)) for _ in range(2))
    optimizer = optimizers.SGD([other, rows], 1.0, momentum=0.5, row_wise=[1])
    for gradient in ([[1.0], [1.0]], [[0.0], [1.0]]):
        other.grad, rows.grad = torch.tensor(gradient), torch.tensor(gradient)
        optimizer.step()
    # b = -1, then -0.5 with a gradient of 0 and -1.5 with one of 1.
    assert rows.flatten().tolist() == [0.0, -1.5]
    assert optimizer.state[rows]["momentum_buffer"].flatten().tolist() == [-1.0, -1.5]
    assert other.flatten().tolist() == [-0.5, -1.5]
