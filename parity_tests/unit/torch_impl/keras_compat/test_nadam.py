from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from torch_impl.keras_compat.nadam import Nadam

GRADIENTS = np.random.default_rng(0).normal(size=(5, 3, 2))
"""(steps, weights, elements)"""


def train_as_keras_2(order: list[int]) -> NDArray[np.float64]:
    """The loop of keras 2.15.0 with its counter, which a compiled graph keeps at what it was when weight k was traced."""
    weights, m, v = np.ones((3, 2)), np.zeros((3, 2)), np.zeros((3, 2))
    beta_1, beta_2 = float(np.float32(0.9)), float(np.float32(0.999))
    product, base = 1.0, float(np.float32(0.96))
    for iterations, step in enumerate(GRADIENTS):
        now = beta_1 * (1 - 0.5 * base ** (iterations + 1))
        following = beta_1 * (1 - 0.5 * base ** (iterations + 2))
        for counter, k in enumerate(order, 1):
            if counter != iterations + 2:
                product *= now
            m[k] += (step[k] - m[k]) * (1 - beta_1)
            v[k] += (step[k] ** 2 - v[k]) * (1 - beta_2)
            mean = following * m[k] / (1 - product * following)
            mean += (1 - now) * step[k] / (1 - product)
            corrected = v[k] / (1 - beta_2 ** (iterations + 1))
            weights[k] -= 0.01 * mean / (np.sqrt(corrected) + 1e-7)
    return weights


def train(optimizer: Nadam, parameters: list[torch.nn.Parameter], start: int, end: int) -> None:
    for step in GRADIENTS[start:end]:
        for parameter, gradient in zip(parameters, step, strict=True):
            parameter.grad = torch.from_numpy(gradient.copy())
        optimizer.step()


def three() -> list[torch.nn.Parameter]:
    return [torch.nn.Parameter(torch.ones(2, dtype=torch.float64)) for _ in range(3)]


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]], ids=["in-order", "in-another-order"])
def test_each_weight_multiplies_the_product_of_keras_2(order: list[int]) -> None:
    parameters = three()
    turns = [order.index(place) for place in range(3)]
    optimizer = Nadam(parameters, 0.01, turns=turns, learning_rate_dtype="float64")

    train(optimizer, parameters, 0, 5)

    found = torch.stack(list(parameters)).detach().numpy()
    # The product is kept with the numbers as configured, here with their float32 roundings: 2e-8 apart.
    np.testing.assert_allclose(found, train_as_keras_2(order), rtol=1e-7)


def test_a_product_that_is_not_stored_follows_from_the_steps_done() -> None:
    through, resumed = three(), three()
    first = Nadam(through, 0.01, turns=[1, 0, 2])
    train(first, through, 0, 3)
    with torch.no_grad():
        for own, other in zip(resumed, through, strict=True):
            own.copy_(other)
    second = Nadam(resumed, 0.01, turns=[1, 0, 2])
    slots = {n: [first.state[p][n] for p in through] for n in ("exp_avg", "exp_avg_sq")}
    second.load_slots(3, slots)

    train(first, through, 3, 5)
    train(second, resumed, 3, 5)

    for own, other in zip(resumed, through, strict=True):
        torch.testing.assert_close(own, other, rtol=1e-14, atol=0)


def test_without_turns_the_product_grows_once_a_step() -> None:
    parameters = three()
    train(Nadam(parameters, 0.01), parameters, 0, 5)
    found = torch.stack(list(parameters)).detach().numpy()
    assert np.abs(found - train_as_keras_2([0, 1, 2])).max() > 1e-4
