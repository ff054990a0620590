"""Agents of Spinning Up act as its `test_policy` does, from the folder its logger wrote, loaded and as source."""

from __future__ import annotations

import importlib.util
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import torchward
from converters.live.acting import ConvertedAgent
from parity_tests import FIXTURES

ACTIONS = {"spinup_vpg_pendulum": "pi_out", "spinup_sac_pendulum": "mu", "spinup_ppo_cartpole": ""}
"""Case to the recorded name of its best action; that of categories is the largest logit."""
LIMIT = 1e-5
pytestmark = pytest.mark.slow


def converted(case: str, folder: Path) -> tuple[ConvertedAgent, dict[str, NDArray[Any]]]:
    with zipfile.ZipFile(FIXTURES / "more_artifacts" / f"{case}.zip") as archive:
        archive.extractall(folder)
    torchward.convert(
        folder / "tf1_save", folder / "agent.pth", source_code=folder / "spinning_up_agent.py"
    )
    agent = torchward.load(folder / "agent.pth")
    assert isinstance(agent, ConvertedAgent)
    with np.load(folder / "expected.npz", allow_pickle=False) as arrays:
        return agent, dict(arrays)


@pytest.mark.parametrize("case", ACTIONS)
def test_the_best_action_is_the_recorded_one(case: str, tmp_path: Path) -> None:
    agent, arrays = converted(case, tmp_path)

    action = np.asarray(agent.act(arrays["x0"]))

    known = arrays[ACTIONS[case]] if ACTIONS[case] else arrays["pi_out"].argmax(1)
    np.testing.assert_allclose(action, known, rtol=0, atol=LIMIT)
    np.testing.assert_array_equal(agent.act(arrays["x0"][2]).shape, known[2].shape)


@pytest.mark.parametrize("case", ACTIONS)
def test_the_source_computes_the_same(case: str, tmp_path: Path) -> None:
    agent, arrays = converted(case, tmp_path)
    spec = importlib.util.spec_from_file_location(
        "spinning_up_agent", tmp_path / "spinning_up_agent.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    written = module.Network()
    written.load_state_dict(torch.load(tmp_path / "agent.pth")["model_state_dict"])
    inputs = [torch.from_numpy(arrays[name]) for name in ("x0", "x1") if name in arrays]

    with torch.no_grad():
        for given in (inputs, inputs[:1]):
            mine, other = agent(*given), written(*given)
            assert list(mine) == list(other)
            assert all(torch.equal(mine[name], other[name]) for name in mine)
        torch.testing.assert_close(agent.act(inputs[0]), written.act(inputs[0]))
        torch.manual_seed(3)
        drawn = agent.act(inputs[0], deterministic=False)
        torch.manual_seed(3)
        torch.testing.assert_close(drawn, written.act(inputs[0], deterministic=False))


def test_drawn_actions_of_sac_are_squashed_as_in_the_graph(tmp_path: Path) -> None:
    agent, arrays = converted("spinup_sac_pendulum", tmp_path)
    observation = torch.from_numpy(arrays["x0"])
    with torch.no_grad():
        found = agent(observation)

    torch.manual_seed(5)
    drawn = agent.act(observation, deterministic=False)

    torch.manual_seed(5)
    noise = torch.normal(found["mean"], found["std"])
    torch.testing.assert_close(
        drawn, 2 * torch.tanh(noise)
    )  # the torques of the pendulum are -2 to 2
