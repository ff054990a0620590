from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from parity_tests.unit.torch_impl.small_dqn import make_agent, make_batch, same_weights
from torch_impl.dqn import DQNAgent


def fill(agent: DQNAgent, count: int) -> None:
    rng = np.random.default_rng(0)
    for _ in range(count):
        agent.remember(rng.normal(size=4), int(rng.integers(3)), 1.0, rng.normal(size=4), False)


def test_gradient_reaches_the_chosen_action_only() -> None:
    batch = make_batch()._replace(action=np.full(8, 1))

    _, gradients = make_agent().loss_and_gradients(batch)

    assert np.flatnonzero(gradients["fc4/bias"]).tolist() == [1]


def test_loss_and_gradients_change_nothing() -> None:
    agent, untouched = make_agent(), make_agent()

    agent.loss_and_gradients(make_batch())

    assert same_weights(agent, untouched)
    assert agent.optimizer.state_dict()["state"] == {}


def test_gradient_agrees_with_differences_of_the_loss() -> None:
    agent = make_agent(dtype="float64", dropout=0.0, loss="huber")
    _, gradients = agent.loss_and_gradients(make_batch())
    weights = agent.get_weights()
    step = 1e-6
    losses = []
    for sign in (1, -1):
        moved = weights["fc2/kernel"].copy()
        moved[4, 2] += sign * step
        agent.set_weights({**weights, "fc2/kernel": moved})
        losses.append(agent.loss_and_gradients(make_batch())[0])

    assert (losses[0] - losses[1]) / (2 * step) == pytest.approx(
        gradients["fc2/kernel"][4, 2], rel=1e-6
    )


def test_masks_of_ones_switch_dropout_off() -> None:
    ones = {"dropout1": np.ones((8, 7)), "dropout2": np.ones((8, 5))}

    masked = make_agent().loss_and_gradients(make_batch(), ones)[0]

    assert masked == make_agent(dropout=0.0).loss_and_gradients(make_batch())[0]
    assert masked != make_agent().loss_and_gradients(make_batch())[0]


@pytest.mark.parametrize(
    "noise",
    [
        {},
        {"dropout1": np.ones((8, 7))},
        {"dropout1": np.ones((8, 7)), "dropout2": np.ones((5, 8))},
        {"dropout1": np.ones((8, 7)), "dropout2": np.ones((8, 5)), "dropout3": np.ones((8, 6))},
    ],
    ids=["none", "one-missing", "transposed", "one-too-many"],
)
def test_noise_that_does_not_fit_is_refused(noise: dict[str, NDArray[np.floating]]) -> None:
    with pytest.raises(ValueError, match="noise arrays do not fit"):
        make_agent().update(make_batch(), noise)


def test_weights_have_keras_names_and_layout() -> None:
    weights = make_agent().get_weights()

    assert {name: array.shape for name, array in weights.items()} == {
        "fc1/kernel": (4, 7),
        "fc1/bias": (7,),
        "fc2/kernel": (7, 5),
        "fc2/bias": (5,),
        "fc3/kernel": (5, 6),
        "fc3/bias": (6,),
        "fc4/kernel": (6, 3),
        "fc4/bias": (3,),
    }


def test_set_weights_makes_the_same_values_and_leaves_the_target_alone() -> None:
    agent, other = make_agent(seed=1), make_agent(seed=2)
    state = np.arange(4.0)

    agent.set_weights(other.get_weights())

    assert np.array_equal(agent.get_q_values(state), other.get_q_values(state))
    before = agent.target_network.state_dict()["fc1.weight"].clone()
    agent.update_target()
    assert not torch.equal(agent.target_network.state_dict()["fc1.weight"], before)


def test_weights_that_do_not_fit_are_all_named_and_nothing_changes() -> None:
    agent, untouched = make_agent(), make_agent()
    weights = make_agent(seed=5).get_weights()
    weights["fc1/kernel"] = weights["fc1/kernel"].T
    del weights["fc4/bias"]

    with pytest.raises(ValueError, match=r"fc1/kernel found \(7, 4\), needed \(4, 7\).*fc4/bias"):
        agent.set_weights(weights)
    assert same_weights(agent, untouched)


def test_defaults_are_those_of_the_guides_agent() -> None:
    defaults = {
        "state_size": 12,
        "action_size": 5,
        "hidden_sizes": (128, 64, 32),
        "dropout": 0.2,
        "learning_rate": 0.001,
        "gamma": 0.95,
        "epsilon": 1.0,
        "epsilon_min": 0.01,
        "epsilon_decay": 0.995,
        "batch_size": 32,
        "memory_size": 10_000,
        "gradient_clip": 1.0,
        "loss": "mse",
        "double": False,
        "dueling": False,
    }
    parameters = inspect.signature(DQNAgent).parameters

    assert {name: parameters[name].default for name in defaults} == defaults


def test_the_oldest_transitions_leave_a_full_memory() -> None:
    agent = make_agent(memory_size=20)

    fill(agent, 25)

    assert len(agent.memory) == 20


def test_replay_waits_for_a_batch_and_then_decays_epsilon() -> None:
    agent, rng = make_agent(), np.random.default_rng(0)
    fill(agent, 7)

    assert agent.replay(rng) == 0.0
    assert agent.epsilon == 1.0
    fill(agent, 1)
    assert agent.replay(rng) > 0.0
    assert agent.epsilon == 0.995


def test_epsilon_ends_just_under_its_minimum_after_919_replays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    agent, rng = make_agent(), np.random.default_rng(0)
    fill(agent, 8)
    monkeypatch.setattr(agent, "update", lambda _: {"loss": 1.0})

    for _ in range(1000):
        agent.replay(rng)

    assert agent.epsilon == pytest.approx(0.00998645, abs=5e-9)


def test_many_updates_at_once_are_as_many_replays() -> None:
    agents = [make_agent(), make_agent()]
    for agent in agents:
        fill(agent, 20)
    generators = [np.random.default_rng(1) for _ in agents]

    losses = [agents[0].replay(generators[0]) for _ in range(9)]
    mean = agents[1].update_many(9, generators[1])

    assert mean == pytest.approx(np.mean(losses), rel=1e-6)
    assert same_weights(*agents)
    assert agents[1].epsilon == agents[0].epsilon
    assert generators[0].random() == generators[1].random()


def test_many_updates_wait_for_a_batch() -> None:
    assert make_agent().update_many(3, np.random.default_rng(0)) == 0.0


def test_target_network_changes_only_when_it_is_copied() -> None:
    agent = make_agent()
    before = agent.target_network.state_dict()["fc1.weight"].clone()

    agent.update(make_batch())

    assert torch.equal(agent.target_network.state_dict()["fc1.weight"], before)
    agent.update_target()
    for name, tensor in agent.q_network.state_dict().items():
        assert torch.equal(agent.target_network.state_dict()[name], tensor)


def test_update_does_not_touch_the_global_generator() -> None:
    before = torch.get_rng_state()

    make_agent().update(make_batch())

    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("shape", [(4,), (1, 4), (6, 4)], ids=["one", "batch-of-one", "batch"])
def test_actions_have_the_batch_shape_of_the_observations(shape: tuple[int, ...]) -> None:
    agent, rng = make_agent(epsilon=0.5), np.random.default_rng(0)

    assert agent.act(np.ones(shape), rng, explore=True).shape == shape[:-1]
    assert agent.act(np.ones(shape), rng, explore=False).shape == shape[:-1]


def test_greedy_action_has_the_highest_value() -> None:
    agent, states = make_agent(), np.random.default_rng(1).normal(size=(50, 4))

    actions = agent.act(states, np.random.default_rng(0), explore=False)

    assert actions.tolist() == agent.get_q_values(states).argmax(axis=1).tolist()
    assert len(set(actions.tolist())) > 1


@pytest.mark.parametrize("shape", [(3,), (2, 5), (2, 2, 4), ()])
def test_observation_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"needed \(4,\) or \(batch, 4\)"):
        make_agent().get_q_values(np.ones(shape))


def test_explanation_has_the_keys_of_the_guide() -> None:
    explanation = make_agent().get_action_explanation(np.ones(4))

    assert list(explanation) == [
        "action",
        "difficulty",
        "q_values",
        "confidence",
        "exploration_rate",
    ]


def test_device_information_names_the_processor() -> None:
    assert make_agent().get_device_info() == {"device_type": "cpu", "is_cuda": False}


def test_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'toaster' is not available.*device='auto'"):
        make_agent(device="toaster")


@pytest.mark.parametrize("settings", [{}, {"double": True, "dueling": True, "loss": "huber"}])
def test_saved_agent_trains_on_bit_by_bit(settings: dict[str, Any], tmp_path: Path) -> None:
    agent = make_agent(**settings)
    for seed in range(3):
        agent.update(make_batch(seed))
    agent.update_target()
    agent.update(make_batch(3))
    agent.epsilon = 0.25
    agent.history["rewards"].append(1.5)
    agent.save(tmp_path / "agent")

    loaded = DQNAgent.load(tmp_path / "agent", device="cpu")

    assert loaded.configuration == agent.configuration
    assert (loaded.epsilon, loaded.history) == (0.25, agent.history)
    for seed in range(4, 7):
        assert loaded.update(make_batch(seed)) == agent.update(make_batch(seed))
    assert same_weights(loaded, agent)


def test_saving_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    agent = make_agent()
    agent.update(make_batch())

    agent.save(tmp_path / "one")
    agent.save(tmp_path / "another.name.pth")

    assert (tmp_path / "one.pth").read_bytes() == (tmp_path / "another.name.pth").read_bytes()


def test_settings_of_the_caller_win_over_the_file(tmp_path: Path) -> None:
    make_agent(learning_rate=0.5).save(tmp_path / "agent")

    loaded = DQNAgent.load(tmp_path / "agent", device="cpu", learning_rate=0.25, epsilon=0.1)

    assert (loaded.optimizer.param_groups[0]["lr"], loaded.epsilon) == (0.25, 0.1)
