"""The way back with Keras: it loads what is exported, predicts the same, and trains on from where PyTorch stopped.

Models are float64, so that a step that differs at all differs by far more than rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import torchward
from parity_tests import FIXTURES

pytestmark = pytest.mark.tf

STEPS = 3
TOLERANCE = 1e-11
"""Relative, after 9 float64 updates; a learning rate that lost its float32 rounding would show at 1e-8."""


@pytest.fixture(scope="module")
def keras() -> ModuleType:
    module: ModuleType = pytest.importorskip("keras")
    pytest.importorskip("tensorflow")
    return module


def dense(keras: ModuleType) -> Any:
    layers = keras.layers
    return keras.Sequential(
        [
            layers.Input((5,)),
            layers.Dense(7, activation="tanh"),
            layers.BatchNormalization(),
            layers.Dense(3),
        ]
    )


def recurrent(keras: ModuleType) -> Any:
    layers = keras.layers
    inputs = layers.Input((4, 5))
    x = layers.Bidirectional(layers.GRU(3, return_sequences=True))(inputs)
    x = layers.LSTM(6)(x)
    return keras.Model(inputs, layers.Dense(2)(x))


def nested(keras: ModuleType) -> Any:
    layers = keras.layers
    inner = keras.Sequential([layers.Input((6, 7, 2)), layers.Conv2D(3, 2), layers.Flatten()])
    frozen = layers.Dense(4, name="frozen", trainable=False)
    inputs = layers.Input((6, 7, 2))
    x = frozen(inner(inputs))
    return keras.Model(inputs, [layers.Dense(2)(x), layers.Dense(3)(x)])


def optimizers(keras: ModuleType) -> dict[str, Callable[[], Any]]:
    kinds = keras.optimizers
    return {
        "adam": lambda: kinds.Adam(0.01, amsgrad=True, clipnorm=0.5),
        "rmsprop": lambda: kinds.RMSprop(0.01, momentum=0.9, centered=True),
        "nadam": lambda: kinds.Nadam(0.01),
        "adafactor": lambda: kinds.Adafactor(0.01),
        "schedule": lambda: kinds.SGD(
            kinds.schedules.ExponentialDecay(0.1, 2, 0.5), momentum=0.9, nesterov=True, use_ema=True
        ),
    }


BUILDERS: dict[str, Callable[[ModuleType], Any]] = {
    "dense": dense,
    "recurrent": recurrent,
    "nested": nested,
}


def build(keras: ModuleType, builder: str, optimizer: str | None = None) -> Any:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    keras.utils.set_random_seed(3)
    try:
        model = BUILDERS[builder](keras)
    finally:
        keras.config.set_dtype_policy(before)
    if optimizer is None:
        return model
    losses = [keras.losses.MeanSquaredError() for _ in model.outputs]
    model.compile(optimizers(keras)[optimizer](), loss=losses)
    return model


def data(model: Any, step: int) -> tuple[NDArray[Any], list[NDArray[Any]]]:
    """Return inputs and targets that float32 holds exactly: an input layer rounds to it whatever the model is."""
    draws = np.random.default_rng(step)

    def draw(tensor: Any) -> NDArray[Any]:
        return draws.normal(size=(4, *tensor.shape[1:])).astype(np.float32).astype(np.float64)

    return draw(model.inputs[0]), [draw(output) for output in model.outputs]


def train_keras(model: Any, steps: range) -> None:
    """Train as `train_on_batch` does, which would compute the loss in float32 whatever the model is."""
    import tensorflow as tf

    for step in steps:
        x, targets = data(model, step)
        with tf.GradientTape() as tape:
            found = model(x, training=True)
            results = found if isinstance(found, list) else [found]
            loss = sum(
                tf.reduce_mean(tf.square(target - output))
                for target, output in zip(targets, results, strict=True)
            )
        gradients = tape.gradient(loss, model.trainable_variables)
        model.optimizer.apply(gradients, model.trainable_variables)


def train_torch(path: Path, legacy: Any, steps: range, trained: Path) -> None:
    model, optimizer = torchward.load(path, optimizer=True)
    for step in steps:
        x, targets = data(legacy, step)
        found = model(torch.from_numpy(x))
        outputs = found if isinstance(found, tuple) else (found,)
        loss = sum(
            (torch.from_numpy(target) - output).square().mean()
            for target, output in zip(targets, outputs, strict=True)
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torchward.save(trained, model, optimizer)


def state_of(model: Any) -> dict[str, NDArray[Any]]:
    """Return weights and optimizer variables by place; the names differ from instance to instance."""
    weights = {f"weight {i}": value for i, value in enumerate(model.get_weights())}
    variables = {f"variable {i}": v.numpy() for i, v in enumerate(model.optimizer.variables)}
    return weights | variables


def assert_same_state(legacy: Any, back: Any, tolerance: float) -> None:
    expected, found = state_of(legacy), state_of(back)
    assert list(found) == list(expected)
    for name, value in expected.items():
        scale = max(1e-3, float(np.abs(value).max()))
        assert np.abs(found[name] - value).max() <= tolerance * scale, name


@pytest.mark.parametrize(
    ("builder", "optimizer", "first"),
    [
        ("dense", "adam", STEPS),
        ("dense", "nadam", 0),
        ("dense", "adafactor", STEPS),
        ("recurrent", "rmsprop", STEPS),
        ("nested", "schedule", 0),
    ],
)
def test_keras_trains_on_where_torch_stopped(
    keras: ModuleType, builder: str, optimizer: str, first: int, tmp_path: Path
) -> None:
    legacy = build(keras, builder, optimizer)
    train_keras(legacy, range(first))
    legacy.save(tmp_path / "before.keras")
    torchward.convert(tmp_path / "before.keras", tmp_path / "agent.pth")

    middle, last = range(first, first + STEPS), range(first + STEPS, first + 2 * STEPS)
    train_torch(tmp_path / "agent.pth", legacy, middle, tmp_path / "trained.pth")
    report = torchward.export(tmp_path / "trained.pth", tmp_path / "after.keras")
    back = keras.models.load_model(tmp_path / "after.keras")
    train_keras(legacy, middle)

    assert report.optimizer is not None
    assert report.optimizer[1] == first + STEPS
    assert_same_state(legacy, back, TOLERANCE)
    for model in (legacy, back):
        train_keras(model, last)
    assert_same_state(legacy, back, TOLERANCE)


@pytest.mark.parametrize(
    ("builder", "source", "output"),
    [
        ("recurrent", "model.h5", "back.keras"),
        ("recurrent", "model.keras", "back.weights.h5"),
        ("nested", "model.h5", "back.keras"),
        ("nested", "model.h5", "back.weights.h5"),
        ("nested", "model.keras", "back.keras"),
        ("nested", "model.keras", "back.h5"),
    ],
)
def test_keras_loads_what_is_exported(
    keras: ModuleType, builder: str, source: str, output: str, tmp_path: Path
) -> None:
    legacy = build(keras, builder, "adam")
    train_keras(legacy, range(1))
    legacy.save(tmp_path / source)
    torchward.convert(tmp_path / source, tmp_path / "agent.pth")

    torchward.export(tmp_path / "agent.pth", tmp_path / output)

    if output == "back.weights.h5":
        back = build(keras, builder)
        back.load_weights(tmp_path / output)
    else:
        back = keras.models.load_model(tmp_path / output)
    if (
        output == "back.keras"
    ):  # Keras 3.15 does not restore the optimizer of an .h5, not even its own
        assert_same_state(legacy, back, 0)
    x, _ = data(legacy, 0)
    for one, other in zip(outputs(legacy, x), outputs(back, x), strict=True):
        assert np.array_equal(one, other)


def outputs(model: Any, x: NDArray[Any]) -> list[NDArray[Any]]:
    found = model(x)
    return [output.numpy() for output in (found if isinstance(found, list) else [found])]


@pytest.mark.parametrize("name", ["tf215_dqn_seed/model.h5", "tf215_bn_mlp/model.h5"])
def test_keras_3_loads_a_file_of_keras_2_as_it_loads_the_original(
    keras: ModuleType, name: str, tmp_path: Path
) -> None:
    torchward.convert(FIXTURES / name, tmp_path / "agent.pth")

    torchward.export(tmp_path / "agent.pth", tmp_path / "back.h5")

    original, back = (
        keras.models.load_model(path, compile=False)
        for path in (FIXTURES / name, tmp_path / "back.h5")
    )
    assert original.get_config() == back.get_config()
    for one, other in zip(original.get_weights(), back.get_weights(), strict=True):
        assert np.array_equal(one, other)
