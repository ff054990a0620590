"""The optimizers against live Keras and against hand-worked numbers; planted faults must show."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from parity_tests.unit.torch_impl.keras_compat.short_trainings import (
    CASES,
    IDS,
    LEARNING_RATE,
    Options,
    difference,
    gradients,
    initial_weights,
    ours,
)
from torch_impl.keras_compat import gradient_clipping, optimizers, parameter_groups
from torch_impl.keras_compat.keras_optimizer import KerasOptimizer
from torch_impl.keras_compat.rounding import float32

Record = Callable[[str, object], None]  # writes a figure into the --junitxml report


@pytest.fixture(scope="module")
def frameworks() -> SimpleNamespace:
    tensorflow = pytest.importorskip("tensorflow")
    return SimpleNamespace(tf=tensorflow, keras=pytest.importorskip("keras"))


def train_keras(
    frameworks: SimpleNamespace, name: str, options: Options, dtype: str, learning_rate: Any
) -> list[NDArray[np.floating]]:
    variables = [frameworks.keras.Variable(w, dtype=dtype) for w in initial_weights()]
    optimizer = getattr(frameworks.keras.optimizers, name)(learning_rate=learning_rate, **options)
    for step in gradients():
        optimizer.apply([frameworks.tf.constant(g, dtype=dtype) for g in step], variables)
    return [np.array(variable) for variable in variables]


@pytest.mark.tf
@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_float64_training_is_that_of_keras(
    name: str, options: Options, frameworks: SimpleNamespace, record_property: Record
) -> None:
    legacy = train_keras(frameworks, name, options, "float64", LEARNING_RATE)
    found = difference(legacy, ours(name, options, "float64"))
    record_property("difference", f"{found:.1e}")
    assert found < 1e-14


@pytest.mark.tf
@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_float32_training_is_as_near_to_float64_as_that_of_keras(
    name: str, options: Options, frameworks: SimpleNamespace, record_property: Record
) -> None:
    reference = train_keras(frameworks, name, options, "float64", LEARNING_RATE)
    legacy = difference(reference, train_keras(frameworks, name, options, "float32", LEARNING_RATE))
    torch_side = difference(reference, ours(name, options, "float32"))
    record_property("legacy", f"{legacy:.1e}")
    record_property("torch", f"{torch_side:.1e}")
    assert torch_side < 2 * legacy


@pytest.mark.tf
@pytest.mark.parametrize(
    ("name", "options"),
    [("Adam", {}), ("SGD", {"momentum": 0.9, "nesterov": True}), ("RMSprop", {"centered": True})],
    ids=["Adam", "SGD", "RMSprop"],
)
def test_schedule_inside_the_optimizer_follows_keras(
    name: str, options: Options, frameworks: SimpleNamespace
) -> None:
    schedules = frameworks.keras.optimizers.schedules
    schedule = schedules.ExponentialDecay(LEARNING_RATE, decay_steps=10, decay_rate=0.5)
    legacy = train_keras(frameworks, name, options, "float64", schedule)
    torch_side = ours(name, options, "float64", schedules.serialize(schedule))
    # The schedule itself runs in float32: one rounding of the power is 6e-8 of the step.
    assert difference(legacy, torch_side) < 1e-7


LEGACY_CASES: list[tuple[str, str, Options, Options]] = [
    ("adam", "Adam", {"decay": 0.01}, {}),
    ("adam", "Adam", {"amsgrad": True, "clipnorm": 0.5}, {}),
    ("gradient_descent", "SGD", {"momentum": 0.9, "nesterov": True, "decay": 0.1}, {}),
    ("rmsprop", "RMSprop", {}, {"epsilon_inside_root": False}),
    ("rmsprop", "RMSprop", {"centered": True, "epsilon": 1e-3}, {"epsilon_inside_root": False}),
    ("rmsprop", "RMSprop", {"momentum": 0.9, "centered": True, "epsilon": 1e-3}, {}),
    ("adagrad", "Adagrad", {"initial_accumulator_value": 0.125}, {"epsilon_inside_root": False}),
    ("adadelta", "Adadelta", {}, {}),
    ("adamax", "Adamax", {"decay": 0.1}, {}),
    ("nadam", "Nadam", {}, {"schedule_decay": float32(0.004), "decay": 0.0}),
    ("ftrl", "Ftrl", {"initial_accumulator_value": 0.125, "l1_regularization_strength": 0.01}, {}),
]


def legacy_class(module: str, name: str) -> type[Any]:
    """The optimizers of Keras <= 2.10, which TensorFlow still carries inside."""
    pytest.importorskip("tensorflow")
    package = pytest.importorskip(f"tensorflow.python.keras.optimizer_v2.{module}")
    found: type[Any] = getattr(package, name)
    return found


@pytest.mark.tf
@pytest.mark.parametrize(
    ("module", "name", "options", "differing"),
    LEGACY_CASES,
    ids=["-".join([case[1], *case[2]]) for case in LEGACY_CASES],
)
def test_float64_training_is_that_of_keras_2_10(
    module: str, name: str, options: Options, differing: Options, frameworks: SimpleNamespace
) -> None:
    optimizer = legacy_class(module, name)(learning_rate=LEARNING_RATE, **options)
    variables = [frameworks.tf.Variable(w) for w in initial_weights()]
    for step in gradients():
        constants = [frameworks.tf.constant(g) for g in step]
        if "clipnorm" in options:
            constants = [frameworks.tf.clip_by_norm(g, options["clipnorm"]) for g in constants]
        optimizer.apply_gradients(zip(constants, variables, strict=True))
    # What such an optimizer stores: its hyper-parameters after a trip through float32, except epsilon.
    stored = {
        key: float32(value) if isinstance(value, float) and key != "epsilon" else value
        for key, value in {**optimizer.get_config(), **options}.items()
        if key not in {"name", "learning_rate"}
    }
    torch_side = ours(name, stored | differing, "float64")
    # Nadam's product of momenta is rounded a little less often in Keras 3, whose order is followed.
    limit = 1e-8 if name == "Nadam" else 1e-14
    assert difference([v.numpy() for v in variables], torch_side) < limit


def unrounded_powers(monkeypatch: pytest.MonkeyPatch) -> tuple[str, Options]:
    monkeypatch.setattr(optimizers, "float32", lambda value: value)
    return "Adam", {}


def torch_epsilon(monkeypatch: pytest.MonkeyPatch) -> tuple[str, Options]:
    return "Adam", {"epsilon": 1e-8}


def outer_epsilon(monkeypatch: pytest.MonkeyPatch) -> tuple[str, Options]:
    return "RMSprop", {"epsilon_inside_root": False}


def unrounded_momentum(monkeypatch: pytest.MonkeyPatch) -> tuple[str, Options]:
    monkeypatch.setattr(optimizers, "float32", lambda value: value)
    return "SGD", {"momentum": 0.9}


def one_clip_for_all(monkeypatch: pytest.MonkeyPatch) -> tuple[str, Options]:
    monkeypatch.setattr(parameter_groups, "clip_each_norm", gradient_clipping.clip_global_norm)
    return "SGD", {"clipnorm": 0.5}


def coupled_decay(monkeypatch: pytest.MonkeyPatch) -> tuple[str, Options]:
    monkeypatch.setattr(parameter_groups, "float32", lambda value: value)
    return "Adam", {"weight_decay": 0.05}


@pytest.mark.parametrize(
    "fault",
    [
        unrounded_powers,
        torch_epsilon,
        outer_epsilon,
        unrounded_momentum,
        one_clip_for_all,
        coupled_decay,
    ],
)
def test_planted_fault_exceeds_the_limit_of_the_parity_test(
    fault: Callable[[pytest.MonkeyPatch], tuple[str, Options]], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The parity tests above hold the undisturbed side to Keras within 1e-14.
    with monkeypatch.context() as patched:
        name, options = fault(patched)
        disturbed = ours(name, options, "float64")
    clean = {
        key: value
        for key, value in options.items()
        if key not in {"epsilon", "epsilon_inside_root"}
    }
    assert difference(ours(name, clean, "float64"), disturbed) > 1e-10


def one_step(optimizer_class: type[KerasOptimizer], gradient: float, **options: Any) -> float:
    parameter = torch.nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
    optimizer = optimizer_class([parameter], 0.5, **options)
    parameter.grad = torch.tensor([gradient], dtype=torch.float64)
    optimizer.step()
    return parameter.item()


def test_first_adam_step_is_the_sign_but_for_epsilon() -> None:
    # m = g / 2, v = g^2 / 4, step size lr * sqrt(1/4) / (1/2): the step is lr * g / (|g| + 2 epsilon).
    moved = one_step(optimizers.Adam, 2.0, beta_1=0.5, beta_2=0.75, epsilon=0.25)
    assert moved == pytest.approx(1 - 0.5 * 2 / (2 + 2 * 0.25), rel=1e-15)


def test_epsilon_of_rmsprop_is_inside_the_root() -> None:
    moved = one_step(optimizers.RMSprop, 2.0, rho=0.75, epsilon=3.0)
    assert moved == 1 - 0.5 * 2 / math.sqrt(0.25 * 4 + 3)


def test_weight_decay_does_not_pass_through_the_moments() -> None:
    assert one_step(optimizers.SGD, 0.25, weight_decay=0.5) == 1 - 0.5 * 0.5 - 0.5 * 0.25


def test_momentum_buffer_keeps_the_old_learning_rate() -> None:
    parameter = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = optimizers.SGD([parameter], 1.0, momentum=0.5)
    parameter.grad = torch.ones(1, dtype=torch.float64)
    optimizer.step()
    optimizer.param_groups[0]["lr"] = 0.0
    optimizer.step()
    assert parameter.item() == -1.5  # torch.optim.SGD would stay at -1


def test_step_size_as_a_tensor_gives_the_same_step() -> None:
    def run(step_size: float | torch.Tensor) -> torch.Tensor:
        weights, moments = [torch.ones(3)], ([torch.zeros(3)], [torch.zeros(3)])
        gradient = [torch.tensor([1e-4, -2.0, 30.0])]
        optimizers.adam_update(
            weights, gradient, *moments, step_size, beta_1=0.9, beta_2=0.999, epsilon=1e-7
        )
        return weights[0]

    torch.testing.assert_close(run(0.125), run(torch.tensor(0.125)), rtol=1e-7, atol=0)
