from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

from experience.recording import (
    exploring_policy,
    greedy_policy,
    random_policy,
    record_episodes,
    share_episodes,
)


class _Counting(gymnasium.Env):
    """Observes the number of steps done, rewards with the action, ends after four steps."""

    def __init__(self, *, ends: bool = True) -> None:
        self.observation_space = gymnasium.spaces.Box(0, 100, (1,), np.float32)
        self.action_space = gymnasium.spaces.Discrete(3, start=5)
        self.ends, self.seeds = ends, []

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict]:
        self.seeds.append(seed)
        self.steps = 0
        return np.zeros(1, np.float32), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict]:
        self.steps += 1
        observation = np.array([self.steps], np.float32)
        return observation, float(action), self.ends and self.steps == 4, False, {}


def test_an_episode_has_one_observation_more_than_actions_and_its_real_end() -> None:
    recording = record_episodes(lambda *_: 6, _Counting(), episodes=2, seed=30)

    first = recording.episodes[0]
    assert first.observations[:, 0].tolist() == [0, 1, 2, 3, 4]
    assert first.rewards.tolist() == [6, 6, 6, 6]
    assert first.terminations.tolist() == [False, False, False, True]
    assert not first.truncations.any()
    assert recording.returns.tolist() == [24, 24]
    assert recording.steps == 8


def test_an_environment_may_show_the_same_array_again_with_other_numbers() -> None:
    environment, shown = _Counting(), np.zeros(1, np.float32)
    outcome = environment.step

    def step(action: int) -> tuple[Any, float, bool, bool, dict]:
        shown[:], *others = outcome(action)
        return (shown, *others)

    environment.step = step  # type: ignore[method-assign]
    [episode] = record_episodes(lambda *_: 6, environment, episodes=1, seed=30).episodes

    assert episode.observations[:, 0].tolist() == [0, 1, 2, 3, 4]


def test_episode_i_is_reset_with_the_seed_plus_i() -> None:
    environment = _Counting()

    recording = record_episodes(lambda *_: 6, environment, episodes=3, seed=30)

    assert environment.seeds == recording.seeds == [30, 31, 32]


def test_the_same_seed_records_the_same_episodes_and_another_one_others() -> None:
    environment = _Counting()
    policy = random_policy(environment)

    once, again, other = (
        np.concatenate(
            [
                episode.actions
                for episode in record_episodes(policy, environment, episodes=8, seed=s).episodes
            ]
        ).tolist()
        for s in (1, 1, 2)
    )

    assert once == again
    assert once != other
    assert set(once) == {5, 6, 7}


def test_epsilon_0_is_the_policy_and_epsilon_1_is_chance() -> None:
    environment = _Counting()
    rng = np.random.default_rng(0)
    never = exploring_policy(lambda *_: 5, environment, epsilon=0.0)
    always = exploring_policy(lambda *_: 5, environment, epsilon=1.0)
    observation = np.zeros(1, np.float32)

    assert {never(observation, rng) for _ in range(50)} == {5}
    assert {always(observation, rng) for _ in range(50)} == {5, 6, 7}


def test_epsilon_explores_at_its_rate() -> None:
    policy = exploring_policy(lambda *_: 5, _Counting(), epsilon=0.3)
    rng = np.random.default_rng(0)

    others = np.mean([policy(np.zeros(1), rng) != 5 for _ in range(6_000)])

    # Of the random actions a third is 5, too: 0.2 +- 0.005 (one standard deviation).
    assert others == pytest.approx(0.2, abs=0.02)


def test_epsilon_outside_of_0_to_1_is_refused() -> None:
    with pytest.raises(ValueError, match=r"epsilon is 1\.5"):
        exploring_policy(lambda *_: 5, _Counting(), epsilon=1.5)


def test_shares_give_every_policy_its_part_of_the_episodes() -> None:
    order = share_episodes(11, [1, 3], np.random.default_rng(0))

    assert (order.count(0), order.count(1)) == (3, 8)
    assert order != sorted(order)


@pytest.mark.parametrize("shares", [[0, 0], [-1, 2], [], [float("nan")]])
def test_shares_of_nothing_are_refused(shares: list[float]) -> None:
    with pytest.raises(ValueError, match="needed numbers from 0 on"):
        share_episodes(4, shares, np.random.default_rng(0))


def test_a_mixture_says_which_policy_played_which_episode() -> None:
    recording = record_episodes(
        [lambda *_: 5, lambda *_: 7], _Counting(), episodes=6, seed=0, shares=[2, 1]
    )

    assert sorted(recording.policies) == [0, 0, 0, 0, 1, 1]
    assert [20.0 if each == 0 else 28.0 for each in recording.policies] == list(recording.returns)


def test_an_episode_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("experience.recording.MAX_STEPS", 10)

    with pytest.raises(ValueError, match="give it a time limit"):
        record_episodes(lambda *_: 5, _Counting(ends=False), episodes=1, seed=0)


def test_no_episode_is_refused() -> None:
    with pytest.raises(ValueError, match="0 episodes"):
        record_episodes(lambda *_: 5, _Counting(), episodes=0, seed=0)


def test_boxes_are_drawn_within_their_bounds_in_their_own_type() -> None:
    environment = gymnasium.make("Pendulum-v1")
    policy = random_policy(environment)
    rng = np.random.default_rng(0)

    actions = np.stack([policy(np.zeros(3), rng) for _ in range(200)])

    assert actions.shape == (200, 1)
    assert actions.dtype == np.float32
    assert actions.min() < -1.9
    assert actions.max() > 1.9
    assert np.abs(actions).max() <= 2


def test_other_spaces_draw_from_the_generator_that_is_given() -> None:
    environment = _Counting()
    environment.action_space = gymnasium.spaces.MultiBinary(20)
    policy = random_policy(environment)

    first, again = (policy(np.zeros(1), np.random.default_rng(4)) for _ in range(2))

    assert first.tolist() == again.tolist()


def test_an_agents_greedy_action_becomes_a_plain_number() -> None:
    class Agent:
        def act(self, observation: Any, rng: Any, *, explore: bool) -> np.ndarray:
            assert not explore
            return np.array(2)

    assert greedy_policy(Agent())(np.zeros(1), np.random.default_rng(0)) == 2
