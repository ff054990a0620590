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
from numpy.typing import NDArray

import torchward

pytestmark = pytest.mark.tf

TOLERANCE = 1e-12
"""Relative to the largest value, at least 1: some thousand roundings of 1e-16."""
Build = Callable[[Any, Any], Any]
"""keras.ops and an input of (batch, 4, 6) to an output."""

NETWORKS: dict[str, Build] = {
    "dueling": lambda ops, x: x[:, 0, :1] + x[:, 1] - ops.mean(x[:, 1], axis=-1, keepdims=True),
    "numbers": lambda ops, x: 1.0 - (2.0 * x + 0.5) / 3.0 - 4.0 / (x * x + 1.0),
    "powers": lambda ops, x: (ops.absolute(x) + 0.5) ** -1.5 + 2.0 ** (-x),
    "slices": lambda ops, x: x[:, 1:3, ::2][:, None, -1],
    "index": lambda ops, x: x[:, 2, 5],
    "turned": lambda ops, x: ops.concatenate(
        [x[::-1, ::-2], x[:, -1:0:-1, None][:, :2, 0]], axis=1
    ),
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
    "choices": lambda ops, x: (
        ops.where(ops.logical_or(x > 0.5, x < -1.0), x, 2.0)
        + ops.where(x > 0.0, 1.0, ops.cast(ops.argmax(x, axis=1, keepdims=True), "float64"))
        + ops.floor_divide(x, 0.5)
        + x % 0.75
    ),
    "arrays": lambda ops, x: ops.maximum(
        ops.multiply(x, np.linspace(-1.0, 1.0, 6)), np.array([[0.1], [0], [1], [-1]])
    ),
    "parts": lambda ops, x: ops.concatenate(
        [ops.split(x, [1, 3], axis=2)[1], ops.top_k(x, 3)[0], ops.unstack(x, axis=2)[4][..., None]],
        axis=-1,
    ),
    "picked": lambda ops, x: (
        ops.take(x, [[0, -1], [2, 1]], axis=2)
        + ops.take_along_axis(x, ops.argsort(x, axis=1), axis=1)[:, :, :2, None]
    ),
    "encoded": lambda ops, x: (
        ops.one_hot(ops.argmax(x, axis=-1), 6, dtype="float64") * x + ops.sort(x, axis=1)
    ),
    "moved": lambda ops, x: ops.roll(
        ops.pad(ops.flip(ops.moveaxis(x, 1, 2), axis=1), [[0, 0], [1, 2], [0, 0]]), 2, axis=1
    ),
    "letters": lambda ops, x: (
        ops.einsum("bij,bkj->bik", x, ops.tanh(x)) + ops.norm(x, axis=-1, keepdims=True)
    ),
    "statistics": lambda ops, x: (
        ops.normalize(x - ops.moments(x, axes=[1])[0][:, None])
        + ops.std(x, axis=1, keepdims=True)
        + ops.logsumexp(x, axis=2, keepdims=True)
        + ops.prod(x, axis=(1, 2), keepdims=True)
        + ops.cumsum(x, axis=1)
    ),
}


@pytest.fixture(scope="module")
def keras() -> Any:
    return pytest.importorskip("tensorflow").keras


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("name", NETWORKS)
def test_network_of_operators_computes_the_same(
    name: str,
    suffix: str,
    keras: Any,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    import tensorflow as tf

    keras.utils.clear_session(free_memory=False)
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

    report = torchward.convert(path, tmp_path / "model.pth", source_code=tmp_path / "network.py")
    converted = torchward.load(tmp_path / "model.pth")
    emitted = runpy.run_path(str(tmp_path / "network.py"))[converted.architecture.name]()

    record_property("rules", list(report.layers))
    record_property("dtype", "float64")
    record_property("allowed", TOLERANCE)
    for module in (converted, emitted):
        given = torch.from_numpy(x).requires_grad_()
        output = module(given)
        [gradient] = torch.autograd.grad(output.sum(), given)
        worst = max(
            difference(legacy.numpy(), output.detach().numpy()),
            difference(legacy_gradient, gradient.numpy()),
        )
        record_property("difference", worst)
        assert worst <= TOLERANCE


def difference(legacy: NDArray[Any], torch_side: NDArray[Any]) -> float:
    """Return the largest difference relative to the largest value, at least 1; NaN and infinity must be equal."""
    np.testing.assert_array_equal(np.isfinite(torch_side), np.isfinite(legacy))
    finite = np.isfinite(legacy)
    np.testing.assert_array_equal(torch_side[~finite], legacy[~finite])
    error = np.abs(torch_side[finite] - legacy[finite]).max(initial=0.0)
    return float(error / max(1.0, np.abs(legacy[finite]).max(initial=0.0)))
