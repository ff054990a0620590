"""Checkpoints that the original return decomposition code wrote become agents that give its outputs and train on.

The fixtures hold what the original computed with each checkpoint: outputs, and the losses and variables of three more
steps of every optimizer, one after another, without updates of the target networks. `rrd_sac_mujoco` has no graph
beside its variables, so everything there comes from names.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import torchward
from converters.errors import UnsupportedError
from parity_tests import FIXTURES
from torch_impl.actor_critic import ActorCritic
from torch_impl.rrd import RRD
from torch_impl.value_dqn import ValueDQN

CASES: dict[str, type[ActorCritic]] = {
    "rrd_basis_dqn_dueling_conv": ValueDQN,
    "rrd_ddpg_mujoco": RRD,
    "rrd_sac_mujoco": RRD,
}
FIGURES = ("Pi_loss", "Q_loss", "Q_reg_loss", "R_loss")
# Of the recordings themselves, which are float32 sums in another order; relative to the largest number.
LIMIT = 1e-5

Arrays = dict[str, NDArray[Any]]


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Give the file of a case, converted once for all tests."""

    @cache
    def convert(case: str) -> Path:
        path = tmp_path_factory.mktemp(case) / "agent.pth"
        torchward.convert(FIXTURES / case / "saved", path)
        return path

    return convert


@pytest.fixture
def agent(case: str, converted: Callable[[str], Path]) -> Any:
    agent = CASES[case].load(converted(case), device="cpu")
    # What the recorded batches have; the graph says it, names do not.
    agent.args.rrd_sample_size = 4
    return agent


def recorded(case: str) -> Arrays:
    with np.load(FIXTURES / case / "expected.npz") as file:
        return dict(file)


def inputs(case: str) -> tuple[Arrays, Arrays | None]:
    """Return the recorded batch and noise under the names of the agents."""
    arrays = recorded(case)
    count = len(arrays["in_acts"])
    batch = {
        "obs": arrays["in_raw_obs"],
        "obs_next": arrays["in_raw_obs_next"],
        "acts": arrays["in_acts"],
        "rews": arrays.get("in_rews", np.zeros((count, 1), np.float32)),  # else predicted
        "done": arrays["in_done"],
    }
    if "in_rrd_rews" in arrays:
        batch["rrd_obs"] = arrays["in_rrd_raw_obs"]
        batch["rrd_obs_next"] = arrays["in_rrd_raw_obs_next"]
        batch["rrd_acts"] = arrays["in_rrd_acts"]
        batch["rrd_rews"] = arrays["in_rrd_rews"]
        batch["rrd_var_coef"] = np.zeros((count, 1), np.float32)
    if "in_pi_noise" not in arrays:
        return batch, None
    return batch, {"policy": arrays["in_pi_noise"], "next_policy": arrays["in_pi_next_noise"]}


def is_close(found: Any, expected: NDArray[Any]) -> bool:
    difference = np.abs(np.asarray(found, np.float64).reshape(expected.shape) - expected)
    return bool(difference.max() <= LIMIT * max(1.0, np.abs(expected).max()))


def outputs(agent: Any, case: str) -> Arrays:
    """Return what the agent computes of what was recorded, under the recorded names."""
    batch, noise = inputs(case)
    tensors, drawn = agent._tensors(batch, noise)
    networks, obs, acts = agent.networks, tensors["obs"], tensors["acts"]
    still = {**tensors, "rews": torch.zeros(len(obs), 1), "done": torch.zeros(len(obs), 1)}
    found = {"q_target": agent.value_target(still, drawn) / agent.args.gamma}
    if isinstance(agent, ValueDQN):
        found["q"] = networks["value"](obs)
    elif "temperature" in networks:
        normal = networks["policy"](obs)
        found["mean"], found["std"] = normal.mean, normal.std
        found["action"], found["logp"] = agent.sample_action(obs, drawn["policy"])
        found["q1"], found["q2"] = (networks[f"q_value_{i}"](obs, acts) for i in (1, 2))
        found["alpha"] = networks["temperature"]().exp()
    else:
        found["action"] = networks["policy"](obs)
        found["q"], found["q_pi"] = networks["value"](obs, acts), agent.policy_value(obs)
    if "reward" in networks:
        found["rewards_pred"] = agent.critic_reward(tensors)
        found["rrd"] = agent.sub_sequence_rewards(tensors).mean(dim=1)
    return {name: tensor.detach().numpy() for name, tensor in found.items()}


@pytest.mark.slow
def test_loaded_networks_give_the_recorded_outputs(
    case: str, converted: Callable[[str], Path]
) -> None:
    arrays = recorded(case)
    given = {
        "observation": "in_raw_obs",
        "action": "in_acts",
        "next_observation": "in_raw_obs_next",
    }
    names = list(given)[: 1 if "dqn" in case else None]

    networks = torchward.load(converted(case))
    with torch.no_grad():
        found = networks(*(torch.tensor(arrays[given[name]]) for name in names))
    found["action"] = found["deterministic_action"]

    drawn = {"action"} if "sac" in case else set()
    common = (set(found) & set(arrays)) - drawn
    assert len(common) == (1 if "dqn" in case else 4 if "ddpg" in case else 6)
    for name in common:
        assert is_close(found[name].numpy(), arrays[name]), name
    assert torchward.verify(FIXTURES / case / "saved", converted(case)).passed


def test_optimizers_of_a_whole_agent_are_its_own(converted: Callable[[str], Path]) -> None:
    with pytest.raises(UnsupportedError, match="several optimizers"):
        torchward.load(converted("rrd_ddpg_mujoco"), optimizer=True)


def step_one_after_another(agent: Any, case: str) -> dict[str, float]:
    """Let every optimizer take a step at the weights that the one before it left; return the figures before."""
    batch, noise = inputs(case)
    figures: dict[str, float] = agent.losses(batch, noise)
    for name, optimizer in agent.optimizers.items():
        losses = agent._steps.losses("joint", *agent._tensors(batch, noise))
        gradients = torch.autograd.grad(losses.objectives[name], agent._steps.trained[name])
        optimizer.apply_gradients(list(gradients))
    return figures


def test_outputs_are_those_of_the_original(agent: Any, case: str) -> None:
    expected = recorded(case)

    found = outputs(agent, case)

    names = [
        name
        for name in expected
        if not name.startswith(("in_", "after/")) and name != "resume_losses"
    ]
    assert sorted(found) == sorted(names)
    assert [name for name in names if not is_close(found[name], expected[name])] == []


def test_training_goes_on_as_in_the_original(agent: Any, case: str) -> None:
    expected = recorded(case)

    rounds = [step_one_after_another(agent, case) for _ in expected["resume_losses"]]

    found = [[figures[name] for name in FIGURES if name in figures] for figures in rounds]
    assert is_close(found, expected["resume_losses"])
    after = {name.removeprefix("after/"): expected[name] for name in expected if "after/" in name}
    variables = agent.read_variables()
    assert set(variables) <= set(after)
    assert [name for name in variables if not is_close(variables[name], after[name])] == []
    for number, optimizer in enumerate(agent.optimizers.values()):
        for power in ("beta1_power", "beta2_power"):
            stored = after.get(f"{power}_{number}" if number else power)
            if stored is not None:
                assert optimizer.param_groups[0][power] == pytest.approx(float(stored), rel=1e-6)


def test_starting_the_optimizers_anew_is_seen(agent: Any, case: str) -> None:
    expected = recorded(case)
    agent.create_optimizers()

    for _ in expected["resume_losses"]:
        step_one_after_another(agent, case)

    variables = agent.read_variables()
    names = [name for name in variables if not name.startswith(("target/", "normalizer/"))]
    assert [name for name in names if not is_close(variables[name], expected[f"after/{name}"])]


def test_settings_are_those_of_the_run(agent: Any, case: str) -> None:
    flags = json.loads((FIXTURES / case / "meta.json").read_text())["hyper_parameters"]

    names = ["obs_dims", "acts_dims", "obs_normalization", "alg", "basis_alg", "q_lr"]
    names += ["optimizer", "RMSProp_decay", "RMSProp_eps", "dueling"] if "dqn" in case else []
    names += ["pi_lr", "r_lr"] if "mujoco" in case else []

    for name in names:
        value = getattr(agent.args, name)
        assert value == (pytest.approx(flags[name]) if isinstance(value, float) else flags[name])


@pytest.mark.parametrize("case", ["rrd_ddpg_mujoco"])
def test_steps_so_far_are_read_off_the_powers(agent: Any) -> None:
    assert (agent.counters["pi"], agent.counters["q"]) == (8, 8)


def test_agent_is_not_written_as_one_network(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="whole agent"):
        torchward.convert(FIXTURES / "rrd_sac_mujoco" / "saved", tmp_path / "agent.safetensors")


def test_saved_and_loaded_again_a_converted_agent_is_the_same(
    agent: Any, case: str, tmp_path: Path
) -> None:
    agent.save_model(tmp_path / "again")
    again = CASES[case].load(tmp_path / "again", device="cpu")

    figures = [step_one_after_another(each, case) for each in (agent, again)]

    assert figures[0] == figures[1]
    assert_same(agent.read_variables(), again.read_variables())


def legacy_agent(case: str, like: Any) -> Any:
    pytest.importorskip("tensorflow")
    module = CASES[case].__module__.rpartition(".")[2]
    agent_class = getattr(importlib.import_module(f"legacy_tf.{module}"), CASES[case].__name__)
    return agent_class(like.args, dtype=like.dtype)


def assert_same(legacy: Mapping[str, NDArray[Any]], other: Mapping[str, NDArray[Any]]) -> None:
    assert set(legacy) == set(other)
    assert [name for name in legacy if not np.array_equal(legacy[name], other[name])] == []


@pytest.mark.tf
def test_legacy_agent_loads_what_the_original_wrote(agent: Any, case: str) -> None:
    legacy = legacy_agent(case, agent)

    legacy.load_model(FIXTURES / case / "saved" / "model")

    assert_same(legacy.read_variables(), agent.read_variables())
    figures = legacy.losses(*inputs(case))
    found = [figures[name] for name in FIGURES if name in figures]
    assert is_close(found, recorded(case)["resume_losses"][0])


@pytest.mark.tf
def test_what_the_legacy_agent_writes_converts_and_trains_on(
    agent: Any, case: str, tmp_path: Path
) -> None:
    legacy = legacy_agent(case, agent)
    legacy.load_model(FIXTURES / case / "saved" / "model")
    batch, noise = inputs(case)
    legacy.train_q(batch, noise)
    legacy.save_model(tmp_path / "legacy")

    torchward.convert(tmp_path / "legacy", tmp_path / "legacy.pth")
    continued = CASES[case].load(tmp_path / "legacy.pth", device="cpu", args=agent.args)

    assert_same(legacy.read_variables(), continued.read_variables())
    legacy.train_q(batch, noise)
    continued.train_q(batch, noise)
    legacy_variables, variables = legacy.read_variables(), continued.read_variables()
    assert [
        name for name in variables if not is_close(variables[name], legacy_variables[name])
    ] == []
