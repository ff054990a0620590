from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from torch_impl.keras_compat import merging


@pytest.mark.parametrize(
    ("function", "wanted"),
    [(merging.maximum, [2.0, 5.0, 3.0]), (merging.minimum, [1.0, -5.0, 3.0]), (merging.average, [1.5, 0.0, 3.0])],
)  # fmt: skip
def test_values(function: Callable[..., Tensor], wanted: list[float]) -> None:
    found = function(torch.tensor([1.0, -5.0, 3.0]), torch.tensor([2.0, 5.0, 3.0]))

    assert found.tolist() == wanted


@pytest.mark.parametrize("function", [merging.maximum, merging.minimum])
@pytest.mark.parametrize("count", [2, 3])
def test_whole_gradient_goes_to_the_first_at_a_tie(
    function: Callable[..., Tensor], count: int
) -> None:
    inputs = [torch.ones(2, requires_grad=True) for _ in range(count)]

    gradients = torch.autograd.grad(function(*inputs).sum(), inputs, materialize_grads=True)

    assert [gradient.tolist() for gradient in gradients] == [
        [1.0, 1.0],
        *[[0.0, 0.0]] * (count - 1),
    ]
    halved = torch.autograd.grad(torch.maximum(inputs[0], inputs[1]).sum(), inputs[:2])
    assert halved[0].tolist() == [0.5, 0.5]


@pytest.mark.parametrize("function", [merging.maximum, merging.minimum, merging.average])
def test_one_input_comes_back(function: Callable[..., Tensor]) -> None:
    assert function(torch.tensor([4.0])).tolist() == [4.0]


def test_inputs_are_broadcast() -> None:
    assert merging.average(torch.zeros(2, 3), torch.ones(2, 1)).tolist() == [[0.5] * 3] * 2


def test_average_adds_from_left_to_right() -> None:
    # In float32, (1e8 + 1) - 1e8 is 0, while 1e8 - 1e8 + 1 is 1.
    large = torch.tensor([1e8])

    assert merging.average(large, torch.tensor([1.0]), -large).item() == 0.0
