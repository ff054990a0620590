"""Optimizers of agents by the names of their slots: OpenAI baselines' own files, and what torch goes on with."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import torchward
from converters.agents.network import parameter_order
from converters.architecture import Step
from converters.limits import Limits
from converters.readers import read_checkpoint
from parity_tests import FIXTURES

DEEPQ = FIXTURES / "baselines_deepq_cartpole" / "variables.joblib"
PPO2 = FIXTURES / "baselines_ppo2_pendulum" / "model.joblib"


def stored(path: Path) -> dict[str, Any]:
    layers = read_checkpoint(path, limits=Limits()).layers
    return {
        f"{entry.path}/{role}".lstrip("/"): array.read()
        for entry in layers
        for role, array in entry.arrays.items()
    }


def resumed(path: Path, folder: Path, **settings: object) -> tuple[Any, Any]:
    torchward.convert(path, folder / "agent.pth", settings=settings)
    return torchward.load(folder / "agent.pth", optimizer=True)


@pytest.mark.parametrize(
    ("path", "parameter", "slot"),
    [
        (DEEPQ, "q_network.mlp_fc0.weight", "deepq_1/deepq/q_func/mlp_fc0/w"),
        (PPO2, "value.vf.weight", "ppo2_model/vf/w"),
    ],
    ids=["deepq", "ppo2"],
)
def test_slots_go_to_the_weight_whose_name_they_end_in(
    path: Path, parameter: str, slot: str, tmp_path: Path
) -> None:
    arrays = stored(path)
    agent, optimizer = resumed(path, tmp_path)
    name = slot if f"{slot}/Adam" in arrays else slot.replace("deepq_1/", "deepq/")

    state = optimizer.state[dict(agent.named_parameters())[parameter]]

    np.testing.assert_array_equal(state["exp_avg"].numpy().T, arrays[f"{name}/Adam"])
    np.testing.assert_array_equal(state["exp_avg_sq"].numpy().T, arrays[f"{name}/Adam_1"])


def test_the_count_of_updates_follows_from_the_power_of_beta(tmp_path: Path) -> None:
    power = float(stored(PPO2)["beta2_power"])
    _, optimizer = resumed(PPO2, tmp_path)

    assert optimizer.param_groups[0]["iterations"] == round(math.log(power, 0.999)) - 1
    assert optimizer.param_groups[0]["epsilon"] == 1e-5


def test_target_networks_do_not_train(tmp_path: Path) -> None:
    agent, _ = resumed(DEEPQ, tmp_path)

    trained = {name.split(".")[0] for name, p in agent.named_parameters() if p.requires_grad}

    assert trained == {"q_network"}
    assert any(name.startswith("target_q_network.") for name, _ in agent.named_parameters())


def test_a_learning_rate_that_is_stated_is_taken_and_a_missing_one_is_named(tmp_path: Path) -> None:
    report = torchward.convert(PPO2, tmp_path / "without.pth")
    _, optimizer = resumed(PPO2, tmp_path, learning_rate=0.02)

    assert optimizer.param_groups[0]["lr"] == 0.02
    assert any("does not say its learning rate" in note for note in report.notes)


def test_one_step_is_that_of_tensorflows_adam(tmp_path: Path) -> None:
    agent, optimizer = resumed(PPO2, tmp_path, learning_rate=0.02)
    weight = agent.value.vf.weight
    state = {name: value.double().numpy() for name, value in optimizer.state[weight].items()}
    before, gradient = weight.detach().double().numpy(), np.full(weight.shape, 0.3)
    for parameter in agent.parameters():
        parameter.grad = torch.full_like(parameter, 0.3)

    optimizer.step()

    t = 65
    m = 0.9 * state["exp_avg"] + 0.1 * gradient
    v = 0.999 * state["exp_avg_sq"] + 0.001 * gradient**2
    step = 0.02 * math.sqrt(1 - 0.999**t) / (1 - 0.9**t)
    by_hand = before - step * m / (np.sqrt(v) + 1e-5)
    np.testing.assert_allclose(weight.detach().numpy(), by_hand, rtol=1e-5, atol=1e-6)


def test_the_rate_of_rllib_is_in_its_settings(tmp_path: Path) -> None:
    _, optimizer = resumed(FIXTURES / "rllib_ppo_cartpole" / "checkpoint", tmp_path)

    assert optimizer.param_groups[0]["lr"] == 5e-5  # PPO's default
    assert optimizer.param_groups[0]["epsilon"] == 1e-8
    assert optimizer.param_groups[0]["iterations"] > 0


def test_parameters_are_ordered_submodule_by_submodule() -> None:
    steps = [
        Step("nn.Linear", ("x",), "a", "policy.one", state=("weight", "bias")),
        Step("nn.Linear", ("x",), "b", "value.one", state=("weight",)),
        Step("nn.Linear", ("a",), "c", "policy.two", state=("weight",)),
    ]

    assert parameter_order(steps) == [
        "policy.one.weight", "policy.one.bias", "policy.two.weight", "value.one.weight"
    ]  # fmt: skip
