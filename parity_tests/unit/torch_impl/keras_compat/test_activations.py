"""Values worked out by hand from the formulas; the live Keras layers are compared in parity_tests/test_layers.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from torch_impl.keras_compat import activations


@pytest.mark.parametrize(
    ("options", "x", "y"),
    [
        ({}, [-2.0, 0.0, 3.0], [0.0, 0.0, 3.0]),
        ({"negative_slope": 0.5}, [-2.0, 0.0, 3.0], [-1.0, 0.0, 3.0]),
        ({"max_value": 2.0}, [-1.0, 1.0, 2.0, 5.0], [0.0, 1.0, 2.0, 2.0]),
        # At the threshold itself the value is 0, and a jump follows.
        ({"threshold": 1.0}, [0.5, 1.0, 1.5], [0.0, 0.0, 1.5]),
        ({"threshold": 1.0, "negative_slope": 0.5}, [-1.0, 0.5, 1.0, 1.5], [-1.0, -0.25, 0.0, 1.5]),
        # A limit also cuts below 0: Keras clips to [0, max_value].
        ({"threshold": -1.0, "max_value": 2.0}, [-2.0, -0.5, 1.0, 3.0], [0.0, 0.0, 1.0, 2.0]),
        ({"threshold": -1.0}, [-2.0, -1.0, -0.5], [0.0, 0.0, -0.5]),
    ],
)
def test_relu_with_its_settings(options: dict[str, float], x: list[float], y: list[float]) -> None:
    assert activations.relu(torch.tensor(x), **options).tolist() == y


@pytest.mark.parametrize(
    ("function", "x", "y"),
    [
        (activations.thresholded_relu, [-2.0, 1.0, 1.5], [0.0, 0.0, 1.5]),
        (activations.hard_sigmoid_keras2, [-3.0, -2.5, 0.0, 1.0, 2.5, 3.0], [0.0, 0.0, 0.5, 0.7, 1.0, 1.0]),
        (activations.squareplus, [0.0, 1.5, -1.5], [1.0, 2.0, 0.5]),
        (activations.sparse_plus, [-2.0, -1.0, 0.0, 1.0, 4.0], [0.0, 0.0, 0.25, 1.0, 4.0]),
        (activations.sparse_sigmoid, [-2.0, -1.0, 0.0, 0.5, 1.0, 2.0], [0.0, 0.0, 0.5, 0.75, 1.0, 1.0]),
    ],
)  # fmt: skip
def test_formula_gives_the_values_worked_by_hand(
    function: Callable[[Tensor], Tensor], x: list[float], y: list[float]
) -> None:
    found = function(torch.tensor(x, dtype=torch.float64))

    torch.testing.assert_close(found, torch.tensor(y, dtype=torch.float64))


def test_hard_sigmoid_of_keras_2_is_not_that_of_keras_3() -> None:
    x = torch.tensor([1.0])

    assert activations.hard_sigmoid_keras2(x).item() == pytest.approx(0.7)
    assert torch.nn.functional.hardsigmoid(x).item() == pytest.approx(4 / 6)


def test_sparsemax_is_the_sum_of_keras_not_the_projection_of_the_paper() -> None:
    # Sorted 1.0, 0.8, 0.1; sums 1.0, 1.8, 1.9. Supported: 1 > 0, 0.8 > 0.4, not 0.1 > 0.3. So two.
    # Keras: tau = (1.0 + 1.8 - 1) / 2 = 0.9. The paper: tau = (1.8 - 1) / 2 = 0.4.
    found = activations.sparsemax(torch.tensor([[0.8, 1.0, 0.1]], dtype=torch.float64))

    torch.testing.assert_close(found, torch.tensor([[0.0, 0.1, 0.0]], dtype=torch.float64))


def test_sparsemax_with_one_large_value_is_one_there() -> None:
    assert activations.sparsemax(torch.tensor([[3.0, 0.0, -1.0]])).tolist() == [[1.0, 0.0, 0.0]]


def test_prelu_has_a_weight_for_every_position() -> None:
    layer = activations.PReLU((2, 3))
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]))

    y = layer(torch.full((1, 2, 3), -10.0))

    torch.testing.assert_close(y[0], torch.tensor([[-1.0, -2.0, -3.0], [-4.0, -5.0, -6.0]]))


def test_shared_prelu_weight_collects_the_gradient_of_all_positions() -> None:
    layer = activations.PReLU((1, 3))

    y = layer(-torch.ones(2, 5, 3))
    torch.autograd.backward(y.sum())

    gradient: Any = layer.weight.grad
    assert gradient.tolist() == [[-10.0, -10.0, -10.0]]
