"""Agents of TF-Agents from their checkpoints, beside what TF-Agents 0.19 computed with them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import torchward
from converters.errors import UnsupportedError
from converters.limits import Limits
from converters.readers import read_checkpoint
from parity_tests import FIXTURES

BOUNDS = {"action_low": [-2.0, -2.0], "action_high": [2.0, 2.0]}
NAMES: Mapping[str, Mapping[str, str]] = {
    "tfagents_sac": {
        "mean": "mean", "std": "std", "q1": "q1", "q2": "q2", "log_alpha": "log_alpha",
        "deterministic_action": "deterministic_action",
    },
    "tfagents_ddpg": {"q": "q", "q1": "q", "deterministic_action": "deterministic_action"},
    "tfagents_ppo": {"std": "std", "normalized_observation": "normalized_x0", "mean": "policy_action_on_x0"},
}  # fmt: skip
"""Case to the outputs of the agent, each with the name of what was recorded."""
TOLERANCE = 1e-5
"""Of the corpus, in float32."""


def recorded(case: str) -> dict[str, NDArray[Any]]:
    with np.load(FIXTURES / case / "expected.npz", allow_pickle=False) as arrays:
        return dict(arrays)


def loaded(case: str, folder: Path, **settings: object) -> Any:
    torchward.convert(FIXTURES / case / "checkpoint", folder / "agent.pth", settings=settings)
    return torchward.load(folder / "agent.pth")


def outputs(agent: Any, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    inputs = [torch.from_numpy(arrays[name]) for name in ("x0", "x1") if name in arrays]
    with torch.no_grad():
        return {name: value.numpy() for name, value in agent(*inputs).items()}


@pytest.mark.parametrize("case", NAMES)
def test_networks_give_what_was_recorded(case: str, tmp_path: Path) -> None:
    arrays = recorded(case)

    found = outputs(loaded(case, tmp_path, **BOUNDS), arrays)

    for name, known in NAMES[case].items():
        np.testing.assert_allclose(found[name], arrays[known], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("case", NAMES)
def test_agents_act_as_their_greedy_policy_did(case: str, tmp_path: Path) -> None:
    arrays = recorded(case)
    name = "policy_action_on_x0" if case == "tfagents_ppo" else "deterministic_action"

    action = loaded(case, tmp_path, **BOUNDS).act(arrays["x0"])

    np.testing.assert_allclose(action, arrays[name], rtol=0, atol=TOLERANCE)


def test_another_activation_gives_other_values(tmp_path: Path) -> None:
    arrays = recorded("tfagents_sac")

    found = outputs(loaded("tfagents_sac", tmp_path, activation="tanh"), arrays)

    assert np.abs(found["q1"] - arrays["q1"]).max() > 100 * TOLERANCE


def test_bounds_that_are_not_stated_are_said_to_be_missing(tmp_path: Path) -> None:
    arrays = recorded("tfagents_sac")
    report = torchward.convert(FIXTURES / "tfagents_sac" / "checkpoint", tmp_path / "agent.pth")

    found = outputs(torchward.load(tmp_path / "agent.pth"), arrays)

    assert "deterministic_action" not in found
    np.testing.assert_allclose(
        2 * found["squashed_action"], arrays["deterministic_action"], rtol=0, atol=TOLERANCE
    )
    assert any("actions lie between -1 and 1" in text for text in report.warnings)


def test_a_setting_that_says_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="--set strides says nothing"):
        loaded("tfagents_sac", tmp_path, strides=[4, 2])


def test_drawn_actions_lie_within_the_bounds(tmp_path: Path) -> None:
    torch.manual_seed(3)
    agent = loaded("tfagents_sac", tmp_path, **BOUNDS)

    drawn = agent.act(recorded("tfagents_sac")["x0"], deterministic=False)

    assert np.abs(drawn).max() <= 2
    assert np.abs(drawn - agent.act(recorded("tfagents_sac")["x0"])).max() > 0.01


def test_every_optimizer_of_an_agent_goes_on_with_its_own_weights(tmp_path: Path) -> None:
    loaded("tfagents_sac", tmp_path)
    agent, optimizer = torchward.load(tmp_path / "agent.pth", optimizer=True)

    trained = [name for name, weight in agent.named_parameters() if weight.requires_grad]

    assert {name.split(".")[0] for name in trained} == {
        "actor_network", "critic_network_1", "critic_network_2", "log_alpha"
    }  # fmt: skip
    assert [group["iterations"] for group in optimizer.param_groups] == [3, 3, 3]
    assert sorted(len(group["params"]) for group in optimizer.param_groups) == [1, 6, 12]


def test_slots_are_those_that_the_file_links_to_the_weights(tmp_path: Path) -> None:
    loaded("tfagents_sac", tmp_path)
    agent, optimizer = torchward.load(tmp_path / "agent.pth", optimizer=True)
    stored = read_checkpoint(FIXTURES / "tfagents_sac" / "checkpoint", limits=Limits())
    arrays = {array.name: array for array in stored.extras}
    keys = {
        "actor_network.encoder_1.weight": (
            "agent/_actor_network/_encoder/_postprocessing_layers/1/kernel", "_actor_optimizer"
        ),
        "critic_network_2.joint_layers_3.bias": (
            "agent/_critic_network_2/_joint_layers/3/bias", "_critic_optimizer"
        ),
    }  # fmt: skip
    weights = dict(agent.named_parameters())

    for name, (key, owner) in keys.items():
        for slot, name_there in (("exp_avg", "m"), ("exp_avg_sq", "v")):
            known = arrays[
                f"{key}/.OPTIMIZER_SLOT/agent/{owner}/{name_there}/.ATTRIBUTES/VARIABLE_VALUE"
            ]
            state = optimizer.state[weights[name]][slot].numpy()
            np.testing.assert_array_equal(state.T, known.read())


POLICY = {"action_low": [-1.0, -1.0], "action_high": [1.0, 1.0]}


def test_a_policy_saved_without_its_agent_acts_as_it_did(tmp_path: Path) -> None:
    arrays = recorded("tfagents_ppo_policy")

    agent = loaded("tfagents_ppo_policy", tmp_path, **POLICY)

    found = outputs(agent, arrays)
    assert {"normalized_observation", "value", "std"} <= set(found)
    for action in (found["deterministic_action"], agent.act(arrays["x0"])):
        np.testing.assert_allclose(action, arrays["deterministic_action"], rtol=0, atol=TOLERANCE)


def test_slots_go_with_a_network_whose_target_has_the_same_names(tmp_path: Path) -> None:
    arrays = recorded("tfagents_dqn_sequential")

    loaded("tfagents_dqn_sequential", tmp_path)
    agent, optimizer = torchward.load(tmp_path / "agent.pth", optimizer=True)

    found = outputs(agent, arrays)
    for name in ("q", "target_q"):
        np.testing.assert_allclose(found[name], arrays[name], rtol=0, atol=TOLERANCE)
    trained = {name: each for name, each in agent.named_parameters() if each.requires_grad}
    assert {name.split(".")[0] for name in trained} == {"q_network"}
    stored = read_checkpoint(FIXTURES / "tfagents_dqn_sequential" / "checkpoint", limits=Limits())
    slots = [slot for pair in stored.optimizers[0].slots.values() for slot in pair.values()]
    first = next(slot for slot in slots if "/_variables/1/" in slot.name)  # m of the first kernel
    kernel = next(weight for weight in trained.values() if weight.dim() == 2)
    np.testing.assert_array_equal(optimizer.state[kernel]["exp_avg"].numpy().T, first.read())
