"""Layers and models that several nested models share: one module, trained from all of its places as Keras does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

import torchward

pytestmark = [pytest.mark.tf, pytest.mark.slow]


def torso(keras: Any) -> Any:
    layers = keras.layers
    return keras.Sequential(
        [keras.Input((4,)), layers.Dense(3, activation="tanh"), layers.BatchNormalization()],
        name="torso",
    )


def around(keras: Any, inner: Any, units: int, name: str) -> Any:
    x = keras.Input((4,))
    return keras.Model(x, keras.layers.Dense(units)(inner(x)), name=name)


def in_two_models(keras: Any) -> Any:
    inner = torso(keras)
    actor, critic = around(keras, inner, 2, "actor"), around(keras, inner, 1, "critic")
    x = keras.Input((4,))
    return keras.Model(x, [actor(x), critic(x)])


def inside_and_outside(keras: Any) -> Any:
    inner = torso(keras)
    actor = around(keras, inner, 2, "actor")
    x = keras.Input((4,))
    return keras.Model(x, [actor(x), inner(x)])


def one_layer(keras: Any) -> Any:
    hidden = keras.layers.Dense(3, activation="tanh", name="hidden")
    actor, critic = around(keras, hidden, 2, "actor"), around(keras, hidden, 1, "critic")
    x = keras.Input((4,))
    return keras.Model(x, [actor(x), critic(x)])


def numbers(path: Path) -> dict[str, bytes]:
    """Return the bytes of every array of an HDF5 file by its path."""
    found: dict[str, bytes] = {}

    def add(name: str, each: Any) -> None:
        if isinstance(each, h5py.Dataset):
            found[name] = each[()].tobytes()

    with h5py.File(path) as file:
        file.visititems(add)
    return found


@pytest.fixture(scope="module")
def keras() -> Any:
    return pytest.importorskip("tensorflow").keras


@pytest.mark.parametrize(
    ("build", "name"),
    [
        (in_two_models, "model.keras"),
        (in_two_models, "model.h5"),
        (inside_and_outside, "model.weights.h5"),
        (one_layer, "model.keras"),
        (one_layer, "model.h5"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_training_goes_on_in_what_models_share(
    build: Callable[[Any], Any], name: str, keras: Any, tmp_path: Path
) -> None:
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(4)
    legacy = build(keras)
    draws = np.random.default_rng(5)
    x = draws.normal(size=(6, 4)).astype(np.float32)
    wanted = [draws.normal(size=(6, y.shape[1])).astype(np.float32) for y in legacy.outputs]
    legacy.compile(keras.optimizers.Adam(0.01), ["mse", "mse"])
    legacy.train_on_batch(x, wanted)
    architecture = tmp_path / "model.json"
    architecture.write_text(legacy.to_json())
    weights_only = name.endswith(".weights.h5")
    (legacy.save_weights if weights_only else legacy.save)(tmp_path / name)
    legacy.train_on_batch(x, wanted)

    torchward.convert(
        tmp_path / name,
        tmp_path / "model.pth",
        architecture=architecture if weights_only else None,
    )
    torchward.export(tmp_path / "model.pth", tmp_path / f"back_{name}")
    network, optimizer = torchward.load(tmp_path / "model.pth", optimizer=True)
    network.train()
    outputs = network(torch.from_numpy(x))
    targets = map(torch.from_numpy, wanted)
    losses = [torch.nn.functional.mse_loss(y, t) for y, t in zip(outputs, targets, strict=True)]
    torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]
    if not weights_only:  # whose optimizer is not named, and has another learning rate
        optimizer.step()
        network.eval()
        with torch.no_grad():
            outputs = network(torch.from_numpy(x))
        for y, y_legacy in zip(outputs, legacy(x), strict=True):
            np.testing.assert_allclose(y.numpy(), y_legacy, rtol=1e-4, atol=1e-5)
    trained = sum(parameter.numel() for parameter in network.parameters())
    assert trained == sum(int(np.prod(each.shape)) for each in legacy.trainable_variables)
    if name.endswith(".h5"):
        assert numbers(tmp_path / f"back_{name}") == numbers(tmp_path / name)
