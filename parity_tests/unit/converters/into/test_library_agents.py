from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import torchward
from converters.errors import UnsupportedError
from parity_tests import FIXTURES
from parity_tests.stable_baselines_files import write_ddpg, write_dqn, write_td3
from torch_impl.actor_critic import ActorCritic
from torch_impl.dqn import DQNAgent
from torch_impl.sac import SAC
from torch_impl.stored_agents import load_agent

LIMIT = 1e-5  # of the recordings: float32 sums in another order


def test_a_recorded_dqn_becomes_an_agent_that_trains(tmp_path: Path) -> None:
    case = FIXTURES / "sb_dqn_mlp_cartpole"
    torchward.convert(case / "model.zip", tmp_path / "agent.pth", into="torch_impl:DQNAgent")
    agent = DQNAgent.load(tmp_path / "agent.pth")
    with np.load(case / "expected.npz") as expected:
        found = agent.get_q_values(expected["x0"])
        np.testing.assert_allclose(found, expected["q"], atol=LIMIT * np.abs(expected["q"]).max())
        actions = agent.act(expected["x0"], np.random.default_rng(0), explore=False)
        np.testing.assert_array_equal(actions, expected["deterministic_action"])
    assert agent.configuration["learning_rate"] == 0.0005


def test_dueling_streams_lie_side_by_side(tmp_path: Path) -> None:
    path, _ = write_dqn(tmp_path, dueling=True, with_norm=False)
    torchward.convert(path, tmp_path / "old.pth")
    torchward.convert(path, tmp_path / "agent.pth", into="torch_impl.dqn:DQNAgent")
    agent, old = DQNAgent.load(tmp_path / "agent.pth"), torchward.load(tmp_path / "old.pth")
    rows = np.random.default_rng(1).standard_normal((9, 4)).astype(np.float32)
    with torch.no_grad():
        expected = old(torch.from_numpy(rows))
    np.testing.assert_allclose(agent.get_q_values(rows), expected["q_values"].numpy(), atol=LIMIT)
    agent.q_network.load_state_dict(agent.target_network.state_dict())
    target = expected["target_q_values"].numpy()
    np.testing.assert_allclose(agent.get_q_values(rows), target, atol=LIMIT)


@pytest.mark.parametrize("kind", ["td3", "layer-norm"])
def test_other_agents_are_refused(kind: str, tmp_path: Path) -> None:
    path, _ = (
        write_td3(tmp_path) if kind == "td3" else write_dqn(tmp_path, dueling=False, with_norm=True)
    )
    with pytest.raises(UnsupportedError, match="DQNAgent"):
        torchward.convert(path, tmp_path / "agent.pth", into="torch_impl:DQNAgent")
    assert not (tmp_path / "agent.pth").exists()


def test_a_recorded_sac_becomes_an_agent_that_trains(tmp_path: Path) -> None:
    case = FIXTURES / "sb_sac_mlp_pendulum"
    report = torchward.convert(case / "model.zip", tmp_path / "agent.pth", into="torch_impl:SAC")
    agent = load_agent(tmp_path / "agent.pth")
    assert isinstance(agent, SAC)
    with np.load(case / "expected.npz") as file:
        expected = {name: file[name] for name in file}
    actions = agent.act(expected["x0"], np.random.default_rng(0), explore=False)
    np.testing.assert_allclose(actions, expected["deterministic_action"], atol=LIMIT)
    critics = values(agent, ("q_value_1", "q_value_2"), expected["x0"], expected["x1"])
    for found, name in zip(critics, ("qf1", "qf2"), strict=True):
        np.testing.assert_allclose(found, expected[name], atol=LIMIT * np.abs(expected[name]).max())
    before = agent.get_weights()
    agent.update(batch_of(expected["x0"], expected["x1"]))
    assert any(not np.array_equal(before[name], each) for name, each in agent.get_weights().items())
    assert any("predict brought that to Box (1,) float32, -2 to 2" in note for note in report.notes)
    assert (agent.args.alpha_lr > 0, agent.args.polyak) == (True, 0.995)


def values(
    agent: ActorCritic, names: tuple[str, ...], x: NDArray[Any], action: NDArray[Any]
) -> list[NDArray[Any]]:
    seen, taken = torch.from_numpy(x), torch.from_numpy(action)
    seen = seen if agent.normalizer is None else agent.normalizer.normalize(seen)
    with torch.no_grad():
        return [agent.networks[name](seen, taken).numpy() for name in names]


def batch_of(x: NDArray[Any], action: NDArray[Any]) -> dict[str, NDArray[Any]]:
    rewards = np.ones((len(x), 1), np.float32)
    return {"obs": x, "obs_next": x, "acts": action, "rews": rewards, "done": 0 * rewards}


@pytest.mark.parametrize("kind", ["TD3", "DDPG"])
def test_deterministic_agents_keep_actions_values_and_targets(kind: str, tmp_path: Path) -> None:
    path, _ = (
        write_td3(tmp_path, deep=True)
        if kind == "TD3"
        else write_ddpg(tmp_path, normalizes=True, clip=5.0, deep=True)
    )
    torchward.convert(path, tmp_path / "old.pth")
    torchward.convert(path, tmp_path / "agent.pth", into=f"torch_impl.{kind.lower()}:{kind}")
    agent, old = load_agent(tmp_path / "agent.pth"), torchward.load(tmp_path / "old.pth")
    assert isinstance(agent, ActorCritic)
    rng = np.random.default_rng(3)
    x = 4 * rng.standard_normal((9, 3)).astype(np.float32)
    action = rng.uniform(-1, 1, (9, 2)).astype(np.float32)
    with torch.no_grad():
        expected = old(torch.from_numpy(x), torch.from_numpy(action))
    np.testing.assert_allclose(agent.get_actions(x), expected["deterministic_action"], atol=LIMIT)
    names = {"q1": "value", "target_q1": "target_value"}
    if kind == "TD3":
        names = {f"{side}q{n}": f"{side}value_{n}" for side in ("", "target_") for n in (1, 2)}
    for name, found in zip(names, values(agent, tuple(names.values()), x, action), strict=True):
        np.testing.assert_allclose(found, expected[name].numpy(), atol=10 * LIMIT)


REFUSED: dict[str, tuple[Callable[[Path], tuple[Path, object]], str, str]] = {
    "one hidden layer": (write_td3, "TD3", "two hidden layers, this one 1"),
    "another algorithm": (write_td3, "SAC", "is no SAC"),
    "other clipping": (
        lambda folder: write_ddpg(folder, normalizes=True, deep=True),
        "DDPG",
        "clipped to -2 ... 2",
    ),
    "clipping alone": (
        lambda folder: write_ddpg(folder, normalizes=False, clip=5.0, deep=True),
        "DDPG",
        "only what it normalizes",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_our_agents_cannot_be_is_refused_with_the_reason(case: str, tmp_path: Path) -> None:
    write, kind, reason = REFUSED[case]
    path, _ = write(tmp_path)
    with pytest.raises(UnsupportedError, match=reason):
        torchward.convert(path, tmp_path / "agent.pth", into=f"torch_impl:{kind}")
    assert not (tmp_path / "agent.pth").exists()
