from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
from numpy.typing import NDArray

from experience.agent import Batch, Noise
from experience.buffers import ReplayMemory
from experience.logs import EpisodeFigures, EvaluationFigures, RunLog
from experience.run_checkpoints import read_run_checkpoint
from experience.schedules import LinearSchedule
from experience.training import Evaluation, TrainingResult, TrainingSettings, train


class Walk:
    """A walk on a line whose pace outlives the episode; ends at +-3 or, cut off, after nine steps."""

    def __init__(self, *, killed_at: int | None = None) -> None:
        self.pace, self.steps_ever, self.killed_at = 1.0, 0, killed_at

    def reset(self, *, seed: int | None = None) -> tuple[NDArray[np.float32], dict[str, Any]]:
        self.rng = np.random.default_rng(seed)
        self.position, self.length = float(self.rng.normal()), 0
        return self._observe(), {}

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        if self.steps_ever == self.killed_at:
            raise KeyboardInterrupt
        self.steps_ever += 1
        self.length += 1
        self.pace *= 0.999
        self.position += self.pace * (2 * int(action) - 1) + 0.1 * float(self.rng.normal())
        terminated = abs(self.position) > 3
        return self._observe(), self.position, terminated, not terminated and self.length >= 9, {}

    def close(self) -> None:
        pass

    def state_dict(self) -> dict[str, float]:
        return {"pace": self.pace}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self.pace = state["pace"]

    def _observe(self) -> NDArray[np.float32]:
        return np.array([self.position, self.pace], np.float32)


class LinearAgent:
    """Q learning with two linear functions, in float64."""

    def __init__(self) -> None:
        self.epsilon, self.batch_size = 1.0, 4
        self.memory = ReplayMemory(50, (2,))
        self.history: dict[str, list[float]] = {}
        self.weights, self.target = np.zeros((2, 2)), np.zeros((2, 2))
        self.copied_after: list[int] = []
        self.replays = 0

    def act(
        self, observation: NDArray[np.floating], rng: np.random.Generator, *, explore: bool
    ) -> NDArray[np.int64]:
        if explore and rng.random() <= self.epsilon:
            return np.asarray(rng.integers(2))
        return (np.asarray(observation, np.float64) @ self.weights).argmax(axis=-1)

    def remember(self, *transition: Any) -> None:
        self.memory.add(*transition)

    def replay(self, rng: np.random.Generator) -> float:
        self.replays += 1
        self.epsilon *= 0.99
        return self.update(self.memory.sample(self.batch_size, rng))["loss"]

    def update(self, batch: Batch, noise: Noise | None = None) -> dict[str, float]:
        value = batch.reward + 0.9 * ~batch.terminated * (batch.next_observation @ self.target).max(
            1
        )
        error = value - (batch.observation @ self.weights)[np.arange(len(value)), batch.action]
        np.add.at(self.weights.T, batch.action, 0.01 * error[:, None] * batch.observation)
        return {"loss": float((error**2).mean())}

    def update_target(self) -> None:
        self.copied_after.append(self.replays)
        self.target = self.weights.copy()

    def save(self, path: Path) -> None:
        data = {
            "epsilon": self.epsilon,
            "history": self.history,
            "weights": self.weights.tolist(),
            "target": self.target.tolist(),
        }
        path.with_suffix(".json").write_text(json.dumps(data))

    @classmethod
    def load(cls, path: Path) -> Self:
        data = json.loads(path.with_suffix(".json").read_text())
        agent = cls()
        agent.epsilon, agent.history = data["epsilon"], data["history"]
        agent.weights, agent.target = np.array(data["weights"]), np.array(data["target"])
        return agent


class Notes:
    """A listener that keeps what it hears."""

    def __init__(self) -> None:
        self.episodes: list[EpisodeFigures] = []
        self.evaluations: list[EvaluationFigures] = []

    def on_episode(self, figures: EpisodeFigures) -> None:
        self.episodes.append(figures)

    def on_evaluation(self, figures: EvaluationFigures) -> None:
        self.evaluations.append(figures)


class ReusingWalk(Walk):
    """The same walk, which shows one array again and again with other numbers in it."""

    def __init__(self) -> None:
        super().__init__()
        self.shown = np.zeros(2, np.float32)

    def _observe(self) -> NDArray[np.float32]:
        self.shown[:] = super()._observe()
        return self.shown


SETTINGS = TrainingSettings(target_every=3, evaluate_every=60, checkpoint_every=40)


def run(
    folder: Path, *, killed_at: int | None = None, resume: bool = False
) -> tuple[LinearAgent, TrainingResult]:
    """Run 60 episodes, or go on with them, and write everything down in the folder."""
    folder.mkdir(exist_ok=True)
    checkpoint = read_run_checkpoint(folder) if resume else None
    agent = LinearAgent.load(checkpoint.agent_path) if checkpoint else LinearAgent()
    position = checkpoint.state["log"] if checkpoint else None
    with RunLog(folder, position=position, clock=lambda: 0.0) as log:
        result = train(
            agent,
            Walk(killed_at=killed_at),
            rng=np.random.default_rng(0),
            episodes=60,
            settings=SETTINGS,
            evaluation=Evaluation(Walk, episodes=3),
            run_folder=folder,
            log=log,
            checkpoint=checkpoint,
        )
    return agent, result


def read_files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("killed_at", [41, 99, 150, 230], ids=lambda step: f"step-{step}")
def test_a_killed_run_goes_on_as_if_nothing_had_happened(tmp_path: Path, killed_at: int) -> None:
    whole, result = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", killed_at=killed_at)

    agent, resumed = run(tmp_path / "killed", resume=True)

    np.testing.assert_array_equal(agent.weights, whole.weights)
    assert (resumed.steps, resumed.updates, resumed.best_return) == (
        result.steps,
        result.updates,
        result.best_return,
    )
    assert read_files(tmp_path / "killed") == read_files(tmp_path / "whole")


def test_the_comparison_of_runs_can_fail(tmp_path: Path) -> None:
    run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", killed_at=150)
    (state,) = (tmp_path / "killed").glob("checkpoints/*/state.json")
    stored = json.loads(state.read_text())
    stored["environment"]["pace"] += 1e-3
    state.write_text(json.dumps(stored))

    run(tmp_path / "killed", resume=True)

    assert read_files(tmp_path / "killed") != read_files(tmp_path / "whole")


def train_plainly(agent: LinearAgent, **arguments: Any) -> TrainingResult:
    return train(agent, Walk(), rng=np.random.default_rng(1), **arguments)


def test_a_time_limit_is_not_remembered_as_an_end() -> None:
    agent, notes = LinearAgent(), Notes()
    agent.memory = ReplayMemory(200, (2,))
    train_plainly(agent, episodes=12, listeners=[notes])

    batch = agent.memory.gather(np.arange(len(agent.memory)))

    # The walk ends by itself only beyond 3; every other episode was cut off after nine steps.
    np.testing.assert_array_equal(batch.terminated, np.abs(batch.next_observation[:, 0]) > 3)
    cut_off = sum(figures.length == 9 for figures in notes.episodes)
    assert 0 < cut_off < 12
    assert 12 - cut_off <= batch.terminated.sum() < 12


def test_the_state_behind_a_time_limit_is_the_last_one_of_the_episode() -> None:
    agent = LinearAgent()
    train_plainly(agent, episodes=3)

    batch = agent.memory.gather(np.arange(len(agent.memory)))
    joined = np.all(batch.observation[1:] == batch.next_observation[:-1], axis=1)

    assert (~joined).sum() == 2


def test_the_target_is_copied_after_the_first_episode_and_every_third_then() -> None:
    agent, notes = LinearAgent(), Notes()
    train_plainly(agent, episodes=8, settings=TrainingSettings(target_every=3), listeners=[notes])

    # An update at every step from the fourth on.
    assert agent.copied_after == [notes.episodes[i].step - 3 for i in (0, 3, 6)]


def test_the_target_is_copied_every_so_many_steps() -> None:
    agent = LinearAgent()
    settings = TrainingSettings(target_every=10, target_unit="steps")
    train_plainly(agent, episodes=6, settings=settings)

    assert agent.copied_after[:3] == [7, 17, 27]


@pytest.mark.parametrize(
    ("settings", "updates"),
    [
        ({}, lambda steps: steps - 3),
        ({"learning_starts": 20}, lambda steps: steps - 20),
        ({"train_every": 5}, lambda steps: steps // 5),
        ({"train_every": 5, "updates_per_train": 3}, lambda steps: 3 * (steps // 5)),
        ({"learning_starts": 20, "train_every": 8}, lambda steps: steps // 8 - 2),
    ],
    ids=["every-step", "late", "seldom", "several", "late-and-seldom"],
)
def test_updates_come_when_the_settings_say(settings: dict[str, int], updates: Any) -> None:
    agent = LinearAgent()

    result = train_plainly(agent, episodes=15, settings=TrainingSettings(**settings))

    assert agent.replays == result.updates == updates(result.steps)


def test_planned_updates_are_those_that_are_done() -> None:
    settings = TrainingSettings(learning_starts=17, train_every=6, updates_per_train=2)

    result = train_plainly(LinearAgent(), episodes=15, settings=settings)

    assert settings.count_updates(result.steps) == result.updates > 0
    assert settings.count_updates(17) == 0


def test_several_updates_are_handed_over_at_once_to_an_agent_that_can() -> None:
    class Fast(LinearAgent):
        calls: list[int] = []  # noqa: RUF012

        def update_many(self, count: int, rng: np.random.Generator) -> float:
            self.calls.append(count)
            return sum(self.replay(rng) for _ in range(count)) / count

    slow, fast = LinearAgent(), Fast()
    settings = TrainingSettings(train_every=6, updates_per_train=6)
    for agent in (slow, fast):
        train_plainly(agent, episodes=10, settings=settings)

    assert set(fast.calls) == {6}
    np.testing.assert_array_equal(slow.weights, fast.weights)


def test_exploration_follows_its_line() -> None:
    notes = Notes()
    line = LinearSchedule(1.0, 0.0, 1_000)
    settings = TrainingSettings(exploration=line, learning_starts=10**6)
    train_plainly(LinearAgent(), episodes=5, settings=settings, listeners=[notes])

    # The last step of an episode was decided one step before.
    assert [figures.epsilon for figures in notes.episodes] == pytest.approx(
        [1 - (figures.step - 1) / 1_000 for figures in notes.episodes]
    )


def test_the_history_has_an_entry_per_episode() -> None:
    agent, notes = LinearAgent(), Notes()
    train_plainly(agent, episodes=7, listeners=[notes])

    assert agent.history["rewards"] == [figures.episode_return for figures in notes.episodes]
    assert agent.history["epsilons"][-1] == agent.epsilon
    assert agent.history["losses"] == [figures.loss or 0.0 for figures in notes.episodes]
    assert sum(agent.history["lengths"]) == notes.episodes[-1].step


def test_a_budget_of_steps_lets_the_last_episode_end() -> None:
    notes = Notes()
    result = train_plainly(LinearAgent(), steps=50, listeners=[notes])

    assert result.reason == "budget"
    assert result.steps >= 50 > notes.episodes[-2].step


def test_a_wish_to_stop_ends_the_run_between_episodes(tmp_path: Path) -> None:
    notes = Notes()
    result = train_plainly(
        LinearAgent(),
        episodes=100,
        run_folder=tmp_path,
        listeners=[notes],
        should_stop=lambda: len(notes.episodes) == 4,
    )

    assert (result.reason, result.episodes) == ("interrupted", 4)
    assert read_run_checkpoint(tmp_path).state["counters"]["episode"] == 4


def test_reaching_the_goal_ends_the_run_with_the_agent_that_reached_it(tmp_path: Path) -> None:
    notes = Notes()
    agent = LinearAgent()
    result = train_plainly(
        agent,
        episodes=100,
        settings=TrainingSettings(evaluate_every=20, goal=-1e9),
        evaluation=Evaluation(Walk, episodes=2),
        run_folder=tmp_path,
        listeners=[notes],
    )

    (figures,) = notes.evaluations
    assert (result.reason, result.best_return) == ("goal", figures.mean_return)
    assert result.best_path is not None
    np.testing.assert_array_equal(LinearAgent.load(result.best_path).weights, agent.weights)


def test_the_best_agent_is_the_one_of_the_best_evaluation(tmp_path: Path) -> None:
    notes = Notes()
    result = train_plainly(
        LinearAgent(),
        episodes=40,
        settings=TrainingSettings(evaluate_every=20),
        evaluation=Evaluation(Walk, episodes=2),
        run_folder=tmp_path,
        listeners=[notes],
    )

    best = max(notes.evaluations, key=lambda figures: figures.mean_return)
    assert (result.best_return, result.best_episode) == (best.mean_return, best.episode)
    assert len(list(tmp_path.glob("best-*"))) == 1


def test_evaluating_does_not_change_the_training() -> None:
    with_evaluations, without = LinearAgent(), LinearAgent()
    train_plainly(
        with_evaluations,
        episodes=20,
        settings=TrainingSettings(evaluate_every=10),
        evaluation=Evaluation(Walk, episodes=2),
    )
    train_plainly(without, episodes=20)

    np.testing.assert_array_equal(with_evaluations.weights, without.weights)


def test_a_run_without_a_budget_is_refused() -> None:
    with pytest.raises(ValueError, match="no budget"):
        train_plainly(LinearAgent())


@pytest.mark.parametrize(
    "wrong",
    [{"train_every": 0}, {"learning_starts": -1}, {"target_unit": "days"}, {"checkpoint_every": 0}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_setting_out_of_range_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TrainingSettings(**wrong)


def test_an_environment_may_show_the_same_array_again_with_other_numbers() -> None:
    agents = [LinearAgent(), LinearAgent()]

    for agent, environment in zip(agents, (Walk(), ReusingWalk()), strict=True):
        train(agent, environment, rng=np.random.default_rng(0), episodes=3)

    stored = [agent.memory.state_dict()["observation"].tolist() for agent in agents]
    assert stored[0] == stored[1]
