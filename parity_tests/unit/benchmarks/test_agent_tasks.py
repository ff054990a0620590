from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

from benchmarks.subjects import NotApplicableError, Prepared
from benchmarks.subjects.agent_tasks import BATCHES, TARGET_EVERY_STEPS, fill_memory, prepare_task
from benchmarks.subjects.agents import find_class, plan_build
from benchmarks.subjects.scenarios import find_scenario, load_pair
from benchmarks.subjects.transitions import ACTIONS, MEMORY_SIZE, OBSERVATION_SIZE, make_transitions

pytest.importorskip("gymnasium")


class CountingAgent:
    """Counts calls and learns nothing."""

    last: CountingAgent

    def __init__(self, **settings: object) -> None:
        self.settings = settings
        self.remembered = self.replayed = self.acted = self.copied = 0
        type(self).last = self

    def remember(self, observation: np.ndarray, *_: object) -> None:
        assert observation.shape == (OBSERVATION_SIZE,)
        self.remembered += 1

    def replay(self, rng: np.random.Generator) -> float:
        self.replayed += 1
        return float(rng.random())

    def act(
        self, observation: np.ndarray, rng: np.random.Generator, *, explore: bool
    ) -> np.ndarray:
        self.acted += 1
        return np.zeros(observation.shape[:-1], dtype=np.int64)

    def update_target(self) -> None:
        self.copied += 1


class ManyAtOnce(CountingAgent):
    """Takes many updates in one call."""

    def update_many(self, count: int, rng: np.random.Generator) -> None:
        self.replayed += count


class WholeEpisodes:
    """Learns from whole episodes; counts, too."""

    last: WholeEpisodes

    def __init__(self, **settings: object) -> None:
        self.settings = settings
        self.batches = list[Any]()
        self.remembered = self.finished = 0
        type(self).last = self

    def act(
        self, observation: np.ndarray, rng: np.random.Generator, *, explore: bool
    ) -> np.ndarray:
        return np.zeros(observation.shape[:-1], dtype=np.int64)

    def update(self, batch: Any) -> dict[str, float]:
        self.batches.append(batch)
        return {}

    def remember(self, *_: object) -> None:
        self.remembered += 1

    def finish_episode(self, rng: np.random.Generator) -> float:
        self.finished += 1
        return 0.0


def run(
    task: str, count: int, agent: type[CountingAgent] = CountingAgent
) -> tuple[Prepared, CountingAgent]:
    prepared = prepare_task(task, agent)
    if hasattr(agent, "last"):
        agent.last.replayed = agent.last.acted = agent.last.remembered = agent.last.copied = 0
    prepared.operation(count)
    return prepared, agent.last


@pytest.mark.parametrize("agent", [CountingAgent, ManyAtOnce], ids=["one by one", "together"])
def test_one_operation_is_one_update_from_a_full_memory(agent: type[CountingAgent]) -> None:
    prepared = prepare_task("updates", agent, updates_a_call=16)
    assert prepared.multiple == (16 if agent is ManyAtOnce else 1)
    assert agent.last.remembered == MEMORY_SIZE
    before = agent.last.replayed

    prepared.operation(3 * prepared.multiple)

    assert agent.last.replayed - before == 3 * prepared.multiple
    assert agent.last.settings["batch_size"] == 64


def test_one_training_step_acts_remembers_and_replays_once() -> None:
    _, agent = run("training", TARGET_EVERY_STEPS)

    assert (agent.acted, agent.remembered, agent.replayed) == (TARGET_EVERY_STEPS,) * 3
    assert agent.copied == 1
    assert agent.settings["batch_size"] == 32


def test_full_training_begins_with_a_new_agent_and_an_empty_memory() -> None:
    prepared = prepare_task("training-full", CountingAgent)
    prepared.operation(40)
    first = CountingAgent.last
    prepared.operation(40)

    assert CountingAgent.last is not first
    assert (first.acted, first.remembered, first.replayed) == (40, 40, 40)


def test_acting_asks_once_an_operation() -> None:
    _, agent = run("act-256", 3)

    assert (agent.acted, agent.replayed) == (3, 0)


def test_the_first_step_trains_once_from_one_batch() -> None:
    prepared = prepare_task("first-step", CountingAgent)

    prepared.operation(1)

    assert (CountingAgent.last.remembered, CountingAgent.last.replayed) == (32, 1)


def test_an_unknown_task_is_refused() -> None:
    with pytest.raises(ValueError, match="'flying'"):
        prepare_task("flying", CountingAgent)


def test_every_agent_learns_from_the_same_sensible_transitions() -> None:
    one, other = make_transitions(500), make_transitions(500)

    for first, second in zip(one, other, strict=True):
        np.testing.assert_array_equal(first, second)
    assert one.observation.dtype == one.reward.dtype == np.float32
    assert set(np.unique(one.action)) == set(range(ACTIONS))
    assert 0 < one.terminated.mean() < 0.2


def test_without_a_memory_an_update_takes_one_batch_after_the_other() -> None:
    prepared = prepare_task("updates", WholeEpisodes, updates_a_call=64)
    agent = WholeEpisodes.last
    agent.batches.clear()

    prepared.operation(BATCHES + 1)

    assert prepared.multiple == 1
    assert len(agent.batches) == BATCHES + 1
    assert {len(batch.observation) for batch in agent.batches} == {64}
    assert len({id(batch) for batch in agent.batches}) == BATCHES
    assert agent.remembered == 0


def test_without_a_memory_the_first_step_is_an_update() -> None:
    prepare_task("first-step", WholeEpisodes).operation(1)

    assert [len(batch.observation) for batch in WholeEpisodes.last.batches] == [32]


def test_what_learns_from_whole_episodes_does_so_at_their_ends() -> None:
    prepared = prepare_task("training", WholeEpisodes)
    agent = WholeEpisodes.last
    agent.remembered = agent.finished = 0

    prepared.operation(60)

    # An episode of the guide's environment has 20 steps.
    assert (agent.remembered, agent.finished, agent.batches) == (60, 3, [])
    assert (agent.settings["state_size"], agent.settings["action_size"]) == (12, 5)


class ActsOnly:
    def __init__(self, **settings: object) -> None:
        del settings


def test_an_agent_that_learns_from_no_loop_is_left_out_of_training() -> None:
    with pytest.raises(NotApplicableError, match="replay or finish_episode, of ActsOnly"):
        prepare_task("training", ActsOnly)


class Returns(NamedTuple):
    observation: np.ndarray


def test_a_memory_of_something_else_than_transitions_is_left_out() -> None:
    with pytest.raises(NotApplicableError, match="CountingAgent replays Returns"):
        fill_memory(CountingAgent(), Returns(np.zeros((3, 12))))  # type: ignore[arg-type]


def test_an_offline_agent_draws_from_recorded_transitions_and_does_not_act() -> None:
    pytest.importorskip("torch")
    scenario = find_scenario("discrete_cql", None)
    build = plan_build(
        find_class("torch_impl.offline_dqn:DiscreteCQL"),
        scenario,
        {"style": "x", "compiled": False},
    )

    prepared = prepare_task("updates", build, scenario=scenario, updates_a_call=25)

    prepared.operation(20)
    assert prepared.multiple == 20
    with pytest.raises(NotApplicableError, match="DiscreteCQL learns from recorded data"):
        prepare_task("training", build, scenario=scenario)


@pytest.mark.slow
@pytest.mark.parametrize("pair", ["sac", "discrete_cql"])
def test_memory_is_that_of_updates_where_the_training_loop_is_of_no_use(pair: str) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("gymnasium")
    scenario = find_scenario(pair, None)
    factory = find_class(load_pair(pair, None).torch)
    build = plan_build(factory, scenario, {"device": "cpu", "compiled": False})

    with pytest.raises(NotApplicableError):
        prepare_task("training", build, scenario=scenario)
    prepared = prepare_task("memory", build, scenario=scenario)

    prepared.operation(prepared.multiple)
