from __future__ import annotations

import math
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch

from torch_impl.session_optimizers import AdamOptimizer, RMSPropOptimizer

OPTIMIZERS = {
    "adam": (AdamOptimizer, "AdamOptimizer", {"learning_rate": 3e-3, "epsilon": 1.5e-4}),
    "rmsprop": (
        RMSPropOptimizer,
        "RMSPropOptimizer",
        {"learning_rate": 3e-3, "decay": 0.95, "momentum": 0.5, "epsilon": 1e-2},
    ),
}
STEPS = 60


def gradients() -> Any:
    rng = np.random.default_rng(2)
    return rng.standard_normal((STEPS, 4)) * 10.0 ** rng.uniform(-6, 1, (STEPS, 4))


def torch_weights(name: str, dtype: torch.dtype) -> Any:
    made, _, options = OPTIMIZERS[name]
    weights = torch.tensor([1.0, -2.0, 0.5, 0.0], dtype=dtype, requires_grad=True)
    optimizer = made([weights], **options)
    for gradient in gradients():
        optimizer.apply_gradients([torch.tensor(gradient, dtype=dtype)])
    return weights.detach().numpy()


def session_weights(name: str, dtype: str) -> Any:
    tensorflow = pytest.importorskip("tensorflow").compat.v1
    _, made, options = OPTIMIZERS[name]
    with tensorflow.Graph().as_default(), tensorflow.Session() as session:
        weights = tensorflow.get_variable(
            "weights", initializer=np.array([1.0, -2.0, 0.5, 0.0], dtype), use_resource=True
        )
        gradient = tensorflow.placeholder(dtype, (4,))
        optimizer = getattr(tensorflow.train, made)(**options)
        step = optimizer.apply_gradients([(gradient, weights)])
        session.run(tensorflow.global_variables_initializer())
        for each in gradients():
            session.run(step, {gradient: each})
        return session.run(weights)


@pytest.mark.tf
@pytest.mark.parametrize(("dtype", "limit"), [("float64", 1e-15), ("float32", 1e-6)])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_sixty_steps_are_those_of_a_session(name: str, dtype: str, limit: float) -> None:
    found = torch_weights(name, getattr(torch, dtype))

    assert np.max(np.abs(found - session_weights(name, dtype))) <= limit


def test_epsilon_is_added_to_the_uncorrected_root() -> None:
    weight = torch.zeros(1, dtype=torch.float64, requires_grad=True)

    AdamOptimizer([weight], 0.5, epsilon=1.0).apply_gradients([torch.ones(1, dtype=torch.float64)])

    root = math.sqrt(0.001)
    assert weight.item() == pytest.approx(-0.5 * root / 0.1 * 0.1 / (root + 1.0), rel=1e-4)


def test_powers_of_beta_are_those_that_a_checkpoint_holds() -> None:
    weight = torch.zeros(1, requires_grad=True)
    optimizer = AdamOptimizer([weight])

    optimizer.apply_gradients([torch.ones(1)])

    [group] = optimizer.param_groups
    assert group["beta1_power"] == pytest.approx(0.81, rel=1e-6)
    assert group["beta2_power"] == pytest.approx(0.998001, rel=1e-6)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_loaded_state_trains_on_bit_by_bit(name: str) -> None:
    made, _, options = OPTIMIZERS[name]
    weights = [torch.tensor([1.0, 2.0], requires_grad=True) for _ in range(2)]
    optimizers = [made([weight], **options) for weight in weights]
    optimizers[0].apply_gradients([torch.tensor([0.3, -2.0])])

    # torch shares the tensors of a state that was not in a file.
    optimizers[1].load_state_dict(deepcopy(optimizers[0].state_dict()))
    weights[1].data.copy_(weights[0].data)
    for optimizer in optimizers:
        optimizer.apply_gradients([torch.tensor([-0.1, 0.7])])

    assert torch.equal(*weights)


def test_step_uses_the_gradients_of_the_parameters_and_skips_those_without() -> None:
    with_gradient, without = (torch.ones(2, requires_grad=True) for _ in range(2))
    optimizer = AdamOptimizer([with_gradient, without], 0.1)
    with_gradient.grad = torch.ones(2)

    optimizer.step()

    assert torch.allclose(with_gradient, torch.full((2,), 0.9), atol=1e-5)
    assert torch.equal(without, torch.ones(2))
