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

FIXTURES = Path(__file__).parent / "fixtures"
CASES = {
    "tfagents_dqn": ("checkpoint", {"q": "q", "target_q": "target_q"}),
    "tf215_dqn_with_target": ("ckpts", {"q": "q", "target_q": "target_q"}),
    "sonnet_actor_critic": ("snapshot", {"policy": "y0", "value": "y1"}),
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

    assert set(outputs) == set(CASES[case][1])
    for name, known in CASES[case][1].items():
        np.testing.assert_allclose(outputs[name].numpy(), arrays[known], rtol=0, atol=TOLERANCE)


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
