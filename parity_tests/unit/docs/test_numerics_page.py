"""What docs/numerics.md says of gradients, batch normalization and limits is so."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from parity_tests.tolerances import TOLERANCES
from parity_tests.unit.docs.pages import DOCS
from torch_impl.keras_compat.merging import maximum, minimum

PAGE = (DOCS / "numerics.md").read_text(encoding="utf-8")
NAN = float("nan")


def section(title: str) -> str:
    return PAGE.split(f"## {title}\n")[1].split("\n## ")[0]


def gradients(function: Any, *values: list[float]) -> list[list[float]]:
    tensors = [torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in values]
    return [g.tolist() for g in torch.autograd.grad(function(*tensors).sum(), tensors)]


def legacy_gradients(function: Any, *values: list[float]) -> list[list[float]]:
    import tensorflow as tf

    variables = [tf.Variable(np.array(value, dtype="float64")) for value in values]
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(function(tf, *variables))
    return [gradient.numpy().tolist() for gradient in tape.gradient(total, variables)]


def huber(tf: Any, x: Any) -> Any:
    import keras

    return keras.losses.Huber(dtype="float64")(tf.zeros_like(x), x)


# Row of the page: function of each side, arguments, gradient in TensorFlow, gradient in torch.
CASES: dict[str, tuple[Any, Any, tuple[list[float], ...], list[Any], list[Any]]] = {
    "relu": (lambda tf, x: tf.nn.relu(x), torch.relu, ([0.0],), [[0.0]], [[0.0]]),
    "abs": (lambda tf, x: tf.abs(x), torch.abs, ([0.0],), [[0.0]], [[0.0]]),
    "relu6": (lambda tf, x: tf.nn.relu6(x), F.relu6, ([0.0, 6.0],), [[0.0, 0.0]], [[0.0, 0.0]]),
    "clip to [-1, 1]": (
        lambda tf, x: tf.clip_by_value(x, -1, 1),
        lambda x: x.clamp(-1, 1),
        ([-1.0, 1.0],),
        [[1.0, 1.0]],
        [[1.0, 1.0]],
    ),
    "huber": (
        huber,
        lambda x: F.huber_loss(x, torch.zeros_like(x)),
        ([1.0, -1.0],),
        [[0.5, -0.5]],
        [[0.5, -0.5]],
    ),
    "maximum, minimum": (
        lambda tf, x, y: tf.maximum(x, y),
        torch.maximum,
        ([1.0], [1.0]),
        [[1.0], [0.0]],
        [[0.5], [0.5]],
    ),
    "reduce_max and amax": (
        lambda tf, x: tf.reduce_max(x, axis=0),
        lambda x: x.amax(0),
        ([1.0, 1.0, 0.0],),
        [[0.5, 0.5, 0.0]],
        [[0.5, 0.5, 0.0]],
    ),
    "reduce_max and max(dim)": (
        lambda tf, x: tf.reduce_max(x, axis=0),
        lambda x: x.max(0).values,
        ([1.0, 1.0, 0.0],),
        [[0.5, 0.5, 0.0]],
        [[1.0, 0.0, 0.0]],
    ),
    "norm": (
        lambda tf, x: tf.norm(x),
        torch.linalg.vector_norm,
        ([0.0, 0.0],),
        [[NAN, NAN]],
        [[0.0, 0.0]],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_torch_has_the_gradient_of_the_page(name: str) -> None:
    _, function, values, _, expected = CASES[name]

    np.testing.assert_array_equal(gradients(function, *values), expected)


@pytest.mark.tf
@pytest.mark.parametrize("name", CASES)
def test_tensorflow_has_the_gradient_of_the_page(name: str) -> None:
    pytest.importorskip("tensorflow")
    function, _, values, expected, _ = CASES[name]

    np.testing.assert_array_equal(legacy_gradients(function, *values), expected)


def test_every_row_of_the_page_has_a_case() -> None:
    rows = re.findall(r"^\| ([^|]+?) \|", section("Gradients at special points"), re.MULTILINE)

    assert [row for row in rows if row not in ("Function", "---")] == list(CASES)


@pytest.mark.parametrize("function", [maximum, minimum])
def test_our_merges_give_the_whole_gradient_to_the_first(function: Any) -> None:
    assert gradients(function, [1.0], [1.0]) == [[1.0], [0.0]]


def test_a_bias_before_a_batch_normalization_has_rounding_noise_for_a_gradient() -> None:
    torch.manual_seed(0)
    layer, norm = nn.Linear(5, 3), nn.BatchNorm1d(3, eps=1e-3)
    x, weights = torch.randn(64, 5), torch.randn(3)
    before = layer.bias.detach().clone()
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.01, eps=1e-12)

    def output() -> Tensor:
        return norm(layer(x))

    (output() ** 3 * weights).sum().backward()
    assert layer.bias.grad is not None
    assert layer.weight.grad is not None
    noise, signal = layer.bias.grad.abs().max().item(), layer.weight.grad.abs().max().item()
    optimizer.step()
    moved = (layer.bias.detach() - before).abs()

    assert 0 < noise < 1e-4 * signal
    assert moved.max().item() == pytest.approx(0.01, rel=1e-3)
    with torch.no_grad():
        shifted = layer.bias.add(1.0).clone()
        unchanged = output()
        layer.bias.copy_(shifted)
    torch.testing.assert_close(output(), unchanged, rtol=0, atol=1e-5)


def test_the_limits_of_the_page_are_those_of_the_tests() -> None:
    rows = re.findall(
        r"^\| (\w+) \| ([\d.e-]+) \| ([\d.e-]+) \|", section("How much may differ"), re.MULTILINE
    )
    shown = {
        (name, dtype): float(limit)
        for name, *limits in rows
        for dtype, limit in zip(("float64", "float32"), limits, strict=True)
        if limit != "-"
    }

    assert shown == {key: tolerance.relative for key, tolerance in TOLERANCES.items()}
