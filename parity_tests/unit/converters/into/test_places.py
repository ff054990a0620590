"""Layouts by type of module: each against what the torch module computes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from converters.into.places import find_places
from converters.layouts import Layout


def filled(module: nn.Module, **arrays: NDArray) -> nn.Module:
    """Return the module with legacy arrays by role, brought in by its own slots."""
    [place] = find_places(module)
    state = module.state_dict()
    for slot in place.slots:
        if not slot.role:
            state[slot.key] = torch.zeros(slot.shape)
            continue
        array = arrays[slot.role] if slot.row is None else arrays[slot.role][slot.row]
        [layout] = slot.fitting(arrays[slot.role].shape)
        state[slot.key] = torch.from_numpy(np.ascontiguousarray(Layout.parse(layout).apply(array)))
    module.load_state_dict(state)
    return module.double().eval()


def draw(*shape: int) -> NDArray[np.float64]:
    return np.random.default_rng(7).normal(size=shape)


def sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-x))


def run(module: nn.Module, x: NDArray[np.float64]) -> NDArray[np.float64]:
    with torch.no_grad():
        y = module(torch.from_numpy(x))
    return (y[0] if isinstance(y, tuple) else y).numpy()


def test_linear_computes_x_kernel() -> None:
    kernel, bias, x = draw(4, 3), draw(3), draw(2, 4)

    y = run(filled(nn.Linear(4, 3), kernel=kernel, bias=bias), x)

    np.testing.assert_allclose(y, x @ kernel + bias, rtol=1e-6)


def test_depthwise_kernel_goes_into_a_grouped_convolution() -> None:
    kernel, x = draw(1, 1, 3, 2), draw(1, 3, 1, 1)

    y = run(filled(nn.Conv2d(3, 6, 1, groups=3, bias=False), kernel=kernel), x)

    np.testing.assert_allclose(
        y[0, :, 0, 0], (x[0, :, 0, 0, None] * kernel[0, 0]).ravel(), rtol=1e-6
    )


def test_convolution_slides_the_kernel() -> None:
    kernel, x = draw(2, 3, 4), draw(1, 3, 2)

    y = run(filled(nn.Conv1d(3, 4, 2, bias=False), kernel=kernel), x)

    expected = np.einsum("ct,tcf->f", x[0], kernel)
    np.testing.assert_allclose(y[0, :, 0], expected, rtol=1e-6)


def test_lstm_has_keras_gates_and_one_bias() -> None:
    kernel, recurrent, bias, x = draw(3, 8), draw(2, 8), draw(8), draw(1, 1, 3)

    y = run(
        filled(
            nn.LSTM(3, 2, batch_first=True), kernel=kernel, recurrent_kernel=recurrent, bias=bias
        ),
        x,
    )

    i, _, c, o = np.split(x[0, 0] @ kernel + bias, 4)
    np.testing.assert_allclose(y[0, 0], sigmoid(o) * np.tanh(sigmoid(i) * np.tanh(c)), rtol=1e-6)


def test_gru_brings_the_gates_into_torch_order() -> None:
    kernel, recurrent, bias, x = draw(3, 6), draw(2, 6), draw(2, 6), draw(1, 1, 3)

    y = run(
        filled(
            nn.GRU(3, 2, batch_first=True), kernel=kernel, recurrent_kernel=recurrent, bias=bias
        ),
        x,
    )

    # Keras with reset_after: h = tanh(x_h + r * (recurrent bias)), next = (1 - z) * h from a state of 0.
    z, r, h = np.split(x[0, 0] @ kernel + bias[0], 3)
    recurrent_bias = np.split(bias[1], 3)
    z, r = sigmoid(z + recurrent_bias[0]), sigmoid(r + recurrent_bias[1])
    np.testing.assert_allclose(y[0, 0], (1 - z) * np.tanh(h + r * recurrent_bias[2]), rtol=1e-6)


def test_batch_normalization_takes_its_four_arrays() -> None:
    gamma, beta, mean, variance, x = draw(3), draw(3), draw(3) + 1, draw(3) ** 2, draw(2, 3)

    module = filled(
        nn.BatchNorm1d(3), gamma=gamma, beta=beta, moving_mean=mean, moving_variance=variance
    )

    expected = (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta
    np.testing.assert_allclose(run(module, x), expected, rtol=1e-5)


def test_layers_and_directions_of_a_recurrent_module_are_places_of_their_own() -> None:
    places = find_places(nn.ModuleDict({"rnn": nn.LSTM(3, 2, num_layers=2, bidirectional=True)}))

    assert [place.path for place in places] == [
        "rnn.l0",
        "rnn.l0_reverse",
        "rnn.l1",
        "rnn.l1_reverse",
    ]


@pytest.mark.parametrize("shape", [(3, 4), (4, 4), (5,)], ids=["turned", "other size", "vector"])
def test_array_of_another_shape_has_no_layout(shape: tuple[int, ...]) -> None:
    [place] = find_places(nn.Linear(4, 3))

    assert place.slots[0].fitting(shape) == []
