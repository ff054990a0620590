"""The tasks of an agent, the same for both frameworks.

They know what `experience.agent.Agent` promises, and use what `experience.trainable` names where an agent has it: an
agent with a replay memory is timed with its replays, any other one with `update` on batches of its pair's recipe.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from benchmarks.measure import Operation
from benchmarks.subjects import NotApplicableError, Prepared
from benchmarks.subjects.agents import AgentFactory, name_of
from benchmarks.subjects.scenarios import GUIDE, Scenario
from benchmarks.subjects.transitions import BATCH_SIZE, MEMORY_SIZE, SEED
from experience.agent import Batch
from experience.evaluation import Environment
from experience.offline_data import ReplayBuffer, make_episode

GUIDE_BATCH_SIZE = 32
STEPS_PER_EPISODE = 20
TARGET_EVERY_STEPS = 10 * STEPS_PER_EPISODE
"""The guide copies the target network every ten episodes."""
BATCHES = 16
"""How many batches take turns for an agent without a memory: enough that none stays in the nearest cache."""
WORTH_TELLING_S = 1.0
"""A first call below this is warm-up that nobody waits for."""
EXPLORATION_FLOOR = 0.01
"""Where the guide's epsilon is for most of its 100 episodes; nearly every step then asks the network."""


def prepare_task(
    task: str, build: AgentFactory, *, scenario: Scenario = GUIDE, updates_a_call: int = 1
) -> Prepared:
    """Return one of "updates", "training", "training-full", "memory", "act-N", "first-step", ready to be run.

    Args:
        task: which.
        build: builds the agent; takes the arguments of the task.
        scenario: batches and environment.
        updates_a_call: more than 1: "updates" asks `update_many` for that many at once.

    Raises:
        ValueError: There is no such task.
        NotApplicableError: The agent cannot do it.
    """
    if task == "updates":
        return _prepare_updates(build, scenario, updates_a_call)
    if task == "training":
        return _prepare_training(build, scenario)
    if task == "memory":
        try:
            return _prepare_training(build, scenario)
        except (
            NotApplicableError
        ):  # it trains all the same, in a loop of its own or on recorded data
            return _prepare_updates(build, scenario, updates_a_call)
    if task == "training-full":
        start = partial(_train_from_start, build, scenario)
        return Prepared(start, multiple=STEPS_PER_EPISODE)
    if task == "first-step":
        return _prepare_first_step(build, scenario)
    if task.startswith("act-"):
        return _prepare_acting(build, scenario, int(task.removeprefix("act-")))
    message = f"no task {task!r}"
    raise ValueError(message)


def _prepare_updates(build: AgentFactory, scenario: Scenario, updates_a_call: int) -> Prepared:
    """Updates from a full memory, one by one or many in one call where the agent offers that; or from batches."""
    agent = build(batch_size=BATCH_SIZE)
    if hasattr(agent, "update_target_network"):
        return _prepare_recorded_updates(agent, scenario.draw_batch(MEMORY_SIZE), updates_a_call)
    if not hasattr(agent, "replay"):
        batches = [scenario.draw_batch(BATCH_SIZE) for _ in range(BATCHES)]
        update = _update_with(agent, batches)
        return Prepared(update, details=_first_call(update))
    fill_memory(agent, scenario.draw_batch())
    one_by_one = _replay_with(agent)
    many: Callable[[int, np.random.Generator], object] | None = getattr(agent, "update_many", None)
    if many is None or updates_a_call == 1:
        return Prepared(one_by_one, details=_first_call(one_by_one, 1))
    together: Callable[[int, np.random.Generator], object] = many
    rng = np.random.default_rng(SEED)

    def in_calls(count: int) -> None:
        for _ in range(count // updates_a_call):
            together(updates_a_call, rng)

    details = {**_first_call(in_calls, updates_a_call), "updates a call": updates_a_call}
    return Prepared(in_calls, multiple=updates_a_call, details=details)


def _prepare_recorded_updates(
    agent: Any,  # noqa: ANN401  see `AgentFactory`
    recorded: Batch,
    updates_a_call: int,
) -> Prepared:
    """Updates of an offline agent on batches drawn from recorded transitions."""
    nothing = np.zeros(1, np.bool_)
    buffer = ReplayBuffer(
        make_episode(np.stack([row, following]), action[None], reward[None], [end], nothing)
        for row, action, reward, following, end in zip(*recorded, strict=True)
    )
    rng = np.random.default_rng(SEED)
    # Whole compiled calls where the agent compiles several updates into one.
    length = getattr(agent, "updates_per_call", 1)
    length *= max(1, updates_a_call // length)

    def in_calls(count: int) -> None:
        for _ in range(count // length):
            agent.update_many(buffer, length, rng, BATCH_SIZE)

    details = {**_first_call(in_calls, length), "updates a call": length}
    return Prepared(in_calls, multiple=length, details=details)


def _require_acting(agent: object) -> None:
    """Raise NotApplicableError for an agent that learns from recorded data."""
    if hasattr(agent, "update_target_network"):
        message = f"{name_of(agent)} learns from recorded data, not in an environment"
        raise NotApplicableError(message)


def _sizes_of(scenario: Scenario, environment: Environment) -> dict[str, int]:
    try:
        return scenario.sizes_of(environment)
    except ValueError as error:
        message = f"this training loop takes numbered actions only: {error}"
        raise NotApplicableError(message) from error


def _prepare_training(build: AgentFactory, scenario: Scenario) -> Prepared:
    """The training loop in its settled state: memory filled, epsilon at its floor."""
    environment = scenario.make_environment()
    sizes = _sizes_of(scenario, environment)
    agent = build(batch_size=GUIDE_BATCH_SIZE, epsilon=EXPLORATION_FLOOR, **sizes)
    _require_acting(agent)
    if hasattr(agent, "replay"):
        fill_memory(agent, scenario.draw_batch(**sizes))
    loop = TrainingLoop(agent, environment)
    return Prepared(loop.run, details=_first_call(loop.run))


def _train_from_start(build: AgentFactory, scenario: Scenario, count: int) -> None:
    """The training from an untrained agent with an empty memory and the exploration it begins with."""
    environment = scenario.make_environment()
    agent = build(batch_size=GUIDE_BATCH_SIZE, **_sizes_of(scenario, environment))
    _require_acting(agent)
    TrainingLoop(agent, environment).run(count)


def _prepare_first_step(build: AgentFactory, scenario: Scenario) -> Prepared:
    agent = build(batch_size=GUIDE_BATCH_SIZE)
    if not hasattr(agent, "replay"):
        return Prepared(_update_with(agent, [scenario.draw_batch(GUIDE_BATCH_SIZE)]))
    fill_memory(agent, scenario.draw_batch(GUIDE_BATCH_SIZE))
    return Prepared(_replay_with(agent))


def _prepare_acting(build: AgentFactory, scenario: Scenario, batch: int) -> Prepared:
    agent = build(batch_size=GUIDE_BATCH_SIZE)
    rng = np.random.default_rng(SEED)
    observation = scenario.draw_batch(batch).observation

    def act(count: int) -> None:
        for _ in range(count):
            agent.act(observation, rng, explore=False)

    return Prepared(act, details=_first_call(act))


def _replay_with(agent: Any) -> Operation:  # noqa: ANN401  see `AgentFactory`
    """Return the operation that replays once a count."""
    rng = np.random.default_rng(SEED)

    def replay(count: int) -> None:
        for _ in range(count):
            agent.replay(rng)

    return replay


def _update_with(agent: Any, batches: list[Any]) -> Operation:  # noqa: ANN401  see `AgentFactory`
    """Return the operation that updates once a count, with one batch after the other."""
    following = itertools.cycle(batches)

    def update(count: int) -> None:
        for _ in range(count):
            agent.update(next(following))

    return update


class TrainingLoop:
    """The guide's training loop: act, step, remember, replay, target copy every ten of its episodes.

    Of these an agent takes what it has; one that learns from whole episodes does so at their ends.

    Args:
        agent: of either framework. Any: see `AgentFactory`.
        environment: taken over.

    Raises:
        NotApplicableError: The agent has nothing that learns from steps or episodes.
    """

    def __init__(self, agent: Any, environment: Environment) -> None:  # noqa: ANN401
        self._replay = getattr(agent, "replay", None)
        self._finish_episode = getattr(agent, "finish_episode", None)
        self._update_target = getattr(agent, "update_target", None)
        if not hasattr(agent, "remember") or not (self._replay or self._finish_episode):
            message = f"the training loop needs remember, and replay or finish_episode, of {name_of(agent)}"
            raise NotApplicableError(message)
        self._agent, self._environment = agent, environment
        self._rng = np.random.default_rng(SEED)
        self._observation, _ = environment.reset(seed=SEED)
        self._steps = 0

    def run(self, count: int) -> None:
        """Take `count` steps, going on where the last call stopped."""
        for _ in range(count):
            action = int(self._agent.act(self._observation, self._rng, explore=True))
            following, reward, terminated, truncated, _ = self._environment.step(action)
            self._agent.remember(
                self._observation, action, float(reward), following, bool(terminated)
            )
            if self._replay is not None:
                self._replay(self._rng)
            self._observation = following
            if terminated or truncated:
                if self._finish_episode is not None:
                    self._finish_episode(self._rng)
                self._observation, _ = self._environment.reset()
            self._steps += 1
            if self._update_target is not None and self._steps % TARGET_EVERY_STEPS == 0:
                self._update_target()


def fill_memory(agent: Any, stored: Batch) -> None:  # noqa: ANN401  see `AgentFactory`
    """Store all rows of the batch.

    Raises:
        NotApplicableError: They are no transitions, so the agent's memory keeps something of its own.
    """
    if not set(Batch._fields) <= set(stored._fields):
        message = f"{name_of(agent)} replays {type(stored).__name__}, which is not of transitions"
        raise NotApplicableError(message)
    for index in range(len(stored.reward)):
        agent.remember(
            stored.observation[index],
            # A number, as the training loop gives it, or a row of continuous ones.
            stored.action[index].item() if stored.action.ndim == 1 else stored.action[index],
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
