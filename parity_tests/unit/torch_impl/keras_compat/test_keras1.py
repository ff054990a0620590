"""Layers that only Keras 1 had, against their formulas in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from torch_impl.keras_compat.keras1 import (
    BatchStatisticsNorm,
    MaxoutDense,
    ParametricSoftplus,
    SampleNorm,
    SReLU,
    carry,
    cosine_merge,
)
from torch_impl.keras_compat.local import LocallyConnected

RNG = np.random.default_rng(0)
X = RNG.normal(size=(5, 4))


def computed(module: nn.Module, x: NDArray[Any], **weights: NDArray[Any]) -> NDArray[Any]:
    module.double().load_state_dict(
        {name: torch.from_numpy(value) for name, value in weights.items()}, strict=False
    )
    result = module(torch.from_numpy(x))
    return np.asarray(result.detach().numpy())


def test_maxout_is_the_largest_of_its_products() -> None:
    weight, bias = RNG.normal(size=(3, 4, 2)), RNG.normal(size=(3, 2))

    y = computed(MaxoutDense(4, 2, pieces=3), X, weight=weight, bias=bias)

    wanted = np.max([X @ w + b for w, b in zip(weight, bias, strict=True)], axis=0)
    assert np.allclose(y, wanted, rtol=0, atol=1e-14)


def test_highway_carries_what_the_gate_leaves() -> None:
    y = carry(torch.tensor([1.0, 1.0]), torch.tensor([5.0, 5.0]), torch.tensor([0.25, 1.0]))

    assert y.tolist() == [2.0, 5.0]


def test_srelu_is_a_line_below_the_identity_between_and_a_line_above() -> None:
    module = SReLU((1,))
    weights = {"left": -1.0, "left_slope": 0.1, "distance": -3.0, "right_slope": 0.5}
    x = np.array([[-3.0], [0.5], [4.0]])

    y = computed(module, x, **{name: np.array([value]) for name, value in weights.items()})

    assert np.allclose(y.ravel(), [-1 - 0.2, 0.5, 2 + 1.0], rtol=0, atol=1e-14)


def test_srelu_of_theano_falls_no_higher_than_the_right_threshold() -> None:
    x = np.array([[-30.0], [-3.0]])
    weights = {"left": -1.0, "left_slope": -0.5, "distance": 3.0, "right_slope": 1.0}
    given = {name: np.array([value]) for name, value in weights.items()}

    free = computed(SReLU((1,)), x, **given)
    clipped = computed(SReLU((1,), is_clipped=True), x, **given)

    assert np.allclose(free.ravel(), [-1 + 14.5, -1 + 1.0], rtol=0, atol=1e-14)
    assert np.allclose(clipped.ravel(), [2.0, -1 + 1.0], rtol=0, atol=1e-14)


def test_cosine_is_of_the_angle_and_0_without_one() -> None:
    left = torch.tensor([[3.0, 4.0], [1.0, 1.0], [0.0, 0.0]], dtype=torch.float64)
    right = torch.tensor([[4.0, 3.0], [-2.0, -2.0], [1.0, 0.0]], dtype=torch.float64)

    y = cosine_merge(left, right)

    assert y.shape == (3, 1, 1)
    torch.testing.assert_close(y[:, 0, 0], torch.tensor([0.96, -1.0, 0.0], dtype=torch.float64))


def test_softplus_is_stretched_along_both_axes() -> None:
    alpha, beta = RNG.normal(size=4), RNG.normal(size=4)

    y = computed(ParametricSoftplus((4,)), X, alpha=alpha, beta=beta)

    assert np.allclose(y, alpha * np.log1p(np.exp(beta * X)), rtol=0, atol=1e-14)


@pytest.mark.parametrize("training", [False, True])
def test_mode_2_normalizes_by_the_batch_at_all_times(training: bool) -> None:
    x, weight, bias = RNG.normal(size=(5, 4, 3)), RNG.normal(size=4), RNG.normal(size=4)
    module = BatchStatisticsNorm(4, eps=1e-4, axis=1).train(training)

    y = computed(module, x, weight=weight, bias=bias)

    mean, variance = x.mean((0, 2), keepdims=True), x.var((0, 2), keepdims=True)
    wanted = (x - mean) / np.sqrt(variance + 1e-4) * weight[:, None] + bias[:, None]
    assert np.allclose(y, wanted, rtol=0, atol=1e-13)
    assert torch.equal(module.state_dict()["running_mean"], torch.zeros(4).double())


def test_mode_1_adds_epsilon_in_the_root_and_behind_it() -> None:
    weight, bias = RNG.normal(size=4), RNG.normal(size=4)

    y = computed(SampleNorm(4, eps=0.1), X, weight=weight, bias=bias)

    deviation = np.sqrt(X.var(1, keepdims=True) + 0.1) + 0.1
    wanted = (X - X.mean(1, keepdims=True)) / deviation * weight + bias
    assert np.allclose(y, wanted, rtol=0, atol=1e-14)


@pytest.mark.parametrize("channels_last", [False, True])
def test_every_position_has_a_kernel_of_its_own(channels_last: bool) -> None:
    x = RNG.normal(size=(2, 3, 5, 4))
    weight, bias = RNG.normal(size=(4, 12, 2)), RNG.normal(size=(2, 2, 2))
    module = LocallyConnected(
        *(3, 2),
        kernel_size=(2, 2),
        stride=(3, 2),
        sizes=(2, 2),
        bias_shape=(2, 2, 2),
        channels_last=channels_last,
    )

    y = computed(module, x, weight=weight, bias=bias)

    for position, (row, column) in enumerate(np.ndindex(2, 2)):
        patch = x[:, :, 3 * row : 3 * row + 2, 2 * column : 2 * column + 2]
        patch = patch.transpose(0, 2, 3, 1) if channels_last else patch
        wanted = patch.reshape(2, 12) @ weight[position] + bias[:, row, column]
        assert np.allclose(y[:, :, row, column], wanted, rtol=0, atol=1e-13)
