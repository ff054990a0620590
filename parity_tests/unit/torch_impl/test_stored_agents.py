from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest
import torch

from torch_impl.checkpoints import CheckpointError, write_checkpoint
from torch_impl.dqn import DQNAgent
from torch_impl.stored_agents import CLASSES, load_agent, read_agent_class


def test_an_agent_comes_back_by_its_file_alone(tmp_path: Path) -> None:
    agent = DQNAgent(4, 2, hidden_sizes=(5, 3), seed=3)
    agent.save(tmp_path / "agent")
    rows = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)

    loaded = load_agent(tmp_path / "agent.pth")

    assert isinstance(loaded, DQNAgent)
    np.testing.assert_array_equal(loaded.get_q_values(rows), agent.get_q_values(rows))


@pytest.mark.parametrize("name", CLASSES)
def test_every_class_is_where_the_table_says(name: str) -> None:
    found = vars(importlib.import_module(CLASSES[name]))

    assert name in found or any(name.startswith(each) and each in found for each in ("RRD", "IRCR"))


@pytest.mark.parametrize("algorithm", ["td3", "sac", "rrd", "ircr"])
def test_an_agent_of_the_suite_comes_back(tmp_path: Path, algorithm: str) -> None:
    from experience.agents import create_agent
    from parity_tests.actor_critic_inputs import small_arguments

    arguments = small_arguments(alg=algorithm, basis_alg="sac")
    agent = create_agent(arguments, side="torch")
    agent.save(tmp_path / "agent")
    rows = np.zeros((2, *arguments.obs_dims), np.float32)

    loaded = load_agent(tmp_path / "agent")

    assert read_agent_class(tmp_path / "agent") == type(agent).__name__
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(
        loaded.act(rows, rng, explore=False), agent.act(rows, rng, explore=False)
    )


def test_a_file_of_no_agent_is_refused_with_the_classes_there_are(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "network.pth", {"weight": torch.zeros(2)})

    with pytest.raises(CheckpointError, match=r"holds no agent; needed one of DQNAgent"):
        load_agent(tmp_path / "network.pth")


def test_an_unknown_class_is_named(tmp_path: Path) -> None:
    write_checkpoint(
        tmp_path / "other.pth", {"weight": torch.zeros(2)}, metadata={"agent": {"class": "Other"}}
    )

    with pytest.raises(CheckpointError, match="class 'Other'"):
        load_agent(tmp_path / "other.pth")
