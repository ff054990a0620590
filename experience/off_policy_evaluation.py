"""What a policy would earn, estimated from episodes that another policy played.

    estimate = importance_sampling(episodes, behaviour=b, evaluated=p, discount=0.99)

Importance sampling weights what happened by how much likelier the evaluated policy would have made it. Without a bias where the
behaviour is known, but with a variance that grows with the length of episodes: look at `effective_episodes` before believing
a number. Fitted Q evaluation, which needs a network, is torch_impl/fitted_q_evaluation.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from experience.offline_data import Episode

Probabilities = Callable[[NDArray[Any], NDArray[Any]], NDArray[np.floating]]
"""(steps, *observation) and (steps,) or (steps, action) to the probability (or density) of each of these actions, (steps,)."""
Estimator = Literal["trajectory", "weighted", "per decision", "weighted per decision"]
ESTIMATORS: tuple[Estimator, ...] = (
    "trajectory",
    "weighted",
    "per decision",
    "weighted per decision",
)
_RESAMPLES = 200
"""Of the bootstrap; enough for a standard error of one or two digits."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """An estimated return.

    Attributes:
        value: discounted return of one episode.
        standard_error: by drawing the episodes again (bootstrap).
        effective_episodes: (sum w)^2 / sum w^2 of the weights of whole episodes: how many speak for the policy.
        episodes: all of them.
    """

    value: float
    standard_error: float
    effective_episodes: float
    episodes: int


def discounted_returns(episodes: Sequence[Episode], *, discount: float) -> NDArray[np.float64]:
    """Return sum_t discount^t * reward_t of every episode, (episodes,): the true return if the policy itself played."""
    return np.array(
        [
            np.sum(episode.rewards.astype(np.float64) * discount ** np.arange(len(episode)))
            for episode in episodes
        ]
    )


def importance_sampling(
    episodes: Sequence[Episode],
    behaviour: Probabilities,
    evaluated: Probabilities,
    *,
    discount: float,
    estimator: Estimator = "weighted per decision",
    rng: np.random.Generator | None = None,
) -> Estimate:
    """Return what the evaluated policy would earn in an episode.

    With w_t = product over k <= t of evaluated(a_k|s_k) / behaviour(a_k|s_k), of n episodes i:

        trajectory              mean_i( w_T * sum_t discount^t r_t )
        weighted                sum_i( w_T * sum_t discount^t r_t ) / sum_i( w_T )
        per decision            mean_i( sum_t discount^t w_t r_t )
        weighted per decision   sum_t discount^t sum_i( w_t r_t ) / sum_i( w_t )

    The first and the third are unbiased; the weighted ones are biased a little and vary far less. An episode that has
    ended keeps its last weight in later steps, with rewards of 0.

    Args:
        episodes: played by the behaviour.
        behaviour: probabilities of the policy that played.
        evaluated: probabilities of the policy in question.
        discount: per step.
        estimator: of the list above.
        rng: draws the resamples of the standard error; None: seeded with 0.

    Raises:
        ValueError: There is no such estimator or no episode, a probability is negative or not a number, or the behaviour has
            probability 0 for something it did.

    Source: Precup, Sutton and Singh 2000; Thomas 2015, sections 3.4 to 3.6.
    """
    if estimator not in ESTIMATORS or not episodes:
        msg = f"estimator {estimator!r} of {len(episodes)} episodes; needed one of {', '.join(ESTIMATORS)} and an episode"
        raise ValueError(msg)
    weights, rewards = _weigh(episodes, behaviour, evaluated, discount)
    chance = np.random.default_rng(0) if rng is None else rng
    count = len(episodes)
    resampled = [
        _combine(weights[rows], rewards[rows], estimator)
        for rows in chance.integers(0, count, (_RESAMPLES, count))
    ]
    last = weights[:, -1]
    squares = float(np.sum(last**2))
    return Estimate(
        value=_combine(weights, rewards, estimator),
        standard_error=float(np.std(resampled, ddof=1)),
        effective_episodes=float(np.sum(last)) ** 2 / squares if squares else 0.0,
        episodes=count,
    )


def _weigh(
    episodes: Sequence[Episode],
    behaviour: Probabilities,
    evaluated: Probabilities,
    discount: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return w_t and discount^t r_t, (episodes, longest)."""
    longest = max(map(len, episodes))
    weights, rewards = np.zeros((len(episodes), longest)), np.zeros((len(episodes), longest))
    for place, episode in enumerate(episodes):
        steps = len(episode)
        observations = episode.observations[:-1]
        new, old = (
            np.asarray(policy(observations, episode.actions), np.float64)
            for policy in (evaluated, behaviour)
        )
        if (
            new.shape != (steps,)
            or old.shape != (steps,)
            or not (new >= 0).all()
            or not (old > 0).all()
        ):
            msg = (
                f"episode {place}: probabilities of shapes {new.shape} and {old.shape} for {steps} steps, the evaluated "
                f"policy's from {new.min():g}, the behaviour's from {old.min():g}; needed one a step, "
                "from 0, and above 0 for what was done"
            )
            raise ValueError(msg)
        weights[place, :steps] = np.cumprod(new / old)
        weights[place, steps:] = weights[place, steps - 1]
        rewards[place, :steps] = episode.rewards * discount ** np.arange(steps)
    return weights, rewards


def _combine(
    weights: NDArray[np.float64], rewards: NDArray[np.float64], estimator: Estimator
) -> float:
    if estimator in ("trajectory", "weighted"):
        weights = np.broadcast_to(weights[:, -1:], weights.shape)
    sums = (weights * rewards).sum(axis=0)
    if estimator in ("trajectory", "per decision"):
        return float(sums.sum() / len(weights))
    totals = weights.sum(axis=0)
    # Where no episode speaks for the policy any more, there is nothing to average.
    parts = np.divide(sums, totals, out=np.zeros_like(sums), where=totals > 0)
    return float(parts.sum())


def greedy_probabilities(
    choose: Callable[[NDArray[Any]], NDArray[Any]], *, actions: int, epsilon: float = 0.0
) -> Probabilities:
    """Return the probabilities of a policy that takes one action, or with probability epsilon any.

    Args:
        choose: observations to numbers of actions, such as an agent's `predict`.
        actions: number of them.
        epsilon: rate of random actions, all alike.
    """

    def probabilities(observations: NDArray[Any], taken: NDArray[Any]) -> NDArray[np.floating]:
        same = np.asarray(choose(observations)) == taken
        found: NDArray[np.floating] = epsilon / actions + (1.0 - epsilon) * same
        return found

    return probabilities


def softmax_probabilities(
    logits: Callable[[NDArray[Any]], NDArray[np.floating]],
) -> Probabilities:
    """Return the probabilities of logits, such as those of a cloned policy (`get_logits`): a behaviour that is not known.

    Args:
        logits: observations to (steps, actions).
    """

    def probabilities(observations: NDArray[Any], taken: NDArray[Any]) -> NDArray[np.floating]:
        rows = np.asarray(logits(observations), np.float64)
        chances = np.exp(rows - rows.max(axis=1, keepdims=True))
        found: NDArray[np.floating] = chances[np.arange(len(rows)), taken] / chances.sum(axis=1)
        return found

    return probabilities
