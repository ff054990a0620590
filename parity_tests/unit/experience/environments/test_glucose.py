from __future__ import annotations

import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from experience.environments import REGISTERED, make_environment
from experience.environments.glucose import (
    BEHAVIOURS,
    GlucoseMealsEnv,
    MockT1DEnv,
    SimglucoseGymEnv,
    behaviour_policy,
    collect_episodes,
)
from experience.recording import record_episodes


@pytest.mark.parametrize("environment", [SimglucoseGymEnv, MockT1DEnv, GlucoseMealsEnv])
def test_gymnasiums_checker_has_no_objection(environment: type[gymnasium.Env]) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*symmetric and normalized")  # [0, 30] is not
        made = environment()
        made.action_space.seed(0)
        check_env(made, skip_render_check=True)


@pytest.mark.parametrize(
    "name", [name for name in REGISTERED if "Glucose" in name or "glucose" in name or "T1D" in name]
)
def test_the_environment_is_made_by_its_id(name: str) -> None:
    environment = make_environment(name, seed=0)

    observation, *_ = environment.step(environment.action_space.sample())

    assert environment.observation_space.contains(observation)
    environment.close()


# Measured on the guide's own class, 20 episodes of one RandomState(123).
@pytest.mark.parametrize(
    ("action", "mean", "deviation"),
    [(0, -374.1, 4.2), (1, -380.6, 1.9), (2, -382.6, 1.0)],
    ids=["half", "one", "two"],
)
def test_the_faithful_environment_gives_the_originals_returns(
    action: int, mean: float, deviation: float
) -> None:
    environment = SimglucoseGymEnv(seed=123)
    returns = []
    for _ in range(20):
        environment.reset()
        total, ended = 0.0, False
        while not ended:
            _, reward, ended, _, _ = environment.step(action)
            total += reward
        returns.append(total)

    assert round(float(np.mean(returns)), 1) == mean
    assert round(float(np.std(returns)), 1) == deviation


def test_the_faithful_environment_ends_at_its_floor_whatever_is_done() -> None:
    for behaviour in BEHAVIOURS:
        episode = collect_episodes(behaviour, 1, seed=3)[0]

        assert episode.observations[-200:].max() < 70, behaviour


def test_twenty_episodes_are_9600_transitions_and_end_as_the_original_says() -> None:
    episodes = collect_episodes("moderate")

    assert sum(map(len, episodes)) == 9_600
    assert all(episode.terminations[-1] and not episode.truncations.any() for episode in episodes)
    assert all(episode.terminations.sum() == 1 for episode in episodes)


def test_the_moderate_behaviour_takes_action_1_in_six_of_ten_steps() -> None:
    actions = np.concatenate([episode.actions for episode in collect_episodes("moderate")])

    shares = np.bincount(actions) / len(actions)
    assert shares == pytest.approx([0.2, 0.6, 0.2], abs=0.02)  # four standard deviations


def test_always_1_takes_action_1_and_random_takes_all_alike() -> None:
    ones = collect_episodes("always 1", 1)[0].actions
    chance = np.concatenate([episode.actions for episode in collect_episodes("random", 20)])

    assert set(ones.tolist()) == {1}
    assert np.bincount(chance) / len(chance) == pytest.approx([1 / 3] * 3, abs=0.02)


def test_an_unknown_behaviour_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="there are random, moderate, always 0"):
        behaviour_policy("bold", SimglucoseGymEnv())


def test_mock_t1d_keeps_its_balance_at_15_and_raises_glucose_above() -> None:
    environment = MockT1DEnv()
    ends = {}
    for dose in (0.0, 15.0, 30.0):
        environment.reset(seed=1)
        for _ in range(60):
            observation, reward, *_ = environment.step(np.array([dose]))
        ends[dose] = (float(observation[0]), reward)

    assert ends[0.0][0] < 70
    assert ends[0.0][1] == -1.0
    assert 70 <= ends[15.0][0] <= 180
    assert ends[15.0][1] == 1.0
    assert ends[30.0][0] > 180
    assert ends[30.0][1] == -0.5


def test_mock_t1d_is_truncated_after_480_steps() -> None:
    episode = record_episodes(
        behaviour_policy("random", MockT1DEnv()), MockT1DEnv(), episodes=1, seed=0
    ).episodes[0]

    assert len(episode) == 480
    assert episode.truncations[-1]
    assert not episode.terminations.any()


@pytest.mark.slow
def test_with_meals_policies_differ_by_more_than_twice() -> None:
    def react(observation: np.ndarray, _: np.random.Generator) -> int:
        return 2 if observation[0] > 1.4 else 1 if observation[0] > 1.1 else 0

    environment = GlucoseMealsEnv()
    policies = {name: behaviour_policy(name, environment) for name in BEHAVIOURS}

    means = {
        name: record_episodes(policy, environment, episodes=10, seed=5).returns.mean()
        for name, policy in {**policies, "react": react}.items()
    }

    best_fixed = max(value for name, value in means.items() if name != "react")
    assert means["react"] > 0.7 * best_fixed
    assert means["always 0"] < 2.5 * best_fixed
    assert means["always 2"] < 1.8 * best_fixed


def test_a_meal_raises_glucose_and_shows_before_it_does() -> None:
    environment = GlucoseMealsEnv()
    environment.reset(seed=2)
    steps = [environment.step(1)[0] for _ in range(480)]
    carbohydrates = np.array([step[3] for step in steps])
    glucose = np.array([step[0] for step in steps])

    first = int(np.argmax(carbohydrates > 0))
    assert 130 <= first <= 151  # 7 o'clock and half an hour around it
    assert glucose[first : first + 40].max() > glucose[first] + 0.3
