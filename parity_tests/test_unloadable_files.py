"""Legacy .h5 files that Keras 3 writes and cannot load again: configuration and weights are in them, so they convert."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import torchward

pytestmark = pytest.mark.tf


def attention(keras: Any) -> Any:
    x, z = keras.Input((4, 6)), keras.Input((5, 6))
    attended = keras.layers.MultiHeadAttention(2, 3, value_dim=2)(query=x, value=z, key=z)
    return keras.Model([x, z], keras.ops.mean(attended + x, axis=1))


def given_state(keras: Any) -> Any:
    x = keras.Input((4, 6))
    start = keras.layers.Dense(3)(x[:, 0])
    return keras.Model(x, keras.layers.GRU(3)(x, initial_state=start * 2.0))


def shared_model(keras: Any) -> Any:
    x, a, b = keras.Input((6,)), keras.Input((6,)), keras.Input((6,))
    inner = keras.Model(x, keras.layers.Dense(6)(x) + x, name="inner")
    return keras.Model([a, b], inner(a) * inner(inner(b)))


def masked(keras: Any) -> Any:
    x = keras.Input((4,), dtype="int32")
    embedded = keras.layers.Embedding(5, 3, mask_zero=True)(x)
    return keras.Model(x, keras.layers.LSTM(3)(embedded) * 1.5)


def squeezed(keras: Any) -> Any:
    """Squeeze and excitation with operators, between convolutions whose channels move."""
    ops, layers = keras.ops, keras.layers
    x = keras.Input((8, 7, 3))
    y = layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same")(x))
    y = keras.activations.relu(y + layers.Conv2D(4, 1)(x))
    y = y * ops.sigmoid(ops.mean(y, axis=(1, 2), keepdims=True))
    y = layers.Conv2D(2, 3)(ops.pad(y, [[0, 0], [1, 0], [0, 2], [0, 0]], constant_values=0.5))
    return keras.Model(x, ops.max(y, axis=(1, 2)) / ops.cast(3, "float32"))


NETWORKS: tuple[Callable[[Any], Any], ...] = (
    attention,
    given_state,
    shared_model,
    masked,
    squeezed,
)


@pytest.fixture(scope="module")
def keras() -> Any:
    return pytest.importorskip("tensorflow").keras


@pytest.mark.parametrize("build", NETWORKS, ids=lambda build: build.__name__)
def test_file_that_keras_cannot_load_converts(
    build: Callable[[Any], Any], keras: Any, tmp_path: Path
) -> None:
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(4)
    legacy = build(keras)
    legacy.save(tmp_path / "model.h5")
    with pytest.raises((ValueError, TypeError)):
        keras.models.load_model(tmp_path / "model.h5", compile=False)
    draws = np.random.default_rng(3)
    inputs = [
        draws.integers(5, size=(3, *x.shape[1:])).astype(np.int32)
        if x.dtype == "int32"
        else draws.normal(size=(3, *x.shape[1:])).astype(np.float32)
        for x in legacy.inputs
    ]

    torchward.convert(tmp_path / "model.h5", tmp_path / "model.pth")
    found = torchward.load(tmp_path / "model.pth")(*[torch.from_numpy(x) for x in inputs])

    wanted = legacy(inputs if len(inputs) > 1 else inputs[0]).numpy()
    np.testing.assert_allclose(found.detach().numpy(), wanted, rtol=2e-5, atol=2e-6)
