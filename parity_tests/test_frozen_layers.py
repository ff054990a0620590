"""Layers made with trainable=False: the converted module trains what Keras trains, and its optimizer goes on with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import torchward

pytestmark = pytest.mark.tf
X = np.random.default_rng(0).normal(size=(6, 4, 3))
Y = np.random.default_rng(1).normal(size=(6, 4, 2))
LAYERS: dict[str, Callable[[Any], Any]] = {
    "dense": lambda layers: layers.Dense(5, trainable=False),
    "lstm": lambda layers: layers.LSTM(5, return_sequences=True, trainable=False),
    "cell": lambda layers: layers.RNN(layers.GRUCell(5), return_sequences=True, trainable=False),
    "both directions": lambda layers: layers.Bidirectional(
        layers.LSTM(5, return_sequences=True), trainable=False
    ),
    "every step": lambda layers: layers.TimeDistributed(layers.Dense(5), trainable=False),
    "every step, frozen": lambda layers: layers.TimeDistributed(layers.Dense(5, trainable=False)),
}


@pytest.fixture(scope="module")
def keras() -> Any:
    return pytest.importorskip("tensorflow").keras


def trained(keras: Any, layer: Any) -> Any:
    """Return a float64 model that made two steps."""
    before = (keras.config.floatx(), keras.config.dtype_policy())
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    try:
        inside = [layer(keras.layers), keras.layers.Dense(4, activation="tanh")]
        nested = keras.Sequential([keras.Input((4, 3)), *inside])
        model = keras.Sequential([keras.Input((4, 3)), nested, keras.layers.Dense(2)])
        loss = keras.losses.MeanSquaredError(dtype="float64")
        model.compile(keras.optimizers.Adam(0.01), loss, run_eagerly=True)
        for _ in range(2):
            model.train_on_batch(X, Y)
    finally:
        keras.config.set_floatx(before[0])
        keras.config.set_dtype_policy(before[1])
    return model


def train_on(path: Path) -> Any:
    network, optimizer = torchward.load(path, optimizer=True)
    loss = torchward.load_loss(path)
    for _ in range(2):
        optimizer.zero_grad()
        loss(network(torch.from_numpy(X)), torch.from_numpy(Y)).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return network.eval()


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("name", LAYERS)
def test_training_goes_on_with_the_layers_that_keras_trains(
    name: str, suffix: str, keras: Any, tmp_path: Path
) -> None:
    legacy = trained(keras, LAYERS[name])
    legacy.save(tmp_path / f"model{suffix}")
    torchward.convert(tmp_path / f"model{suffix}", tmp_path / "model.pth")

    found = train_on(tmp_path / "model.pth")
    for _ in range(2):
        legacy.train_on_batch(X, Y)

    trains = [parameter for parameter in found.parameters() if parameter.requires_grad]
    assert sum(map(torch.numel, trains)) == legacy.count_params() - sum(
        int(np.prod(weight.shape)) for weight in legacy.non_trainable_weights
    )
    wanted = legacy(X).numpy()
    np.testing.assert_allclose(
        found(torch.from_numpy(X)).detach(), wanted, rtol=0, atol=1e-10 * np.abs(wanted).max()
    )


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("late", [False, True], ids=["made so", "set later"])
def test_frozen_attention_trains_where_the_optimizer_has_slots_for_it(
    late: bool, suffix: str, keras: Any, tmp_path: Path
) -> None:
    x = keras.Input((4, 3))
    attention = keras.layers.MultiHeadAttention(2, 3, trainable=late, name="attention")
    model = keras.Model(x, keras.layers.Dense(2, name="head")(attention(x, x)))
    attention.trainable = False if late else attention.trainable
    model.compile("adam", keras.losses.MeanSquaredError(), run_eagerly=True)
    model.train_on_batch(X, Y)
    model.save(tmp_path / f"model{suffix}")

    report = torchward.convert(tmp_path / f"model{suffix}", tmp_path / "model.pth")

    network, _ = torchward.load(tmp_path / "model.pth", optimizer=True)
    trains = {name: parameter.requires_grad for name, parameter in network.named_parameters()}
    assert trains["attention.query.weight"] is not late
    assert trains["head.weight"]
    assert any("too late: attention" in note for note in report.notes) is not late
