"""Keras models that no single rule's examples can say, compared with what they become."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

import torchward

BATCH, RATE = 3, 0.05
LIMIT = 1e-12
"""Of the largest value: formulas are equal, a few roundings of 1e-16 are not."""
CompareWithKeras = Callable[..., torch.nn.Module]


@pytest.fixture
def keras() -> Iterator[Any]:
    found = pytest.importorskip("keras")
    found.utils.clear_session(free_memory=False)
    before = found.config.floatx()
    policy = found.config.dtype_policy()  # made of floatx when it is first asked for, and kept
    found.config.set_floatx("float64")
    found.config.set_dtype_policy("float64")
    yield found
    found.config.set_floatx(before)
    found.config.set_dtype_policy(policy)


@pytest.fixture
def compare_with_keras(tmp_path: Path) -> CompareWithKeras:
    """Compare a float64 model before and after a step down its gradient, in both formats of Keras 3."""

    def compare(model: Any, *, training: bool = False) -> torch.nn.Module:
        draws = np.random.default_rng(zlib.crc32(model.name.encode()))
        for weight in model.weights:
            value = draws.normal(size=weight.shape) * 0.5
            weight.assign(np.abs(value) + 0.1 if "variance" in weight.name else value)
        model.save(tmp_path / "model.keras")
        model.save(tmp_path / "model.h5")
        inputs = [draws.normal(size=(BATCH, *x.shape[1:])) for x in model.inputs]
        converted = []
        for name in ("model.keras", "model.h5"):
            target = tmp_path / f"{name}.pth"
            torchward.convert(tmp_path / name, target, source_code=tmp_path / f"{name}.py")
            converted.append(torchward.load(target))
        first, second = converted
        assert list(first.state_dict()) == list(second.state_dict())
        for key, value in first.state_dict().items():
            assert torch.equal(value, second.state_dict()[key]), key
        legacy = _steps_of_keras(model, inputs, training=training)
        found = _steps_of_torch(first.train(training), inputs)
        for wanted, value in zip(legacy, found, strict=True):
            np.testing.assert_allclose(value, wanted, rtol=0, atol=LIMIT * np.abs(wanted).max())
        return first.eval()

    return compare


def _row(outputs: Any) -> list[Any]:
    return list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]


def _weights_of(parts: list[Any]) -> list[NDArray[np.float64]]:
    draws = np.random.default_rng(5)
    return [draws.normal(size=tuple(part.shape)) for part in parts]


def _steps_of_keras(model: Any, inputs: list[Any], *, training: bool) -> list[NDArray[np.float64]]:
    """Return the outputs before and after a step, and the gradients of the inputs in between."""
    import tensorflow as tf

    tensors = [tf.constant(x) for x in inputs]
    weights = model.trainable_variables
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        parts = _row(model(tensors if len(tensors) > 1 else tensors[0], training=training))
        loss = sum(
            tf.reduce_sum(part * upstream)
            for part, upstream in zip(parts, _weights_of(parts), strict=True)
        )
    before = [part.numpy() for part in parts]
    gradients = tape.gradient(
        loss,
        [*tensors, *[weight.value for weight in weights]],
        unconnected_gradients=tf.UnconnectedGradients.ZERO,
    )
    for weight, gradient in zip(weights, gradients[len(tensors) :], strict=True):
        weight.assign_sub(RATE * tf.convert_to_tensor(gradient))
    after = _row(model(tensors if len(tensors) > 1 else tensors[0], training=False))
    whole = [*before, *gradients[: len(tensors)], *after]
    return [np.asarray(value) for value in whole]


def _steps_of_torch(model: torch.nn.Module, inputs: list[Any]) -> list[NDArray[np.float64]]:
    tensors = [torch.from_numpy(x).requires_grad_() for x in inputs]
    parts: list[Tensor] = _row(model(*tensors))
    upstream = [torch.from_numpy(x) for x in _weights_of(parts)]
    loss = sum((part * weight).sum() for part, weight in zip(parts, upstream, strict=True))
    assert isinstance(loss, Tensor)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    gradients = torch.autograd.grad(loss, [*tensors, *parameters], materialize_grads=True)
    before = [part.detach() for part in parts]
    with torch.no_grad():
        for parameter, gradient in zip(parameters, gradients[len(tensors) :], strict=True):
            parameter.sub_(RATE * gradient)
        after = _row(model.eval()(*tensors))
    return [value.numpy() for value in (*before, *gradients[: len(tensors)], *after)]
