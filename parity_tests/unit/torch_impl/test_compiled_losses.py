from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from parity_tests.actor_critic_inputs import continuous_transitions, small_arguments
from torch_impl.actor_critic import ActorCritic
from torch_impl.compiled_losses import CompiledLosses
from torch_impl.compiled_steps import CompilingError
from torch_impl.ddpg import DDPG


class RmspropDDPG(DDPG):
    def create_optimizers(self) -> None:
        self.add_optimizer("policy", "main/policy", learning_rate=1e-3, kind="rmsprop")
        self.add_optimizer("value", "main/value", learning_rate=1e-3)


def train(agent: ActorCritic, updates: int) -> None:
    rng = np.random.default_rng(0)
    for _ in range(updates):
        batch, noise = continuous_transitions(*agent.noise_names)({"args": agent.args}, rng)
        agent.train(batch, noise)
        agent.target_update()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # of inductor's own imports
def test_compiled_steps_are_those_of_eager_ones() -> None:
    flags: dict[str, Any] = {"obs_normalization": True, "normalizer_identity_start": True}
    eager, compiled = (
        DDPG(small_arguments(**flags), dtype="float64", device="cpu") for _ in range(2)
    )
    compiled.compile_steps()

    for agent in (eager, compiled):
        train(agent, 20)

    expected, found = eager.read_variables(), compiled.read_variables()
    assert max(np.max(np.abs(found[name] - expected[name])) for name in expected) < 1e-12
    groups = (each.optimizers["value"].param_groups[0] for each in (eager, compiled))
    assert len({group["beta2_power"] for group in groups}) == 1
    assert compiled.counters == eager.counters


def test_optimizer_that_is_not_adam_leaves_the_steps_eager() -> None:
    agent = RmspropDDPG(small_arguments(), device="cpu")

    obstacle = agent.compile_steps()
    train(agent, 1)

    assert obstacle == "optimizers that are not Adam are not compiled: policy"
    assert agent.counters["q"] == 1


def test_failure_of_the_compiler_leaves_the_steps_eager(
    monkeypatch: pytest.MonkeyPatch, logged: list[str]
) -> None:
    def fail(*_: object) -> None:
        message = "no space left"
        raise CompilingError(message)

    monkeypatch.setattr(CompiledLosses, "_compile", fail)
    agent, eager = (DDPG(small_arguments(), device="cpu") for _ in range(2))
    agent.compile_steps()

    train(agent, 2)
    train(eager, 2)

    assert any("no space left" in message for message in logged)
    weights = agent.networks["policy"].pi.weight, eager.networks["policy"].pi.weight
    assert torch.equal(*weights)
