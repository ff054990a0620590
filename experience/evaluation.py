"""Greedy episodes that measure an agent and teach it nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from experience.agent import Agent

Seed = int
POLICY_SEED = 123
"""Of the first episode of `evaluate_policy`, as in the migration guide's notebook."""
PARALLEL_EPISODES = 25
"""Episodes played side by side: one forward pass serves them all, which matters most where a call is slow."""


class Environment(Protocol):
    """The part of `gymnasium.Env` that training and evaluation use."""

    def reset(self, *, seed: int | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode and return its first observation."""
        ...

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:  # noqa: ANN401
        """Return next observation, reward, terminated, truncated and information."""
        ...

    def close(self) -> None:
        """Release what it holds."""
        ...


def play_episodes(
    agent: Agent,
    make_environment: Callable[[], Environment],
    *,
    episodes: int,
    seed: Seed,
    parallel: int = PARALLEL_EPISODES,
) -> NDArray[np.float64]:
    """Return the sum of rewards of greedy episodes.

    Every episode has an environment of its own, reset with its own seed, so an episode depends on neither its
    neighbours nor on training.

    Args:
        agent: acts without exploring; drawn from and changed in nothing.
        make_environment: gives a new environment.
        episodes: number of them.
        seed: episode i is reset with seed + i.
        parallel: episodes played side by side.

    Returns:
        (episodes,).

    Raises:
        ValueError: There is no episode to play.
    """
    if episodes < 1 or parallel < 1:
        msg = f"{episodes} episodes, {parallel} side by side; needed at least 1 of each"
        raise ValueError(msg)
    groups = [
        _play_group(agent, make_environment, range(first, min(first + parallel, episodes)), seed)
        for first in range(0, episodes, parallel)
    ]
    return np.concatenate(groups)


def _play_group(
    agent: Agent, make_environment: Callable[[], Environment], places: range, seed: Seed
) -> NDArray[np.float64]:
    """Return the sums of rewards of some episodes, played in step."""
    environments = [make_environment() for _ in places]
    unused = np.random.default_rng(0)
    try:
        rows = [
            np.asarray(environment.reset(seed=seed + place)[0])
            for environment, place in zip(environments, places, strict=True)
        ]
        returns = np.zeros(len(rows))
        running = list(range(len(rows)))
        while running:
            # Ended episodes keep their last row: a batch of constant size is traced or compiled once.
            actions = agent.act(np.stack(rows), unused, explore=False)
            for index in tuple(running):
                observation, reward, terminated, truncated, _ = environments[index].step(
                    actions[index]
                )
                rows[index] = np.asarray(observation)
                returns[index] += float(reward)
                if terminated or truncated:
                    running.remove(index)
    finally:
        for environment in environments:
            environment.close()
    return returns


class Predictor(Protocol):
    """What `evaluate_policy` asks of an algorithm: the greedy action of one observation."""

    def predict(self, observation: NDArray[np.floating]) -> NDArray[Any]:
        """Return the action of one observation."""
        ...


@dataclass(frozen=True, slots=True)
class PolicyEvaluation:
    """Episodes of a policy.

    Attributes:
        returns: sum of rewards of every episode, not discounted.
        lengths: steps of every episode.
        truncated: episodes that a time limit ended, the environment's or `max_steps`.
    """

    returns: NDArray[np.float64]
    lengths: NDArray[np.int64]
    truncated: int

    @property
    def mean_return(self) -> float:
        """Mean over the episodes."""
        return float(self.returns.mean())

    @property
    def std_return(self) -> float:
        """Standard deviation over the episodes."""
        return float(self.returns.std())

    @property
    def mean_length(self) -> float:
        """Mean number of steps."""
        return float(self.lengths.mean())


def evaluate_policy(
    algorithm: Predictor,
    env: Environment,
    n_episodes: int = 5,
    max_steps: int = 480,
    *,
    seed: Seed = POLICY_SEED,
) -> PolicyEvaluation:
    """Return how an algorithm does in one environment, episode after episode.

    An episode ends where the environment says `terminated` or `truncated`, and at `max_steps`. (The guide's own loop drops
    `truncated` and would step on behind a time limit.)

    Args:
        algorithm: asked for greedy actions; not changed.
        env: the first episode is reset with the seed, the others without: they go on from its state.
        n_episodes: to play.
        max_steps: of an episode.
        seed: see `env`.

    Raises:
        ValueError: There is no episode or step to play.
    """
    if n_episodes < 1 or max_steps < 1:
        msg = f"{n_episodes} episodes of at most {max_steps} steps; needed at least 1 of each"
        raise ValueError(msg)
    returns, lengths, cut = np.zeros(n_episodes), np.zeros(n_episodes, np.int64), 0
    for episode in range(n_episodes):
        observation, _ = env.reset(seed=seed) if episode == 0 else env.reset()
        terminated = truncated = False
        while not (terminated or truncated):
            action = algorithm.predict(np.asarray(observation))
            observation, reward, terminated, ended, _ = env.step(action)
            returns[episode] += float(reward)
            lengths[episode] += 1
            truncated = bool(ended) or lengths[episode] >= max_steps
        cut += not terminated
    return PolicyEvaluation(returns, lengths, cut)
