from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import torchward
from converters.errors import UnsupportedError
from parity_tests.stable_baselines_files import write_dqn, write_td3
from torch_impl.dqn import DQNAgent

FIXTURES = Path(__file__).parents[3] / "fixtures"
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
    import torch

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
