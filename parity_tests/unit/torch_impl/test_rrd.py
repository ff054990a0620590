"""Return decomposition over every basis: what is predicted, what the critic sees, what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from parity_tests.actor_critic_inputs import small_arguments, sub_sequences
from parity_tests.rrd_golden import GOLDEN_CASES, build_golden, recorded
from torch_impl.ddpg import DDPG
from torch_impl.ircr import IRCR
from torch_impl.rrd import RRD
from torch_impl.sac import SAC
from torch_impl.td3 import TD3

CASES = ("rrd_sac", "rrd_sac_bc", "rrd_ddpg", "rrd_td3")


def build(basis: str = "ddpg", **flags: object) -> Any:
    args = small_arguments(basis_alg=basis, **flags)
    return RRD(args, dtype="float64", device="cpu")


def draw(**flags: object) -> Any:
    args = small_arguments(basis_alg="ddpg", **flags)
    return sub_sequences({"args": args}, np.random.default_rng(0))


@pytest.mark.parametrize("name", CASES)
def test_predicted_rewards_are_those_of_the_original(name: str) -> None:
    agent, batch = build_golden("torch_impl", name), GOLDEN_CASES[name].batch()
    tensors = {key: torch.from_numpy(array) for key, array in batch.items()}

    rewards = agent.get_rewards(batch["obs"], batch["acts"], batch["obs_next"])
    with torch.no_grad():
        means = agent.sub_sequence_rewards(tensors).mean(dim=1).numpy()

    assert np.allclose(rewards.ravel(), recorded(name)["rews_pred"], rtol=0, atol=1e-6)
    assert np.allclose(means.ravel(), recorded(name)["rrd"], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "name", "basis"),
    [
        (RRD, "sac", SAC),
        (RRD, "td3", TD3),
        (RRD, "ddpg", DDPG),
        (IRCR, "sac", SAC),
        (IRCR, "td3", TD3),
    ],
)
def test_agent_is_one_of_its_basis(kind: Any, name: str, basis: type) -> None:
    agent = kind(small_arguments(basis_alg=name), device="cpu")

    assert isinstance(agent, kind)
    assert isinstance(agent, basis)


def test_unknown_basis_is_refused() -> None:
    with pytest.raises(ValueError, match="no basis algorithm 'ppo'; there are: ddpg, td3, sac"):
        build("ppo")


def test_reward_of_the_environment_is_not_seen() -> None:
    batch, noise = draw()
    other = batch._replace(reward=batch.reward + 5.0)

    left, right = (build().losses(each, noise) for each in (batch, other))

    assert left == right


def test_ircr_sees_the_rewards_that_the_buffer_gives() -> None:
    batch, noise = draw()
    agent = IRCR(small_arguments(basis_alg="ddpg"), dtype="float64", device="cpu")

    left, right = (
        agent.losses(each, noise) for each in (batch, batch._replace(reward=batch.reward + 5.0))
    )

    assert left["Q_loss"] != right["Q_loss"]


def test_critic_s_loss_does_not_train_the_reward() -> None:
    agent = build(q_lr=1.0)
    batch, noise = draw()
    losses = agent._steps.losses("q", *agent._tensors(batch, noise))

    gradients = torch.autograd.grad(
        losses.objectives["value"],
        list(agent.networks["reward"].parameters()),
        allow_unused=True,
    )

    assert gradients == (None,) * 6


def test_observations_are_normalised_once() -> None:
    agent = build(obs_normalization=True)
    batch, _ = draw()
    agent.normalizer_update(batch)

    found = agent.get_rewards(batch.observation, batch.action, batch.next_observation)

    rows = np.concatenate([batch.observation, batch.next_observation])
    std = np.maximum(0.01, np.sqrt((rows**2).mean(0) - rows.mean(0) ** 2))
    once, following = (
        np.clip((each - rows.mean(0)) / std, -5, 5)
        for each in (batch.observation, batch.next_observation)
    )
    twice = np.clip((once - rows.mean(0)) / std, -5, 5)
    plain = build()
    assert np.allclose(found, plain.get_rewards(once, batch.action, following), rtol=0, atol=1e-12)
    assert not np.allclose(found, plain.get_rewards(twice, batch.action, following), atol=1e-3)


def test_sub_sequences_are_normalised_as_transitions_are() -> None:
    agent = build(obs_normalization=True)
    batch, noise = draw()
    agent.normalizer_update(batch)

    tensors, _ = agent._tensors(batch, noise)
    with torch.no_grad():
        found = agent.sub_sequence_rewards(tensors).numpy()

    for episode in range(len(found)):
        steps = (batch.rrd_obs[episode], batch.rrd_acts[episode], batch.rrd_obs_next[episode])
        assert np.allclose(found[episode], agent.get_rewards(*steps), rtol=0, atol=1e-12)


def test_bias_correction_makes_the_expected_loss_that_of_whole_episodes() -> None:
    length, count, draws = 7, 3, 20_000
    rng = np.random.default_rng(1)
    agent = build(rrd_sample_size=count, rrd_bias_correction=True)
    predictions, target = rng.normal(size=length), 0.4
    picks = np.array([rng.permutation(length)[:count] for _ in range(draws)])
    chosen = torch.from_numpy(predictions[picks])[..., None]
    coefficient = torch.full((draws, 1), 1 - count / length, dtype=torch.float64)

    sampled = float(((chosen.mean(dim=1) - target) ** 2).mean())
    correction = float(agent.reward_variance(chosen, coefficient))

    whole = (predictions.mean() - target) ** 2
    assert sampled - whole > 0.05
    assert sampled - correction == pytest.approx(whole, abs=0.01)


def test_bias_correction_of_single_steps_is_refused() -> None:
    with pytest.raises(ValueError, match="rrd_sample_size 1; needed at least 2"):
        build(rrd_sample_size=1, rrd_bias_correction=True).input_shapes()


def test_batch_without_sub_sequences_is_refused() -> None:
    batch, noise = draw()
    plain = {name: array for name, array in batch._asdict().items() if name != "rrd_obs"}

    with pytest.raises(ValueError, match="the batch has no rrd_obs; sample it from a buffer"):
        build().train(plain, noise)
