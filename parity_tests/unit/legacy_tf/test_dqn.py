from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from experience.agent import Batch

pytest.importorskip("tensorflow")
pytestmark = pytest.mark.tf

import keras  # noqa: E402  only where TensorFlow is
import tensorflow as tf  # noqa: E402

from legacy_tf.dqn import DQNAgent, DQNetwork  # noqa: E402
from legacy_tf.losses import TensorBatch, q_learning_loss, q_learning_target  # noqa: E402

SMALL: dict[str, Any] = {
    "state_size": 4,
    "action_size": 3,
    "hidden_sizes": (7, 5, 6),
    "batch_size": 8,
    "memory_size": 20,
}


def make_agent(**settings: Any) -> DQNAgent:
    return DQNAgent(**{**SMALL, **settings})


def make_batch(seed: int = 0, *, rows: int = 8) -> Batch:
    rng = np.random.default_rng(seed)
    return Batch(
        rng.normal(size=(rows, 4)),
        rng.integers(3, size=rows),
        rng.normal(size=rows),
        rng.normal(size=(rows, 4)),
        rng.random(rows) < 0.3,
    )


def constant_network(*values: float) -> keras.Model:
    """Return a network whose values are the same in every state."""
    network = DQNetwork(2, len(values), hidden_sizes=(3,), dtype="float64")
    layer = network.get_layer("fc2")
    layer.set_weights([np.zeros((3, len(values))), np.array(values)])
    return network


def one_transition(reward: float, *, terminated: bool) -> TensorBatch:
    state = tf.ones((1, 2), tf.float64)
    number, end = (tf.constant([x], tf.float64) for x in (reward, float(terminated)))
    return TensorBatch(state, tf.constant([1]), number, state, end)


def same_weights(left: DQNAgent, right: DQNAgent) -> bool:
    found, needed = left.get_weights(), right.get_weights()
    return all(np.array_equal(found[name], needed[name]) for name in needed)


@pytest.mark.parametrize(
    ("hidden_sizes", "count"),
    [((128, 64, 32), 12_165), ((128, 64), 10_245)],
    ids=["agent", "guide"],
)
def test_parameter_counts_are_those_of_the_guide(hidden_sizes: tuple[int, ...], count: int) -> None:
    assert DQNetwork(hidden_sizes=hidden_sizes).count_params() == count


def test_network_is_an_ordinary_functional_model_without_lambda() -> None:
    network = DQNetwork(4, 3, hidden_sizes=(7, 5), dueling=True)

    assert type(network).__name__ == "Functional"
    assert {type(layer).__name__ for layer in network.layers} == {
        "InputLayer",
        "Dense",
        "Dropout",
        "Reshape",
        "GlobalAveragePooling1D",
        "Subtract",
        "Add",
    }


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_weight_and_optimizer_slot_has_the_dtype_of_the_agent(dtype: str) -> None:
    agent = make_agent(dtype=dtype)

    slots = [v for v in agent.optimizer.variables if "momentum" in v.path or "velocity" in v.path]
    assert {v.dtype for v in [*agent.q_network.trainable_variables, *slots]} == {dtype}


def test_initial_kernels_are_he_normal_without_truncation() -> None:
    kernel = DQNetwork(400, hidden_sizes=(300,)).get_layer("fc1").kernel.numpy()
    deviation = (2 / 400) ** 0.5

    assert kernel.std() == pytest.approx(deviation, rel=0.01)
    assert np.abs(kernel).max() > 4 * deviation


def test_dueling_values_are_value_plus_centred_advantage() -> None:
    network = DQNetwork(2, 3, hidden_sizes=(4,), dueling=True, dtype="float64")
    network.get_layer("advantage").set_weights([np.zeros((4, 3)), np.array([1.0, 2.0, 6.0])])
    network.get_layer("value").set_weights([np.zeros((4, 1)), np.array([10.0])])

    assert network(np.ones((1, 2))).numpy().tolist() == [[8.0, 9.0, 13.0]]


@pytest.mark.parametrize(
    ("double", "terminated", "target"),
    [(False, False, 1 + 0.5 * 9), (True, False, 1 + 0.5 * 4), (False, True, 1), (True, True, 1)],
    ids=["plain", "double", "plain-end", "double-end"],
)
def test_target_bootstraps_from_the_right_network(
    double: bool, terminated: bool, target: float
) -> None:
    online, frozen = constant_network(1, 2, 3), constant_network(9, 5, 4)
    batch = one_transition(1.0, terminated=terminated)

    found = q_learning_target(online, frozen, batch, gamma=0.5, double=double)

    assert found.numpy().tolist() == [target]


@pytest.mark.parametrize(
    ("loss", "reward", "value"),
    [("mse", 2.5, 0.25), ("huber", 2.5, 0.125), ("mse", 5.0, 9.0), ("huber", 5.0, 2.5)],
)
def test_loss_is_that_of_the_chosen_action(loss: str, reward: float, value: float) -> None:
    online = constant_network(1, 2, 3)
    batch = one_transition(reward, terminated=True)

    found = q_learning_loss(online, online, batch, {}, gamma=0.9, double=False, loss=loss)

    assert float(found) == value


def test_every_dropout_layer_may_have_its_own_rate() -> None:
    network = DQNetwork(4, 3, hidden_sizes=(7, 5, 6), dropout=(0.5, 0.0))

    assert [network.get_layer(f"dropout{index}").rate for index in (1, 2)] == [0.5, 0.0]


@pytest.mark.parametrize("settings", [{}, {"dueling": True, "double": True, "loss": "huber"}])
def test_all_call_styles_give_the_same_update(settings: dict[str, Any]) -> None:
    agents = {
        s: make_agent(**settings, dropout=0.0, style=s)
        for s in ("function", "train_on_batch", "fit")
    }
    for seed in range(3):
        losses = {s: agent.update(make_batch(seed))["loss"] for s, agent in agents.items()}

    weights = {style: agent.get_weights() for style, agent in agents.items()}
    for style in ("train_on_batch", "fit"):
        assert losses[style] == pytest.approx(losses["function"], rel=1e-5)
        for name, array in weights["function"].items():
            np.testing.assert_allclose(weights[style][name], array, rtol=0, atol=1e-6)
    assert not same_weights(agents["function"], make_agent(**settings, dropout=0.0))


def test_keras_step_in_float64_is_not_rounded_to_float32() -> None:
    agents = [
        make_agent(dropout=0.0, dtype="float64", style=s) for s in ("function", "train_on_batch")
    ]
    for agent in agents:
        agent.update(make_batch())

    function, keras_step = (agent.get_weights()["fc1/kernel"] for agent in agents)
    np.testing.assert_allclose(keras_step, function, rtol=0, atol=1e-14)


@pytest.mark.parametrize("style", ["function", "train_on_batch", "fit"])
def test_action_is_greedy_in_every_call_style(style: str) -> None:
    agent, states = make_agent(style=style), np.random.default_rng(0).normal(size=(6, 4))

    actions = agent.act(states, np.random.default_rng(0), explore=False)

    assert actions.tolist() == agent.get_q_values(states).argmax(axis=1).tolist()
    assert agent.act(states[0], np.random.default_rng(0), explore=False).shape == ()


def test_style_that_cannot_do_it_refuses_noise_and_float64() -> None:
    with pytest.raises(ValueError, match="feed noise with style='function'"):
        make_agent(style="fit").update(make_batch(), {})
    with pytest.raises(ValueError, match="feeds its arrays as float32"):
        make_agent(style="fit", dtype="float64")
    with pytest.raises(ValueError, match="needed one of function, train_on_batch, fit"):
        make_agent(style="eager")


def test_replay_waits_for_a_batch_and_then_decays_epsilon() -> None:
    agent, rng = make_agent(), np.random.default_rng(0)
    for _ in range(7):
        agent.remember(rng.normal(size=4), 1, 1.0, rng.normal(size=4), terminated=False)

    assert agent.replay(rng) == 0.0
    agent.remember(rng.normal(size=4), 1, 1.0, rng.normal(size=4), terminated=False)
    assert agent.replay(rng) > 0.0
    assert agent.epsilon == 0.995


def test_target_network_changes_only_when_it_is_copied() -> None:
    agent = make_agent()
    before = agent.target_network.get_layer("fc1").kernel.numpy()

    agent.update(make_batch())

    assert np.array_equal(agent.target_network.get_layer("fc1").kernel.numpy(), before)
    agent.update_target()
    assert np.array_equal(
        agent.target_network.get_layer("fc1").kernel.numpy(), agent.get_weights()["fc1/kernel"]
    )


@pytest.mark.parametrize(
    "settings", [{"dropout": (0.5, 0.0)}, {"double": True, "dueling": True, "style": "fit"}]
)
def test_saved_agent_trains_on_bit_by_bit(settings: dict[str, Any], tmp_path: Path) -> None:
    agent = make_agent(**settings)
    for seed in range(3):
        agent.update(make_batch(seed))
    agent.update_target()
    agent.update(make_batch(3))
    agent.epsilon = 0.25
    agent.save(tmp_path / "agent")

    loaded = DQNAgent.load(tmp_path / "agent")

    assert (loaded.configuration, loaded.epsilon) == (agent.configuration, 0.25)
    for seed in range(4, 6):
        assert loaded.update(make_batch(seed)) == agent.update(make_batch(seed))
    assert same_weights(loaded, agent)


def test_weights_under_the_name_of_the_guide_are_refused_with_the_remedy(tmp_path: Path) -> None:
    agent, other = make_agent(seed=1), make_agent(seed=2)

    with pytest.raises(ValueError, match=r"use model\.weights\.h5"):
        agent.save_weights(tmp_path / "model.h5")
    agent.save_weights(tmp_path / "model.weights.h5")
    other.load_weights(tmp_path / "model.weights.h5")
    assert same_weights(other, agent)


def test_device_information_names_the_processor() -> None:
    info = make_agent().get_device_info()

    assert {"device_type", "is_cuda"} <= set(info)


def masks(rng: np.random.Generator) -> dict[str, NDArray[np.floating]]:
    units = {"dropout1": 128, "dropout2": 64}
    return {name: (rng.random((32, size)) >= 0.2) / 0.8 for name, size in units.items()}


def train_pair(legacy: Any, torch: Any, updates: int) -> float:
    """Feed both the same batches and masks; return the largest difference over the largest weight of its array."""
    rng = np.random.default_rng(7)
    torch.set_weights(legacy.get_weights())
    torch.update_target()
    for index in range(updates):
        batch = Batch(
            2 * rng.normal(size=(32, 12)),
            rng.integers(5, size=32),
            rng.normal(size=32),
            2 * rng.normal(size=(32, 12)),
            rng.random(32) < 0.1,
        )
        noise = masks(rng)
        for agent in (legacy, torch):
            agent.update(batch, copy.deepcopy(noise))
            if index % 20 == 19:
                agent.update_target()
    found, needed = torch.get_weights(), legacy.get_weights()
    return max(float(np.abs(found[n] - w).max() / np.abs(w).max()) for n, w in needed.items())


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"double": True},
        {"dueling": True},
        {"loss": "huber"},
        {"double": True, "dueling": True, "loss": "huber", "gradient_clip": None},
    ],
    ids=["plain", "double", "dueling", "huber", "all"],
)
def test_200_float64_updates_end_where_the_rewrite_ends(settings: dict[str, Any]) -> None:
    from torch_impl.dqn import DQNAgent as TorchAgent

    legacy = DQNAgent(**settings, dtype="float64")
    torch = TorchAgent(**settings, dtype="float64", device="cpu")

    assert train_pair(legacy, torch, 200) < 1e-12


@pytest.mark.parametrize(
    "fault",
    [{"gamma": 0.9500001}, {"gradient_clip": 1.00001}, {"double": True}, {"loss": "huber"}],
    ids=["gamma", "clipping", "double", "loss"],
)
def test_planted_difference_between_the_sides_is_seen(fault: dict[str, Any]) -> None:
    from torch_impl.dqn import DQNAgent as TorchAgent

    legacy = DQNAgent(dtype="float64")
    torch = TorchAgent(**fault, dtype="float64", device="cpu")

    assert train_pair(legacy, torch, 40) > 1e-12
