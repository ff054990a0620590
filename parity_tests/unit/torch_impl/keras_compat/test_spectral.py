from __future__ import annotations

import numpy as np
import torch
from torch import nn

from torch_impl.keras_compat.spectral import SpectralNorm


def test_trained_weight_has_a_largest_singular_value_of_one() -> None:
    torch.manual_seed(0)
    layer = SpectralNorm(nn.Conv2d(2, 5, 3), power_iterations=60).double().train()

    layer(torch.zeros(1, 2, 4, 4, dtype=torch.float64))

    weight = layer.layer.get_parameter("weight").detach().numpy().reshape(5, -1)
    assert abs(np.linalg.norm(weight, 2) - 1) < 1e-6


def test_evaluation_leaves_weight_and_vector_alone() -> None:
    layer = SpectralNorm(nn.Linear(4, 3)).eval()
    before = {name: value.clone() for name, value in layer.state_dict().items()}

    layer(torch.ones(2, 4))

    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())


def test_weight_of_zeros_stays_and_so_does_the_vector() -> None:
    layer = SpectralNorm(nn.Linear(4, 3)).train()
    layer.layer.get_parameter("weight").data.zero_()
    before = layer.vector_u.clone()

    y = layer(torch.ones(2, 4))

    assert torch.isfinite(y).all()
    assert torch.equal(layer.vector_u, before)


def test_gradient_is_that_of_the_divided_weight() -> None:
    layer, x = SpectralNorm(nn.Linear(4, 3)).train(), torch.ones(2, 4)

    layer(x).sum().backward()

    gradient = layer.layer.get_parameter("weight").grad
    assert gradient is not None
    assert torch.equal(gradient, torch.full((3, 4), 2.0))  # of W x alone: no term of the division
