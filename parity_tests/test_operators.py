"""Nodes of `keras.ops` and operators on Keras tensors: networks with them against their conversion, with gradients.

Such networks are saved by Keras as .keras and .h5; the .h5 Keras itself cannot load again.
"""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import torchward

pytestmark = pytest.mark.tf

Build = Callable[[Any, Any], Any]
"""keras.ops and an input of (batch, 4, 6) to an output."""

NETWORKS: dict[str, Build] = {
    "dueling": lambda ops, x: x[:, 0, :1] + x[:, 1] - ops.mean(x[:, 1], axis=-1, keepdims=True),
    "numbers": lambda ops, x: 1.0 - (2.0 * x + 0.5) / 3.0 - 4.0 / (x * x + 1.0),
    "powers": lambda ops, x: (ops.absolute(x) + 0.5) ** -1.5 + 2.0 ** (-x),
    "slices": lambda ops, x: x[:, 1:3, ::2][:, None, -1],
    "index": lambda ops, x: x[:, 2, 5],
    "reductions": lambda ops, x: (
        ops.sum(x, axis=1) - ops.max(x, axis=1) + ops.min(x, axis=(1, 2), keepdims=True)[:, :, 0]
    ),
    "shapes": lambda ops, x: ops.transpose(
        ops.squeeze(ops.expand_dims(ops.reshape(x, (-1, 3, 8)), 1), axis=1), (0, 2, 1)
    ),
    "functions": lambda ops, x: (
        ops.exp(-ops.square(x))
        + ops.log(ops.softplus(x))
        + ops.tanh(x) * ops.sigmoid(x)
        - ops.relu(x)
        + ops.sqrt(ops.abs(x) + 1.0)
    ),
    "log of the policy": lambda ops, x: ops.clip(ops.log_softmax(x, axis=1), -3.0, -0.1),
    "joined": lambda ops, x: ops.concatenate([x, 2.0 * x], axis=-1)[:, :, 3:9] - ops.softmax(x),
    "stacked": lambda ops, x: ops.max(ops.stack([x, -x], axis=1), axis=1),
    "extremes": lambda ops, x: ops.maximum(ops.minimum(x, -x), ops.maximum(x, 0.3)),
    "stopped": lambda ops, x: x * ops.stop_gradient(ops.tanh(x)),
    "product": lambda ops, x: ops.matmul(x, ops.transpose(x, (0, 2, 1))),
}


@pytest.fixture(scope="module")
def keras() -> Any:
    return pytest.importorskip("tensorflow").keras


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("name", NETWORKS)
def test_network_of_operators_computes_the_same(
    name: str, suffix: str, keras: Any, tmp_path: Path
) -> None:
    import tensorflow as tf  # type: ignore[import-untyped]

    keras.utils.clear_session()
    inputs = keras.Input((4, 6), dtype="float64", name="x")
    model = keras.Model(inputs, NETWORKS[name](keras.ops, inputs), name="network")
    path = tmp_path / f"model{suffix}"
    model.save(path)
    x = np.random.default_rng(5).normal(size=(3, 4, 6))
    watched = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(watched)
        legacy = model(watched)
        loss = tf.reduce_sum(legacy)
    legacy_gradient = tape.gradient(loss, watched).numpy()

    torchward.convert(path, tmp_path / "model.pth", source_code=tmp_path / "network.py")
    converted = torchward.load(tmp_path / "model.pth")
    emitted = runpy.run_path(str(tmp_path / "network.py"))[converted.architecture.name]()

    for module in (converted, emitted):
        given = torch.from_numpy(x).requires_grad_()
        output = module(given)
        output.sum().backward()
        np.testing.assert_allclose(output.detach().numpy(), legacy.numpy(), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(given.grad, legacy_gradient, rtol=1e-12, atol=1e-12)
