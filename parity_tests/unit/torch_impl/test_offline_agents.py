from __future__ import annotations

import importlib
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from experience.agent import Batch  # noqa: E402
from experience.offline_data import ReplayBuffer, make_episode  # noqa: E402
from experience.offline_settings import D3RLPY_ALGORITHMS  # noqa: E402
from torch_impl.checkpoints import CheckpointError  # noqa: E402
from torch_impl.offline_cloning import BehavioralCloning  # noqa: E402
from torch_impl.offline_dqn import DiscreteBCQ, DiscreteCQL, OfflineDQN  # noqa: E402

NAMES = tuple(D3RLPY_ALGORITHMS)


def find_class(name: str) -> Any:
    ours = D3RLPY_ALGORITHMS[name]
    return getattr(importlib.import_module(f"torch_impl.{ours.module}"), ours.name)


def make(name: str, **settings: Any) -> Any:
    return find_class(name)(4, 3, **{"hidden_sizes": [7, 5], "batch_size": 11, **settings})


def buffer_for(agent: Any, *, episodes: int = 3, seed: int = 0) -> ReplayBuffer:
    rng, steps = np.random.default_rng(seed), 30
    recorded = []
    for _ in range(episodes):
        actions = rng.integers(3, size=steps) if agent.discrete else rng.uniform(-1, 1, (steps, 3))
        ends = np.arange(steps) == steps - 1
        recorded.append(
            make_episode(rng.standard_normal((steps + 1, 4)), actions, rng.standard_normal(steps),
                         ends, np.zeros(steps, bool))
        )  # fmt: skip
    return ReplayBuffer(recorded)


def test_guide_network_has_the_parameters_that_the_guide_counts() -> None:
    agent = OfflineDQN(obs_dim=1, action_dim=3)

    assert sum(p.numel() for p in agent.q_network.parameters()) == 67_075
    assert (agent.settings["lr"], agent.settings["gamma"]) == (3e-4, 0.99)


def test_first_weights_are_those_of_torchs_own_layers() -> None:
    weight = OfflineDQN(9, 3, seed=4).q_network.fc1.weight.detach()

    # uniform in +-1/3: all within, standard deviation 1/3 / sqrt(3)
    assert weight.abs().max() <= 1 / 3
    assert abs(weight.std().item() - 1 / 3 / 3**0.5) < 0.01


@pytest.mark.parametrize("name", NAMES)
def test_predict_takes_one_observation_or_several(name: str) -> None:
    agent = make(name)
    rows = np.random.default_rng(0).standard_normal((5, 4))

    several, single = agent.predict(rows), agent.predict(rows[2])

    assert several.shape == ((5,) if agent.discrete else (5, 3))
    np.testing.assert_allclose(single, several[2], rtol=1e-6)
    if agent.discrete:
        assert several.dtype == np.int64


def test_wrong_observation_is_refused() -> None:
    with pytest.raises(ValueError, match=r"needed \(4,\) or \(batch, 4\)"):
        make("DQN").predict(np.zeros(3))


def test_wrong_batches_are_refused() -> None:
    rows = np.zeros((2, 4))
    batch = Batch(rows, np.array([0, 3]), np.zeros(2), rows, np.zeros(2, bool))

    with pytest.raises(ValueError, match="actions from 0 to 3; needed 0 to 2"):
        make("DQN").update(batch)
    with pytest.raises(ValueError, match=r"action found \(2,\), needed \(2, 3\)"):
        make("IQL").update(batch)


def test_a_buffer_of_other_transitions_is_refused() -> None:
    agent, rng = make("DQN"), np.random.default_rng(0)
    others = {
        "actions from 3 to 3; needed 0 to 2": (4, np.full(30, 3)),
        r"observation of shape \(11, 5\); needed": (5, np.zeros(30, int)),
    }

    for message, (size, actions) in others.items():
        episode = make_episode(
            np.zeros((31, size)), actions, np.zeros(30), np.zeros(30), np.zeros(30)
        )
        with pytest.raises(ValueError, match=message):
            agent.update_many(ReplayBuffer([episode]), 2, rng)


# CQL is left out: its policy and temperature move what its critics are measured by.
@pytest.mark.parametrize("name", [name for name in NAMES if name != "CQL"])
def test_updates_lower_the_loss_of_a_fixed_batch(name: str) -> None:
    agent = make(name, lr=1e-2, dtype="float64")
    batch = buffer_for(agent).sample(11, np.random.default_rng(0))
    noise = agent.draw_noise(11)
    key = {"TD3PlusBC": "critic_loss", "IQL": "q_loss"}.get(name, "loss")

    losses = [agent.update(batch, noise)[key] for _ in range(40)]

    assert losses[-1] < losses[0]
    assert np.isfinite(losses).all()


@pytest.mark.slow
def test_q_learning_reaches_the_value_of_a_known_chain() -> None:
    # Two states, one action each: 1 -> 2 pays 1, 2 -> end pays 2. Q(1) = 1 + 0.5 * 2, Q(2) = 2.
    first, second = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])
    batch = Batch(
        np.concatenate([first, second]), np.zeros(2, np.int64), np.array([1.0, 2.0]),
        np.concatenate([second, first]), np.array([False, True]),
    )  # fmt: skip
    agent = OfflineDQN(2, 1, lr=1e-2, gamma=0.5, hidden_sizes=[16], dtype="float64")

    for number in range(300):
        agent.update(batch)
        if number % 10 == 0:
            agent.update_target_network()

    np.testing.assert_allclose(agent.get_q_values(batch.observation)[:, 0], [2.0, 2.0], atol=0.05)


def test_target_network_moves_only_when_it_is_copied() -> None:
    agent = make("DQN", lr=1e-2)
    before = agent.target_network.fc1.weight.detach().clone()

    agent.update_many(buffer_for(agent), 5, np.random.default_rng(0))

    assert torch.equal(agent.target_network.fc1.weight, before)
    assert not torch.equal(agent.q_network.fc1.weight, before)
    agent.update_target_network()
    assert torch.equal(agent.target_network.fc1.weight, agent.q_network.fc1.weight)


def test_soft_targets_follow_by_tau() -> None:
    agent = make("IQL", tau=0.25, dtype="float64")
    before = agent.read_variables()

    agent.update_many(buffer_for(agent), 1, np.random.default_rng(0))

    after = agent.read_variables()
    name = "critic_2/fc1/kernel"
    expected = 0.75 * before[f"target_{name}"] + 0.25 * after[name]
    np.testing.assert_allclose(after[f"target_{name}"], expected, rtol=1e-13)


def test_td3_bc_moves_its_policy_at_every_second_update() -> None:
    agent = make("TD3PlusBC")
    buffer, rng = buffer_for(agent), np.random.default_rng(0)

    figures = [agent.update(buffer.sample(11, rng)) for _ in range(4)]

    assert ["actor_loss" in row for row in figures] == [True, False, True, False]


def test_cql_without_learning_rates_keeps_temperature_and_alpha() -> None:
    agent = make("CQL", temperature_lr=0, alpha_lr=0)

    agent.update_many(buffer_for(agent), 3, np.random.default_rng(0))

    assert agent.log_alpha.value.item() == agent.log_temperature.value.item() == 0.0


@pytest.mark.slow
def test_conservative_values_of_unseen_actions_are_lower() -> None:
    # One action is never in the data. Every step costs 1, so plain Q-learning lowers the actions of the data only and
    # prefers the one it knows nothing of.
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((101, 4))
    none = np.zeros(100, bool)
    episode = make_episode(rows, rng.integers(2, size=100), -np.ones(100), none, none)
    gaps = {}
    for alpha in (0.0, 1.0):
        agent = DiscreteCQL(4, 3, lr=3e-3, hidden_sizes=[32], alpha=alpha, seed=2)
        for _ in range(5):
            agent.update_many(ReplayBuffer([episode]), 20, np.random.default_rng(0))
            agent.update_target_network()
        values = agent.get_q_values(rows)
        gaps[alpha] = float(values[:, :2].mean() - values[:, 2].mean())

    assert gaps[0.0] < 0.0 < gaps[1.0]


def test_batch_constrained_agent_takes_no_unlikely_action() -> None:
    agent = DiscreteBCQ(4, 3, hidden_sizes=[8], action_flexibility=0.3)
    rows = np.random.default_rng(0).standard_normal((20, 4))
    with torch.no_grad():
        # The third action has the largest value everywhere and hardly any probability.
        agent.q_network.q.bias.copy_(torch.tensor([0.0, 0.0, 100.0]))
        agent.q_network.imitator.bias.copy_(torch.tensor([5.0, 5.0, -5.0]))

    assert set(agent.predict(rows).tolist()) <= {0, 1}
    assert set(agent.get_q_values(rows).argmax(axis=1).tolist()) == {2}


@pytest.mark.slow
def test_cloning_learns_the_actions_of_its_data() -> None:
    rows = np.random.default_rng(0).standard_normal((301, 4))
    actions = (rows[:-1, 0] > 0).astype(np.int64) + (rows[:-1, 1] > 0)
    none = np.zeros(300, bool)
    buffer = ReplayBuffer([make_episode(rows, actions, np.zeros(300), none, none)])
    agent = BehavioralCloning(4, 3, lr=3e-3, hidden_sizes=[64])

    agent.update_many(buffer, 200, np.random.default_rng(0), 64)

    assert (agent.predict(rows[:-1]) == actions).mean() > 0.9


def test_bounds_scale_actions_there_and_back() -> None:
    plain = make("BC", dtype="float64")
    agent = make("BC", dtype="float64", action_low=[-2, 0, -1], action_high=[2, 10, 1])
    rows = np.random.default_rng(0).standard_normal((20, 4))
    batch = Batch(rows, np.tile([1.0, 7.5, -0.5], (20, 1)), np.zeros(20), rows, np.zeros(20, bool))

    found = agent.predict(rows)

    inner = plain.predict(rows)  # the same weights without bounds
    np.testing.assert_allclose(found, inner * [2, 5, 1] + [0, 5, 0], rtol=1e-12)
    distance = ((inner - [0.5, 0.5, -0.5]) ** 2).mean()
    assert agent.update(batch)["loss"] == pytest.approx(distance, rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_saved_agent_predicts_and_trains_on_as_before(name: str, tmp_path: Path) -> None:
    kept = make(name)
    buffer = buffer_for(kept)
    kept.update_many(buffer, 3, np.random.default_rng(0))
    kept.save(tmp_path / "agent")

    loaded = find_class(name).load(tmp_path / "agent")

    rows = buffer.transitions.observation[:9]
    np.testing.assert_array_equal(kept.predict(rows), loaded.predict(rows))
    figures = [a.update_many(buffer, 3, np.random.default_rng(1)) for a in (kept, loaded)]
    assert figures[0] == figures[1]
    for variable, array in kept.read_variables().items():
        np.testing.assert_array_equal(array, loaded.read_variables()[variable], err_msg=variable)


def test_file_has_the_keys_of_the_guide(tmp_path: Path) -> None:
    agent, cloning = make("DQN"), make("DiscreteBC")
    agent.save_model(tmp_path / "dqn.pt")
    cloning.save_model(tmp_path / "bc.pt")

    content = torch.load(tmp_path / "dqn.pt", weights_only=True)

    assert {"q_network", "target_network", "optimizer"} <= set(content)
    assert torch.equal(content["q_network"]["fc1.weight"], agent.q_network.fc1.weight)
    assert {"policy_network", "optimizer"} <= set(torch.load(tmp_path / "bc.pt", weights_only=True))


def guide_file(path: Path, sizes: tuple[int, ...] = (4, 7, 5, 3)) -> Any:
    """Write what the guide's own `save_model` writes; its layers are numbered in a Sequential."""
    from torch import nn

    layers = [nn.Linear(a, b) for a, b in pairwise(sizes)]
    network = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-4)
    network(torch.ones(2, 4)).sum().backward()
    optimizer.step()
    state = network.state_dict()
    torch.save(
        {"q_network": state, "target_network": state, "optimizer": optimizer.state_dict()}, path
    )
    return network


def test_files_of_the_guide_are_read_by_the_order_of_their_layers(tmp_path: Path) -> None:
    network, agent = guide_file(tmp_path / "guide.pth"), make("DQN")
    rows = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)

    agent.load_model(tmp_path / "guide.pth")

    np.testing.assert_allclose(
        agent.get_q_values(rows), network(torch.from_numpy(rows)).detach().numpy(), rtol=1e-6
    )
    assert agent.optimizer.param_groups[0]["lr"] == 5e-4


def test_file_of_another_agent_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    guide_file(tmp_path / "other.pth", (4, 9, 5, 3))
    agent = make("DQN")
    before = agent.read_variables()

    with pytest.raises(CheckpointError, match=r"q_network has arrays \[\(9, 4\)"):
        agent.load_model(tmp_path / "other.pth")
    make("IQL").save(tmp_path / "iql")
    with pytest.raises(CheckpointError, match="of IQL; needed OfflineDQN"):
        OfflineDQN.load(tmp_path / "iql")
    assert all(np.array_equal(before[k], v) for k, v in agent.read_variables().items())


def test_moments_that_do_not_fit_change_no_optimizer(tmp_path: Path) -> None:
    agent, other = make("IQL"), make("IQL")
    agent.update(buffer_for(agent).sample(8, np.random.default_rng(0)))
    agent.save(tmp_path / "agent")
    content = torch.load(tmp_path / "agent.pth", weights_only=True)
    content["actor_optimizer"]["state"][0]["exp_avg_sq"] = torch.zeros(1)
    torch.save(content, tmp_path / "agent.pth")

    with pytest.raises(CheckpointError, match="the optimizer has moments"):
        other.load_model(tmp_path / "agent.pth")

    moments = [
        slot["exp_avg"] for each in other.optimizers.values() for slot in each.state.values()
    ]
    assert not any(moment.any() for moment in moments)


def test_an_agent_of_several_steps_has_no_single_optimizer() -> None:
    agent = make("IQL")

    assert not hasattr(agent, "optimizer")
    with pytest.raises(AttributeError, match="`optimizers` has critic, actor"):
        _ = agent.optimizer


@pytest.mark.parametrize("name", ["DQN", "DiscreteBC"])
def test_networks_are_where_the_device_says(name: str) -> None:
    agent = make(name, device="meta")  # which every machine has, and which holds no numbers

    tensors = [each for net in agent.networks.values() for each in net.parameters()]
    assert {each.device.type for each in tensors} == {"meta"}


def test_unknown_device_is_refused() -> None:
    with pytest.raises(ValueError, match="device 'cuda:99' is not available"):
        OfflineDQN(4, 2, device="cuda:99")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # of inductor's own imports
@pytest.mark.parametrize("name", ["DiscreteCQL", "TD3PlusBC"])
def test_compiled_updates_are_the_eager_ones(name: str) -> None:
    agents = [make(name, dtype="float64", compiled=compiled) for compiled in (False, True)]
    count = 2 * agents[0].updates_per_call + 1

    figures = [a.update_many(buffer_for(a), count, np.random.default_rng(3)) for a in agents]

    assert agents[1]._updates.best_count(count) == agents[1].updates_per_call > 1
    assert figures[0] == pytest.approx(figures[1], rel=1e-12)
    assert agents[0].updates == agents[1].updates == count
    for variable, array in agents[0].read_variables().items():
        other = agents[1].read_variables()[variable]
        np.testing.assert_allclose(array, other, rtol=0, atol=1e-12, err_msg=variable)
