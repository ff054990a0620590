"""Checkpoints of agents without an architecture, beside what the original packages recorded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

import torchward
from parity_tests import FIXTURES

CASES = {
    "tfagents_dqn": (
        "checkpoint",
        {"q": "q", "q_values": "q", "target_q": "target_q", "target_q_values": "target_q"},
    ),
    "tf215_dqn_with_target": ("ckpts", {"q": "q", "target_q": "target_q"}),
    "sonnet_actor_critic": ("snapshot", {"policy": "y0", "value": "y1"}),
    "dopamine_dqn_cartpole": ("checkpoints/tf_ckpt-0", {"q": "q", "q_values": "q"}),
}
"""Case to checkpoint and to the recorded name of each output."""
TOLERANCE = 1e-5
"""Of the corpus, in float32."""


def recorded(case: str) -> Mapping[str, NDArray[Any]]:
    with np.load(FIXTURES / case / "expected.npz", allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays}


def converted(case: str, folder: Path) -> Path:
    output = folder / "agent.pth"
    torchward.convert(FIXTURES / case / CASES[case][0], output)
    return output


@pytest.mark.parametrize("case", CASES)
def test_networks_give_what_was_recorded(case: str, tmp_path: Path) -> None:
    arrays = recorded(case)
    model = torchward.load(converted(case, tmp_path))

    with torch.no_grad():
        outputs = model(torch.from_numpy(arrays["x0"]))

    assert set(outputs) - {"deterministic_action"} == set(CASES[case][1])
    for name, known in CASES[case][1].items():
        np.testing.assert_allclose(outputs[name].numpy(), arrays[known], rtol=0, atol=TOLERANCE)


def test_policy_that_tf_agents_saved_acts_as_it_did_there(tmp_path: Path) -> None:
    arrays = recorded("tfagents_dqn")
    report = torchward.convert(FIXTURES / "tfagents_dqn" / "policy", tmp_path / "policy.pth")

    policy = torchward.load(tmp_path / "policy.pth")

    with torch.no_grad():
        found = policy(torch.from_numpy(arrays["x0"]))

    for name in ("action", "deterministic_action"):
        np.testing.assert_array_equal(found[name].numpy(), arrays["deterministic_action"])
    np.testing.assert_array_equal(policy.act(arrays["x0"]), arrays["deterministic_action"])
    assert policy.act(arrays["x0"][3]) == arrays["deterministic_action"][3]
    assert sum("is left out: no output needs it" in note for note in report.notes) == 3


def test_training_of_dopamines_dqn_continues_as_it_did_there(tmp_path: Path) -> None:
    arrays = recorded("dopamine_dqn_cartpole")
    output = converted("dopamine_dqn_cartpole", tmp_path)
    agent, optimizer = torchward.load(output, optimizer=True)
    target = torchward.load(output)
    target.load_state_dict(weights_of(arrays, "target", output))
    batch = {name: torch.from_numpy(values) for name, values in arrays.items()}

    for _ in range(3):
        optimizer.zero_grad()
        chosen = agent(batch["b_obs"])["q"].gather(1, batch["b_actions"].long()[:, None])[:, 0]
        with torch.no_grad():
            following = target(batch["b_next_obs"])["q"].max(1).values
            wanted = batch["b_rewards"] + 0.99 * following * (1 - batch["b_dones"].float())
        torch.nn.functional.huber_loss(chosen, wanted).backward()
        optimizer.step()

    for name, value in weights_of(arrays, "after", output).items():
        torch.testing.assert_close(agent.state_dict()[name], value, rtol=0, atol=1e-6)


def weights_of(arrays: Mapping[str, NDArray[Any]], which: str, output: Path) -> dict[str, Tensor]:
    """Return what was recorded after training, or the target network, which training leaves as it is."""
    scope = {
        "after": "after/Online/basic_discrete_domain_network",
        "target": "after/Target/basic_discrete_domain_network_1",
    }[which]
    names = torchward.load(output).state_dict()
    return {
        name: torch.from_numpy(
            arrays[f"{scope}/{name.replace('.weight', '/kernel').replace('.bias', '/bias')}"]
        ).t()
        for name in names
    }


def test_training_of_tf_agents_dqn_continues_as_it_did_there(tmp_path: Path) -> None:
    arrays = recorded("tfagents_dqn")
    agent, optimizer = torchward.load(converted("tfagents_dqn", tmp_path), optimizer=True)
    batch = {name: torch.from_numpy(values) for name, values in arrays.items()}

    losses = []
    for _ in arrays["resume_loss"]:
        optimizer.zero_grad()
        loss = temporal_difference_loss(agent, batch)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    np.testing.assert_allclose(losses, arrays["resume_loss"], rtol=1e-5)
    trained = [value for name, value in agent.state_dict().items() if name.startswith("q_network")]
    for index, value in enumerate(trained):
        known = arrays[f"after/q/{index:02}"]
        np.testing.assert_allclose(value.t().numpy(), known, rtol=0, atol=1e-6)
    for index, value in enumerate(list(agent.state_dict().values())[len(trained) :]):
        np.testing.assert_array_equal(value.t().numpy(), arrays[f"after/target_q/{index:02}"])


def temporal_difference_loss(agent: torch.nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
    """Return TF-Agents' loss on trajectories of two steps: squared errors, discount 1, no step from a last one."""
    observation, action = batch["b_observation"], batch["b_action"][:, :1]
    chosen = agent(observation[:, 0])["q"].gather(1, action)[:, 0]
    with torch.no_grad():
        following = agent(observation[:, 1])["target_q"].max(1).values
    target = batch["b_reward"][:, 0] + batch["b_discount"][:, 0] * following
    valid = batch["b_step_type"][:, 0] != 2
    return (valid * (chosen - target) ** 2).mean()
