from __future__ import annotations

import numpy as np
import pytest

from experience.environments.glucose import GlucoseMealsEnv, behaviour_policy
from experience.off_policy_evaluation import (
    discounted_returns,
    greedy_probabilities,
    importance_sampling,
)
from experience.offline_data import Episode, ReplayBuffer, make_episode
from experience.recording import record_episodes
from torch_impl.fitted_q_evaluation import FittedQEvaluation


def _chain(rng: np.random.Generator) -> Episode:
    """Three states in a row; action 1 goes on and earns the state's number, action 0 ends with -1."""
    observations, actions, rewards = [0], [], []
    while True:
        action = int(rng.integers(2))
        state = observations[-1]
        actions.append(action)
        rewards.append(float(state + 1) if action else -1.0)
        observations.append(min(state + 1, 2))
        if not action or state == 2:
            steps = len(actions)
            ends = np.arange(steps) == steps - 1
            return make_episode(np.eye(3)[observations], actions, rewards, ends, np.zeros(steps))


@pytest.fixture(scope="module")
def chain() -> ReplayBuffer:
    rng = np.random.default_rng(0)
    return ReplayBuffer([_chain(rng) for _ in range(200)])


def _go_on(rows: np.ndarray) -> np.ndarray:
    return np.ones(len(rows), np.int64)


@pytest.mark.slow
def test_values_of_a_chain_are_those_worked_out_by_hand(chain: ReplayBuffer) -> None:
    evaluation = FittedQEvaluation(
        _go_on, chain, gamma=0.5, hidden_sizes=(16,), batch_size=32, target_update_freq=20, lr=1e-2
    )

    evaluation.fit(600)

    # 3; 2 + 0.5 * 3; 1 + 0.5 * 3.5
    np.testing.assert_allclose(evaluation.values(np.eye(3)), [2.75, 3.5, 3.0], atol=0.05)
    assert evaluation.estimate(np.eye(3)[:1]) == pytest.approx(2.75, abs=0.05)


@pytest.mark.slow
def test_a_policy_that_gives_up_is_worth_what_it_gets(chain: ReplayBuffer) -> None:
    evaluation = FittedQEvaluation(
        lambda rows: np.zeros(len(rows), np.int64),
        chain,
        gamma=0.5,
        hidden_sizes=(16,),
        batch_size=32,
        target_update_freq=20,
        lr=1e-2,
    )

    evaluation.fit(400)

    np.testing.assert_allclose(evaluation.values(np.eye(3)), [-1, -1, -1], atol=0.05)


@pytest.mark.slow
def test_continuous_actions_are_an_input() -> None:
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1, 1, (400, 1))
    episodes = [
        make_episode(np.zeros((2, 1)), [action], [float(3 * action[0])], [True], [False])
        for action in actions
    ]

    evaluation = FittedQEvaluation(
        lambda rows: np.full((len(rows), 1), 0.5, np.float32),
        ReplayBuffer(episodes),
        hidden_sizes=(16,),
        batch_size=64,
        lr=1e-2,
    )
    evaluation.fit(400)

    assert evaluation.estimate(np.zeros((1, 1))) == pytest.approx(1.5, abs=0.1)


def test_a_policy_of_other_actions_than_the_data_is_refused(chain: ReplayBuffer) -> None:
    with pytest.raises(ValueError, match="the policy acts with"):
        FittedQEvaluation(lambda rows: np.zeros((len(rows), 2)), chain)
    with pytest.raises(ValueError, match=r"say actions=\.\.\."):
        FittedQEvaluation(lambda rows: np.full(len(rows), 7), chain)
    with pytest.raises(ValueError, match="actions up to 1, of 1"):
        FittedQEvaluation(lambda rows: np.zeros(len(rows), np.int64), chain, actions=1)
    with pytest.raises(ValueError, match="gamma 2"):
        FittedQEvaluation(_go_on, chain, gamma=2)


@pytest.mark.slow
def test_both_estimates_lie_near_the_true_return_of_a_task() -> None:
    """Random doses recorded, another policy evaluated: fitted Q finds its return, importance sampling its first hours."""
    discount = 0.9

    def react(rows: np.ndarray) -> np.ndarray:
        glucose = np.atleast_2d(rows)[:, 0]
        return np.where(glucose > 1.4, 2, np.where(glucose > 1.1, 1, 0))

    environment = GlucoseMealsEnv()
    data = record_episodes(
        behaviour_policy("random", environment), environment, episodes=40, seed=0
    ).episodes
    played = record_episodes(
        lambda row, _: int(react(row)[0]), environment, episodes=40, seed=500
    ).episodes
    true = discounted_returns(played, discount=discount).mean()

    evaluation = FittedQEvaluation(
        react,
        ReplayBuffer(data),
        gamma=discount,
        actions=3,
        hidden_sizes=(64, 64),
        target_update_freq=40,
    )
    evaluation.fit(1_500)
    starts = np.stack([episode.observations[0] for episode in played])

    assert evaluation.estimate(starts) == pytest.approx(true, abs=0.2 * abs(true))
    short = [
        make_episode(
            e.observations[:4], e.actions[:3], e.rewards[:3], [False] * 3, [False, False, True]
        )
        for e in data
    ]
    true_short = np.mean([discounted_returns([e], discount=discount)[0] for e in
                          [make_episode(e.observations[:4], e.actions[:3], e.rewards[:3],
                                        [False] * 3, [False, False, True]) for e in played]])  # fmt: skip
    found = importance_sampling(
        short,
        lambda _, actions: np.full(len(actions), 1 / 3),
        greedy_probabilities(react, actions=3),
        discount=discount,
    )
    assert abs(found.value - true_short) < 4 * found.standard_error + 0.1
