"""Episodes played and kept: what a policy does in an environment, as data to learn from.

A policy is any function of one observation; agents of both frameworks, mixtures and rules become one here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from experience.offline_data import Episode, make_episode

if TYPE_CHECKING:
    from gymnasium import Env

Observation = NDArray[np.floating]
Policy = Callable[[Observation, np.random.Generator], Any]
"""The action for one observation; a policy that draws, draws from the generator."""
MAX_STEPS = 100_000
"""Of one episode: an environment without a time limit would never give one back."""


class Acting(Protocol):
    """The part of an agent that plays."""

    def act(self, observation: Observation, rng: np.random.Generator, *, explore: bool) -> Any:  # noqa: ANN401
        """Return the action for one observation."""
        ...


@dataclass(frozen=True, slots=True)
class Recording:
    """Recorded episodes.

    Attributes:
        episodes: in the order in which they were played.
        seeds: of the environment's reset, by episode.
        policies: place of the policy that played the episode.
    """

    episodes: list[Episode]
    seeds: list[int]
    policies: list[int]

    @property
    def steps(self) -> int:
        """Of all episodes."""
        return sum(map(len, self.episodes))

    @property
    def returns(self) -> NDArray[np.float64]:
        """Sums of rewards, (episodes,)."""
        return np.array([episode.total_reward for episode in self.episodes])


def greedy_policy(agent: Acting) -> Policy:
    """Return what the agent does when it does not explore."""

    def act(observation: Observation, rng: np.random.Generator) -> Any:  # noqa: ANN401  of the agent
        action = np.asarray(agent.act(observation, rng, explore=False))
        return int(action) if not action.ndim and action.dtype.kind in "iu" else action

    return act


def random_policy(environment: Env[Any, Any]) -> Policy:
    """Return the policy that takes every action of the environment's space alike, seeded by what it draws from.

    Boxes are drawn from here, where they are bounded; every other space draws for itself.
    """
    import gymnasium

    space = environment.action_space
    if isinstance(space, gymnasium.spaces.Discrete):
        return lambda _, rng: int(space.start + rng.integers(space.n))
    if isinstance(space, gymnasium.spaces.Box) and space.is_bounded():
        low, high = space.low.astype(np.float64), space.high.astype(np.float64)
        return lambda _, rng: rng.uniform(low, high).astype(space.dtype)

    def draw(_: Observation, rng: np.random.Generator) -> Any:  # noqa: ANN401  of the space
        space.seed(int(rng.integers(2**31)))
        return space.sample()

    return draw


def exploring_policy(policy: Policy, environment: Env[Any, Any], *, epsilon: float) -> Policy:
    """Return the policy with, at a rate of `epsilon`, a random action in place of its own.

    Raises:
        ValueError: Epsilon is not in [0, 1].
    """
    if not 0 <= epsilon <= 1:
        msg = f"epsilon is {epsilon}; needed a number from 0 to 1"
        raise ValueError(msg)
    chance = random_policy(environment)

    def act(observation: Observation, rng: np.random.Generator) -> Any:  # noqa: ANN401  of the space
        # Both draws in every step: an episode of another epsilon goes the same way until they differ.
        explores = rng.random() < epsilon
        action = chance(observation, rng)
        return action if explores else policy(observation, rng)

    return act


def share_episodes(count: int, shares: Sequence[float], rng: np.random.Generator) -> list[int]:
    """Return which policy plays which episode: as many each as its share asks for, in random order.

    Args:
        count: episodes.
        shares: of each policy, of any sum over 0.
        rng: puts them in order.

    Raises:
        ValueError: A share is negative, or all are 0.
    """
    weights = np.asarray(shares, np.float64)
    if (
        not len(weights)
        or (weights < 0).any()
        or not np.isfinite(weights).all()
        or not weights.sum()
    ):
        msg = f"shares {list(shares)}; needed numbers from 0 on, not all 0"
        raise ValueError(msg)
    exact = count * weights / weights.sum()
    numbers = np.floor(exact).astype(np.int64)
    # The largest remainders get what rounding down left over, the first of equals first.
    rest = np.argsort(-(exact - numbers), kind="stable")[: count - numbers.sum()]
    numbers[rest] += 1
    return [int(place) for place in rng.permutation(np.repeat(np.arange(len(weights)), numbers))]


def record_episodes(
    policies: Policy | Sequence[Policy],
    environment: Env[Any, Any],
    *,
    episodes: int,
    seed: int,
    shares: Sequence[float] | None = None,
) -> Recording:
    """Play and return episodes; the same arguments give the same ones.

    Args:
        policies: one, or several that share the episodes between them.
        environment: reset with seed, seed + 1, ...; it needs an end or a time limit.
        episodes: number of them.
        seed: of the first reset, and of everything that policies draw.
        shares: of each policy; None: equal ones.

    Raises:
        ValueError: There is no episode to play, or one does not end within 100,000 steps.
    """
    if episodes < 1:
        msg = f"{episodes} episodes to record; needed at least 1"
        raise ValueError(msg)
    chosen = [policies] if callable(policies) else list(policies)
    rng = np.random.default_rng(seed)
    order = share_episodes(episodes, [1.0] * len(chosen) if shares is None else shares, rng)
    seeds = [seed + place for place in range(episodes)]
    played = [
        _play(chosen[policy], environment, each, rng)
        for policy, each in zip(order, seeds, strict=True)
    ]
    return Recording(played, seeds, order)


def _play(
    policy: Policy, environment: Env[Any, Any], seed: int, rng: np.random.Generator
) -> Episode:
    # Copies: an environment may show the same array in every step, with other numbers in it.
    observations = [np.array(environment.reset(seed=seed)[0])]
    actions, rewards, terminations, truncations = [], [], [], []
    for _ in range(MAX_STEPS):
        action = policy(observations[-1], rng)
        observation, reward, terminated, truncated, _ = environment.step(action)
        observations.append(np.array(observation))
        actions.append(action)
        rewards.append(float(reward))
        terminations.append(bool(terminated))
        truncations.append(bool(truncated))
        if terminated or truncated:
            return make_episode(
                np.stack(observations), np.stack(actions), rewards, terminations, truncations
            )
    msg = (
        f"an episode of {environment} did not end within {MAX_STEPS:,} steps; give it a time limit"
    )
    raise ValueError(msg)
