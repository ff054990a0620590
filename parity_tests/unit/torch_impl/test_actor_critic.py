from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from parity_tests.actor_critic_inputs import (
    continuous_transitions,
    small_arguments,
    sub_sequences,
)
from torch_impl.actor_critic import ActorCritic
from torch_impl.checkpoints import CheckpointError
from torch_impl.ddpg import DDPG
from torch_impl.ircr import IRCR
from torch_impl.rrd import RRD
from torch_impl.sac import SAC
from torch_impl.td3 import TD3


def agent(kind: type[DDPG] = DDPG, **flags: Any) -> DDPG:
    return kind(small_arguments(**flags), seed=3, device="cpu")


def draw(seed: int = 0, *noise: str) -> Any:
    return continuous_transitions(*noise)({"args": small_arguments()}, np.random.default_rng(seed))


def episodes(args: Any, seed: int) -> Any:
    """Return a batch with sub-sequences, which only return decomposition reads."""
    return sub_sequences({"args": args}, np.random.default_rng(seed)).batch


def weights(of: DDPG, prefix: str) -> Any:
    return np.concatenate(
        [a.ravel() for n, a in of.read_variables().items() if n.startswith(prefix)]
    )


def test_first_weights_are_glorot_uniform_with_zero_biases_and_equal_targets() -> None:
    found = agent().read_variables()

    kernel = found["main/policy/net/pi_dense1/kernel"]
    limit = np.sqrt(6 / (4 + 7))
    assert kernel.shape == (4, 7)
    assert 0.6 * limit < np.abs(kernel).max() <= limit
    assert not found["main/policy/net/pi_dense1/bias"].any()
    assert np.array_equal(kernel, found["target/policy/net/pi_dense1/kernel"])


def test_joint_step_takes_all_gradients_at_the_old_weights() -> None:
    joint, policy_only, critic_only = (agent() for _ in range(3))
    batch, noise = draw()

    joint.train(batch, noise)
    policy_only.train_pi(batch, noise)
    critic_only.train_q(batch, noise)

    assert np.array_equal(weights(joint, "main/policy"), weights(policy_only, "main/policy"))
    assert np.array_equal(weights(joint, "main/value"), weights(critic_only, "main/value"))


def test_steps_of_one_kind_leave_the_other_networks_alone() -> None:
    trained, fresh = agent(), agent()
    batch, noise = draw()

    trained.train_pi(batch, noise)

    for prefix in ("main/value", "target/"):
        assert np.array_equal(weights(trained, prefix), weights(fresh, prefix))
    assert trained.counters == {"pi": 1, "q": 0, "target": 0}


def test_target_update_keeps_the_share_that_polyak_says() -> None:
    one = agent()
    one.train(*draw())
    before, main = weights(one, "target/"), weights(one, "main/")

    one.target_update()

    assert np.allclose(weights(one, "target/"), 0.95 * before + 0.05 * main, rtol=1e-6)


def test_exploration_adds_noise_and_stays_in_range() -> None:
    one, observation = agent(), np.zeros(4)

    action = one.step(observation, explore=True, noise=np.array([1.0, -2.0, 1e3]))

    assert np.allclose(action[:2] - one.step(observation)[:2], [0.1, -0.2], atol=1e-6)
    assert action[2] == 1.0


def test_several_observations_give_as_many_actions_and_figures_their_mean() -> None:
    one, rows = agent(), np.random.default_rng(0).standard_normal((5, 4))

    actions, figures = one.step(rows, test_info=True)

    assert actions.shape == (5, 3)
    assert np.allclose(actions[2], one.step(rows[2]), atol=1e-6)
    assert figures["Q_average"] == pytest.approx(one.get_values(rows).mean(), rel=1e-5)


def test_observation_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(5,\); needed \(4,\)"):
        agent().step(np.zeros(5))


def test_noise_of_another_name_is_refused() -> None:
    batch, _ = draw()

    with pytest.raises(ValueError, match="noise arrays do not fit: target found nothing"):
        agent(TD3).train(batch, {})


def test_noise_that_is_not_handed_in_comes_from_the_seed() -> None:
    first, second = agent(TD3), agent(TD3)

    for each in (first, second):
        each.train(draw()[0])

    assert np.array_equal(weights(first, "main/"), weights(second, "main/"))


@pytest.mark.parametrize("kind", [DDPG, TD3, SAC, RRD, IRCR])
def test_loaded_agent_trains_on_bit_by_bit(kind: type[ActorCritic], tmp_path: Path) -> None:
    args = small_arguments(obs_normalization=True, basis_alg="sac")
    kept = kind(args, seed=3, device="cpu")
    first, second, third = (episodes(args, seed) for seed in range(3))
    kept.normalizer_update(first)
    kept.train(second)
    kept.target_update()

    kept.save(tmp_path / "agent")
    loaded = kind.load(tmp_path / "agent", device="cpu")
    for each in (kept, loaded):
        each.train(third)
        each.target_update()

    expected = kept.read_variables()
    found = loaded.read_variables()
    assert ("main/alpha/log_alpha" in found) == (kind in (SAC, RRD, IRCR))
    assert all(np.array_equal(found[name], expected[name]) for name in expected)
    assert loaded.counters == kept.counters == {"pi": 2, "q": 2, "target": 2}


def test_file_has_everything_and_needs_no_code(tmp_path: Path) -> None:
    agent(obs_normalization=True).save_model(tmp_path / "agent.pth")

    content = torch.load(tmp_path / "agent.pth", weights_only=True)

    networks = {name.partition(".")[0] for name in content["model_state_dict"]}
    assert networks == {"normalizer", "policy", "value", "target_policy", "target_value"}
    assert set(content["optimizers"]) == {"policy", "value"}


def test_file_of_another_agent_is_refused(tmp_path: Path) -> None:
    agent().save_model(tmp_path / "ddpg")

    with pytest.raises(CheckpointError, match=r"ddpg\.pth: not a TD3 of these settings"):
        agent(TD3).load_model(tmp_path / "ddpg")


def test_unknown_variable_is_refused_and_nothing_is_changed() -> None:
    one = agent()
    before = one.read_variables()
    bias = "main/policy/net/pi/bias"

    with pytest.raises(ValueError, match="nothing/here found"):
        one.write_variables({bias: np.ones(3), "nothing/here": np.ones(3)})

    assert np.array_equal(one.read_variables()[bias], before[bias])


@pytest.mark.parametrize(("cuda", "wanted"), [(False, "cpu"), (True, "auto"), (None, "auto")])
def test_cuda_false_in_the_arguments_means_the_cpu(
    cuda: bool | None, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def find(name: str) -> torch.device:
        asked.append(name)
        return torch.device("cpu")

    monkeypatch.setattr("torch_impl.actor_critic.find_device", find)

    DDPG(small_arguments(cuda=cuda))

    assert asked == [wanted]


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("policies", "MLPPolicy"),
        ("policies", "MLPStochasticPolicy"),
        ("values", "MLPQValue"),
        ("values", "MLPQValueSAC"),
        ("rewards", "MLPRewardNet"),
        ("rewards", "ConvRewardNet"),
    ],
)
def test_networks_of_the_guide_are_modules_of_torch(module: str, name: str) -> None:
    network = getattr(importlib.import_module(f"torch_impl.{module}"), name)

    assert issubclass(network, nn.Module)
