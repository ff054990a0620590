from __future__ import annotations

import itertools

import numpy as np
import pytest

from experience.off_policy_evaluation import (
    ESTIMATORS,
    Probabilities,
    discounted_returns,
    greedy_probabilities,
    importance_sampling,
    softmax_probabilities,
)
from experience.offline_data import Episode, make_episode


def _episode(actions: list[int], rewards: list[float]) -> Episode:
    steps = len(actions)
    ends = np.arange(steps) == steps - 1
    return make_episode(np.zeros((steps + 1, 1)), actions, rewards, ends, np.zeros(steps))


def _always(first: float) -> Probabilities:
    """A policy of two actions that takes action 0 with this probability, whatever it sees."""
    return lambda _, actions: np.where(actions == 0, first, 1.0 - first)


def test_returns_are_discounted_from_the_first_step() -> None:
    episodes = [_episode([0, 0, 0], [1, 2, 4]), _episode([0], [8])]

    assert discounted_returns(episodes, discount=0.5).tolist() == [1 + 1 + 1, 8]


def test_the_estimators_are_their_formulas() -> None:
    # Ratios: action 0 has 0.8 / 0.4 = 2, action 1 has 0.2 / 0.6 = 1/3.
    episodes = [_episode([0, 1], [1, 2]), _episode([1, 1], [3, 4]), _episode([0], [5])]
    w = [(2, 2 / 3), (1 / 3, 1 / 9), (2, 2)]
    returns = [1 + 0.5 * 2, 3 + 0.5 * 4, 5]
    expected = {
        "trajectory": sum(w[i][1] * returns[i] for i in range(3)) / 3,
        "weighted": sum(w[i][1] * returns[i] for i in range(3)) / sum(w[i][1] for i in range(3)),
        "per decision": (2 + 0.5 * 2 / 3 * 2 + 1 + 0.5 * 4 / 9 + 10) / 3,
        "weighted per decision": (2 + 1 + 10) / (2 + 1 / 3 + 2)
        + 0.5 * (2 / 3 * 2 + 4 / 9 + 0) / (2 / 3 + 1 / 9 + 2),
    }

    for estimator in ESTIMATORS:
        found = importance_sampling(
            episodes, _always(0.4), _always(0.8), discount=0.5, estimator=estimator
        )
        assert found.value == pytest.approx(expected[estimator]), estimator
        last = np.array([w[0][1], w[1][1], w[2][1]])
        assert found.effective_episodes == pytest.approx(last.sum() ** 2 / (last**2).sum())


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_the_policys_own_episodes_give_the_true_mean(estimator: str) -> None:
    rng = np.random.default_rng(0)
    episodes = [_episode(rng.integers(0, 2, 4).tolist(), rng.normal(size=4)) for _ in range(6)]

    found = importance_sampling(
        episodes,
        _always(0.3),
        _always(0.3),
        discount=0.9,
        estimator=estimator,  # type: ignore[arg-type]
    )

    assert found.value == pytest.approx(discounted_returns(episodes, discount=0.9).mean())
    assert found.effective_episodes == pytest.approx(6)


def _all_episodes(behaviour: float) -> list[tuple[Episode, float]]:
    """Every episode of three steps with its probability; the reward is 1 for action 0, and 2 more for two in a row."""
    episodes = []
    for actions in itertools.product((0, 1), repeat=3):
        rewards = [
            float(a == 0) + 2.0 * (step > 0 and a == 0 == actions[step - 1])
            for step, a in enumerate(actions)
        ]
        chance = float(np.prod([behaviour if a == 0 else 1 - behaviour for a in actions]))
        episodes.append((_episode(list(actions), rewards), chance))
    return episodes


@pytest.mark.parametrize("estimator", ["trajectory", "per decision"])
def test_unweighted_estimators_are_unbiased(estimator: str) -> None:
    true = sum(
        chance * discounted_returns([episode], discount=0.9)[0]
        for episode, chance in _all_episodes(0.7)
    )

    expected = sum(
        chance
        * importance_sampling(
            [episode],
            _always(0.4),
            _always(0.7),
            discount=0.9,
            estimator=estimator,  # type: ignore[arg-type]
        ).value
        for episode, chance in _all_episodes(0.4)
    )

    assert expected == pytest.approx(true)


def test_the_standard_error_is_about_that_of_the_mean() -> None:
    rng = np.random.default_rng(1)
    episodes = [_episode([0], [reward]) for reward in rng.normal(size=400)]

    found = importance_sampling(
        episodes, _always(0.5), _always(0.5), discount=1.0, estimator="trajectory"
    )

    assert found.standard_error == pytest.approx(1 / np.sqrt(400), rel=0.25)


def test_a_policy_that_never_did_this_has_no_episode_for_it() -> None:
    found = importance_sampling(
        [_episode([1, 1], [1, 1])], _always(0.5), _always(1.0), discount=1.0
    )

    assert (found.value, found.effective_episodes) == (0.0, 0.0)


def test_a_behaviour_of_probability_0_is_refused() -> None:
    with pytest.raises(ValueError, match="above 0 for what was done"):
        importance_sampling([_episode([1], [1])], _always(1.0), _always(0.5), discount=1.0)


def test_an_unknown_estimator_and_no_episodes_are_refused() -> None:
    with pytest.raises(ValueError, match="needed one of trajectory"):
        importance_sampling([], _always(0.5), _always(0.5), discount=1.0)
    with pytest.raises(ValueError, match="estimator 'best'"):
        importance_sampling(
            [_episode([1], [1])],
            _always(0.5),
            _always(0.5),
            discount=1.0,
            estimator="best",  # type: ignore[arg-type]
        )


def test_a_greedy_policy_shares_epsilon_between_all_actions() -> None:
    policy = greedy_probabilities(lambda rows: np.full(len(rows), 2), actions=4, epsilon=0.2)

    assert policy(np.zeros((2, 1)), np.array([2, 0])).tolist() == pytest.approx([0.85, 0.05])


def test_a_cloned_policy_has_the_softmax_of_its_logits() -> None:
    logits = np.log([[1.0, 3.0], [1000.0, 1000.0]])
    policy = softmax_probabilities(lambda rows: logits)

    assert policy(np.zeros((2, 1)), np.array([1, 0])).tolist() == pytest.approx([0.75, 0.5])
    assert logits[0].tolist() == np.log([1.0, 3.0]).tolist()  # the caller's own stay as they are
