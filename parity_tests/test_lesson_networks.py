"""The lesson's networks and `normalize_states` on both sides: outputs, training steps, and Keras files of them converted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import torchward
from parity_tests.compare import compare
from parity_tests.tolerances import find_tolerance
from torch_impl import lesson_networks as torch_networks
from torch_impl.networks import read_weights as read_torch
from torch_impl.networks import write_weights as write_torch
from torch_impl.normalizer import normalize_states

pytestmark = pytest.mark.tf

NETWORKS: dict[str, tuple[str, tuple[int, ...], int]] = {
    "value": ("ValueNetwork", (4,), 4),
    "q": ("QNetwork", (4, 3, 16), 4),
    "dueling": ("DuelingQNetwork", (4, 3, 16), 4),
    "xor": ("XorNetwork", (5,), 2),
    "line": ("LineNetwork", (), 1),
}
"""Name, arguments and numbers of an input."""
STEPS = 20
"""Of stochastic gradient descent."""
CASES = pytest.mark.parametrize("name", NETWORKS)
DTYPES = pytest.mark.parametrize("dtype", ["float64", "float32"])


@pytest.fixture(scope="module")
def legacy_networks() -> Any:
    from legacy_tf import lesson_networks

    return lesson_networks


def make(module: Any, name: str, dtype: str) -> Any:
    function, arguments, _ = NETWORKS[name]
    return getattr(module, function)(*arguments, dtype=dtype, seed=3)


def same_weights(legacy: Any, torch_network: nn.Module) -> None:
    """Give the network of torch the weights of that of Keras: dense layers have the same names in both."""
    write_torch(torch_network, {v.path: np.array(v) for v in legacy.trainable_variables})


def inputs(name: str, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs and what the outputs shall become, in (0, 1)."""
    rng = np.random.default_rng(8)
    x = rng.standard_normal((9, NETWORKS[name][2])).astype(dtype)
    outputs = make(torch_networks, name, dtype)(torch.from_numpy(x)).shape
    return x, rng.uniform(size=outputs).astype(dtype)


def assert_equal(name: str, legacy: Any, ours: Any, quantity: str, dtype: str) -> None:
    comparison = compare(name, np.array(legacy), np.array(ours), find_tolerance(quantity, dtype))
    assert comparison.in_parity, "\n".join(comparison.lines())


@CASES
@DTYPES
def test_both_sides_compute_the_same(name: str, dtype: str, legacy_networks: Any) -> None:
    legacy, ours = make(legacy_networks, name, dtype), make(torch_networks, name, dtype)
    same_weights(legacy, ours)
    x, _ = inputs(name, dtype)

    with torch.no_grad():
        assert_equal(name, legacy(x), ours(torch.from_numpy(x)), "forward", dtype)


@CASES
@DTYPES
def test_both_sides_learn_the_same(name: str, dtype: str, legacy_networks: Any) -> None:
    import tensorflow as tf

    legacy, ours = make(legacy_networks, name, dtype), make(torch_networks, name, dtype)
    same_weights(legacy, ours)
    x, target = inputs(name, dtype)
    optimizer = torch.optim.SGD(ours.parameters(), lr=0.1)

    for _ in range(STEPS):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(legacy(x) - target))
        gradients = tape.gradient(loss, legacy.trainable_variables)
        for variable, gradient in zip(legacy.trainable_variables, gradients, strict=True):
            variable.assign_sub(0.1 * gradient)
        optimizer.zero_grad()
        nn.functional.mse_loss(ours(torch.from_numpy(x)), torch.from_numpy(target)).backward()
        optimizer.step()

    learnt = read_torch(dict(ours.named_parameters()))
    for variable in legacy.trainable_variables:
        assert_equal(variable.path, variable, learnt[variable.path], "update", dtype)


@pytest.mark.parametrize("name", ["xor", "line"])
def test_small_networks_start_from_the_same_weights(name: str, legacy_networks: Any) -> None:
    legacy = make(legacy_networks, name, "float64")
    ours = read_torch(dict(make(torch_networks, name, "float64").named_parameters()))

    assert {v.path for v in legacy.trainable_variables} == set(ours)
    for variable in legacy.trainable_variables:
        np.testing.assert_array_equal(np.array(variable), ours[variable.path])


@CASES
def test_keras_files_convert_and_their_weights_fit(
    name: str, tmp_path: Path, legacy_networks: Any
) -> None:
    legacy = make(legacy_networks, name, "float32")
    x, _ = inputs(name, "float32")
    legacy.save(tmp_path / "network.keras")

    torchward.convert(tmp_path / "network.keras", tmp_path / "network.pth")
    converted = torchward.load(tmp_path / "network.pth")
    ours = make(torch_networks, name, "float32")
    ours.load_state_dict(converted.state_dict())

    with torch.no_grad():
        outputs = [network(torch.from_numpy(x)) for network in (converted, ours)]
    for output in outputs:
        assert_equal(name, legacy(x), output, "forward", "float32")


def test_a_keras_file_goes_into_the_network_by_its_name(
    tmp_path: Path, legacy_networks: Any
) -> None:
    legacy = make(legacy_networks, "q", "float32")
    legacy.save(tmp_path / "network.keras")

    torchward.convert(
        tmp_path / "network.keras",
        tmp_path / "network.pth",
        into="torch_impl.lesson_networks:QNetwork",
        settings={"state_dim": 4, "action_dim": 3, "hidden_dim": 16},
    )

    ours = torch_networks.QNetwork(4, 3, 16)
    stored = torch.load(tmp_path / "network.pth", weights_only=True)
    ours.load_state_dict(stored["model_state_dict"])
    x, _ = inputs("q", "float32")
    with torch.no_grad():
        assert_equal("q", legacy(x), ours(torch.from_numpy(x)), "forward", "float32")


def test_a_transposed_kernel_is_noticed(legacy_networks: Any) -> None:
    legacy, ours = (make(m, "q", "float64") for m in (legacy_networks, torch_networks))
    same_weights(legacy, ours)
    x, _ = inputs("q", "float64")
    with torch.no_grad():
        ours.fc2.weight.copy_(ours.fc2.weight.T.clone())
        found = compare(
            "q",
            np.array(legacy(x)),
            ours(torch.from_numpy(x)).numpy(),
            find_tolerance("forward", "float64"),
        )

    assert not found.in_parity


@DTYPES
def test_states_are_normalized_alike(dtype: str) -> None:
    from legacy_tf.normalizer import normalize_states as normalize_legacy

    states = np.random.default_rng(1).normal(5, 10, (50, 4)).astype(dtype)
    states[:, 2] = 0.1

    for rows in (states, states[:1]):
        legacy, ours = normalize_legacy(rows), normalize_states(torch.from_numpy(rows))
        assert_equal("states", legacy, ours, "forward", dtype)
