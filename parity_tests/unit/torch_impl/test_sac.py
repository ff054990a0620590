"""SAC: temperature, density and figures, against formulas written out in numpy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from parity_tests.actor_critic_inputs import (
    BASIS_NOISE,
    MODERATE,
    continuous_transitions,
    small_arguments,
)
from parity_tests.rrd_golden import GOLDEN_CASES, build_golden, recorded
from torch_impl.sac import SAC

LOG_ALPHA = "main/alpha/log_alpha"


def build(**flags: object) -> SAC:
    return SAC(small_arguments(**flags), dtype="float64", device="cpu")


def draw(seed: int = 0) -> Any:
    recipe = continuous_transitions(*BASIS_NOISE["sac"], largest=MODERATE)
    return recipe({"args": small_arguments()}, np.random.default_rng(seed))


def with_output(agent: SAC, mean: float, logstd: float) -> None:
    """Make the policy give the same distribution everywhere."""
    kernel, bias = "main/policy/net/pi/kernel", "main/policy/net/pi/bias"
    shape = agent.read_variables()[kernel].shape
    agent.write_variables({kernel: np.zeros(shape), bias: np.repeat([mean, logstd], 3)})


def sample(agent: SAC, noise: NDArray[np.floating]) -> tuple[Any, Any]:
    with torch.no_grad():
        action, log_p = agent.sample_action(torch.zeros(1, 4).double(), torch.from_numpy(noise))
    return action.numpy(), log_p.item()


@pytest.mark.parametrize("quantity", ["pi_log_p", "q_pi", "q_t"])
def test_intermediate_values_are_those_of_the_original(quantity: str) -> None:
    agent = build_golden("torch_impl", "sac")
    batch, noise = GOLDEN_CASES["sac"].batch(), GOLDEN_CASES["sac"].noise()
    now = quantity != "q_t"
    observation = torch.from_numpy(batch["obs" if now else "obs_next"])
    drawn = torch.from_numpy(noise["policy" if now else "next_policy"])

    with torch.no_grad():
        action, log_p = agent.sample_action(observation, drawn)
        networks = "q_value" if now else "target_q_value"
        value = agent.soft_value(observation, action, log_p, networks=networks)

    found = (log_p if quantity == "pi_log_p" else value).numpy().ravel()
    assert np.allclose(found, recorded("sac")[quantity], rtol=0, atol=1e-6)


def test_density_keeps_the_log_std_that_the_floor_of_the_std_ignores() -> None:
    agent, noise = build(), np.array([[0.5, -1.0, 2.0]])
    with_output(agent, 0.3, -8.0)

    action, log_p = sample(agent, noise)

    x = 0.3 + 0.01 * noise
    normal = -0.5 * np.log(2 * np.pi) + 8.0 - 0.5 * noise**2
    assert np.allclose(action, np.tanh(x), rtol=0, atol=1e-15)
    assert log_p == pytest.approx(np.sum(normal - np.log(1 - np.tanh(x) ** 2 + 1e-6)), rel=1e-12)


@pytest.mark.parametrize(("logstd", "rises"), [(1.0, False), (-8.0, True)])
def test_temperature_falls_while_the_entropy_is_above_minus_the_size_of_an_action(
    logstd: float, rises: bool
) -> None:
    agent = build()
    with_output(agent, 0.0, logstd)
    before = agent.read_variables()[LOG_ALPHA]

    agent.train_pi(*draw())

    assert (agent.read_variables()[LOG_ALPHA] > before) == rises


def test_planted_sign_of_the_target_entropy_is_seen_by_the_recorded_temperature(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    agent = build_golden("torch_impl", "sac")
    temperature = agent.networks["temperature"]
    monkeypatch.setattr(
        agent, "temperature_loss", lambda log_p: -temperature() * (log_p.mean() + 2).detach()
    )

    agent.train_pi(GOLDEN_CASES["sac"].batch(), GOLDEN_CASES["sac"].noise())

    expected = recorded("sac")["log_alpha_after_pi"]
    assert agent.read_variables()[LOG_ALPHA] != pytest.approx(expected, abs=1e-6)


def test_planted_floored_log_std_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    agent, noise = build(), np.zeros((1, 3))
    with_output(agent, 0.3, -8.0)
    before = sample(agent, noise)[1]
    policy = agent.networks["policy"]
    forward = policy.forward

    def floored(observation: torch.Tensor) -> Any:
        distribution = forward(observation)
        distribution.logstd = distribution.std.log()
        return distribution

    monkeypatch.setattr(policy, "forward", floored)

    assert abs(sample(agent, noise)[1] - before) > 1.0


def test_learning_rate_of_zero_leaves_the_temperature_alone() -> None:
    agent = build(alpha_lr=0.0, alpha_init=0.1)

    agent.train(*draw())

    assert agent.read_variables()[LOG_ALPHA] == np.log(0.1)
    assert set(agent.optimizers) == {"policy", "value"}


def test_joint_step_takes_the_critics_gradients_at_the_old_policy_and_temperature() -> None:
    joint, alone, policy_first = build(), build(), build()
    batch, noise = draw()

    joint.train(batch, noise)
    alone.train_q(batch, noise)
    policy_first.train_pi(batch, noise)
    policy_first.train_q(batch, noise)

    name = "main/q_value_1/net/q_dense1/kernel"
    found, expected, wrong = (
        agent.read_variables()[name] for agent in (joint, alone, policy_first)
    )
    assert np.array_equal(found, expected)
    assert not np.array_equal(found, wrong)


def test_greedy_action_is_the_squashed_mean_and_its_value_has_the_entropy() -> None:
    agent = build(alpha_init=0.5)
    with_output(agent, 0.3, -1.0)
    observation = np.array([0.1, -0.2, 0.3, 0.4])

    action, figures = agent.step(observation, test_info=True)

    assert np.allclose(action, np.tanh(0.3), rtol=0, atol=1e-15)
    x = torch.from_numpy(observation)[None]
    values = [
        agent.networks[name](x, torch.from_numpy(action)[None]).item()
        for name in ("q_value_1", "q_value_2")
    ]
    log_p = 3 * (-0.5 * np.log(2 * np.pi) + 1.0 - np.log(1 - np.tanh(0.3) ** 2 + 1e-6))
    assert figures["Q_average"] == pytest.approx(min(values) - 0.5 * log_p, rel=1e-12)
    assert figures["Pi_step_std"] == pytest.approx(np.exp(-1.0), rel=1e-12)


def test_exploring_action_adds_the_noise_before_squashing() -> None:
    agent, noise = build(), np.array([1.0, -1.0, 0.5])
    with_output(agent, 0.3, -1.0)

    action = agent.step(np.zeros(4), explore=True, noise=noise)

    assert np.allclose(action, np.tanh(0.3 + np.exp(-1.0) * noise), rtol=0, atol=1e-15)


def test_saved_agent_goes_on_with_its_temperature_and_the_temperature_s_optimizer(
    tmp_path: Path,
) -> None:
    agent = build()
    for seed in range(3):
        agent.train(*draw(seed))
    agent.save_model(tmp_path / "agent")
    loaded = build(alpha_init=2.0)

    loaded.load_model(tmp_path / "agent")
    for each in (agent, loaded):
        each.train(*draw(4))

    kept, again = agent.read_variables(), loaded.read_variables()
    assert all(np.array_equal(kept[name], again[name]) for name in kept)
