"""The tasks of an agent, the same for both frameworks.

They know only what `experience.agent.Agent` promises and the DQN agents' `remember`, `replay` and, where it exists,
`update_many`.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from benchmarks.measure import Operation
from benchmarks.subjects import Prepared
from benchmarks.subjects.transitions import (
    BATCH_SIZE,
    OBSERVATION_SIZE,
    SEED,
    make_transitions,
)

AgentFactory = Callable[..., Any]
"""Builds an agent from keyword arguments. Any: the class is named by a pair and imported here."""

GUIDE_BATCH_SIZE = 32
STEPS_PER_EPISODE = 20
TARGET_EVERY_STEPS = 10 * STEPS_PER_EPISODE
"""The guide copies the target network every ten episodes."""
WORTH_TELLING_S = 1.0
"""A first call below this is warm-up that nobody waits for."""
EXPLORATION_FLOOR = 0.01
"""Where the guide's epsilon is for most of its 100 episodes; nearly every step then asks the network."""


def find_class(path: str) -> AgentFactory:
    """Return the class named "module:Class"."""
    module, _, name = path.partition(":")
    factory: AgentFactory = getattr(importlib.import_module(module), name)
    return factory


def prepare_task(task: str, build: AgentFactory, *, updates_a_call: int = 1) -> Prepared:
    """Return one of "updates", "training", "training-full", "act-N", "first-step", ready to be timed.

    Args:
        task: which.
        build: the agent's class with the options of the variant already filled in.
        updates_a_call: more than 1: "updates" asks `update_many` for that many at once.

    Raises:
        ValueError: There is no such task.
    """
    if task == "updates":
        return _prepare_updates(build, updates_a_call)
    if task == "training":
        return _prepare_training(build)
    if task == "training-full":
        return Prepared(lambda count: _train_from_start(build, count), multiple=STEPS_PER_EPISODE)
    if task == "first-step":
        return _prepare_first_step(build)
    if task.startswith("act-"):
        return _prepare_acting(build, int(task.removeprefix("act-")))
    message = f"no task {task!r}"
    raise ValueError(message)


def _prepare_updates(build: AgentFactory, updates_a_call: int) -> Prepared:
    """Updates from a full memory, one by one or many in one call where the agent offers that."""
    agent = build(batch_size=BATCH_SIZE)
    fill_memory(agent)
    rng = np.random.default_rng(SEED)
    many: Callable[[int, np.random.Generator], object] | None = getattr(agent, "update_many", None)

    def one_by_one(count: int) -> None:
        for _ in range(count):
            agent.replay(rng)

    if many is None or updates_a_call == 1:
        return Prepared(one_by_one, details=_first_call(one_by_one, 1))
    together: Callable[[int, np.random.Generator], object] = many

    def in_calls(count: int) -> None:
        for _ in range(count // updates_a_call):
            together(updates_a_call, rng)

    details = {**_first_call(in_calls, updates_a_call), "updates a call": updates_a_call}
    return Prepared(in_calls, multiple=updates_a_call, details=details)


def _prepare_training(build: AgentFactory) -> Prepared:
    """The guide's loop in its settled state: memory filled, epsilon at its floor."""
    agent = build(batch_size=GUIDE_BATCH_SIZE, epsilon=EXPLORATION_FLOOR)
    fill_memory(agent)
    loop = GuideLoop(agent)
    return Prepared(loop.run, details=_first_call(loop.run))


def _train_from_start(build: AgentFactory, count: int) -> None:
    """The guide's training from an untrained agent with an empty memory and epsilon 1."""
    GuideLoop(build(batch_size=GUIDE_BATCH_SIZE)).run(count)


def _prepare_first_step(build: AgentFactory) -> Prepared:
    agent = build(batch_size=GUIDE_BATCH_SIZE)
    fill_memory(agent, GUIDE_BATCH_SIZE)
    rng = np.random.default_rng(SEED)

    def step(count: int) -> None:
        for _ in range(count):
            agent.replay(rng)

    return Prepared(step)


def _prepare_acting(build: AgentFactory, batch: int) -> Prepared:
    agent = build(batch_size=GUIDE_BATCH_SIZE)
    rng = np.random.default_rng(SEED)
    observation = rng.random((batch, OBSERVATION_SIZE), dtype=np.float32)

    def act(count: int) -> None:
        for _ in range(count):
            agent.act(observation, rng, explore=False)

    return Prepared(act, details=_first_call(act))


class GuideLoop:
    """The guide's training loop: act, step, remember, replay, target copy every ten episodes.

    Args:
        agent: of either framework. Any: see `AgentFactory`.
    """

    def __init__(self, agent: Any) -> None:  # noqa: ANN401
        from experience.environments.language_learning import LanguageLearningEnv

        self._agent = agent
        self._environment = LanguageLearningEnv()
        self._rng = np.random.default_rng(SEED)
        self._observation, _ = self._environment.reset(seed=SEED)
        self._steps = 0

    def run(self, count: int) -> None:
        """Take `count` steps, going on where the last call stopped."""
        for _ in range(count):
            action = int(self._agent.act(self._observation, self._rng, explore=True))
            following, reward, terminated, truncated, _ = self._environment.step(action)
            self._agent.remember(
                self._observation, action, float(reward), following, bool(terminated)
            )
            self._agent.replay(self._rng)
            self._observation = following
            if terminated or truncated:
                self._observation, _ = self._environment.reset()
            self._steps += 1
            if self._steps % TARGET_EVERY_STEPS == 0:
                self._agent.update_target()


def fill_memory(agent: Any, count: int | None = None) -> None:  # noqa: ANN401
    """Store `count` of the common transitions, all of them for None. Any: see `AgentFactory`."""
    stored = make_transitions()
    for index in range(len(stored.reward) if count is None else count):
        agent.remember(
            stored.observation[index],
            int(stored.action[index]),
            float(stored.reward[index]),
            stored.next_observation[index],
            bool(stored.terminated[index]),
        )


def _first_call(operation: Operation, count: int = 1) -> Mapping[str, str | int]:
    """Return what the first call took: tracing and compiling happen in it."""
    start = time.perf_counter()
    operation(count)
    seconds = time.perf_counter() - start
    return {"first call": f"{seconds:.1f} s"} if seconds >= WORTH_TELLING_S else {}
