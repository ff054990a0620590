from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
from numpy.typing import NDArray

from experience.agent import Batch, Noise
from experience.buffers import ReplayMemory
from experience.logs import RunLog
from experience.run_checkpoints import read_run_checkpoint
from experience.schedules import LinearSchedule
from experience.trainable import check_trainable
from experience.training import Evaluation, TrainingResult, TrainingSettings, train


class Coin:
    """Says heads (+1) or tails (-1); guessing it is worth a point. Five guesses an episode."""

    def __init__(self, *, killed_at: int | None = None) -> None:
        self.guesses, self.killed_at = 0, killed_at

    def reset(self, *, seed: int | None = None) -> tuple[NDArray[np.float32], dict[str, Any]]:
        self.rng, self.length = np.random.default_rng(seed), 0
        return self._toss(), {}

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        if self.guesses == self.killed_at:
            raise KeyboardInterrupt
        self.guesses += 1
        self.length += 1
        reward = float((self.side > 0) == bool(action))
        return self._toss(), reward, False, self.length == 5, {}

    def close(self) -> None:
        pass

    def _toss(self) -> NDArray[np.float32]:
        self.side = 2.0 * self.rng.integers(2) - 1
        return np.array([self.side], np.float32)


class WholeEpisodes:
    """A policy of one weight, trained on pairs of whole episodes: neither memory, epsilon, history nor target."""

    def __init__(self) -> None:
        self.weight, self.steps, self.episodes = 0.0, list[list[float]](), 0

    def act(
        self, observation: NDArray[np.floating], rng: np.random.Generator, *, explore: bool
    ) -> NDArray[np.int64]:
        chance = 1 / (1 + np.exp(-self.weight * np.asarray(observation)[..., 0]))
        limit = rng.random() if explore else 0.5
        return (chance > limit).astype(np.int64)

    def remember(
        self,
        observation: NDArray[np.floating],
        action: int,
        reward: float,
        next_observation: NDArray[np.floating],
        terminated: bool,
    ) -> None:
        self.steps.append([float(observation[0]), action, reward])

    def finish_episode(self, rng: np.random.Generator) -> float | None:
        self.episodes += 1
        if self.episodes % 2:
            return None
        side, action, reward = np.array(self.steps).T
        self.steps.clear()
        self.weight += 0.2 * float(np.mean((reward - 0.5) * side * (2 * action - 1)))
        return float(1 - reward.mean() + 0 * rng.random())

    def update(self, batch: Batch, noise: Noise | None = None) -> dict[str, float]:
        raise NotImplementedError

    def save(self, path: Path) -> None:
        content = [self.weight, self.steps, self.episodes]
        path.with_suffix(".json").write_text(json.dumps(content))

    @classmethod
    def load(cls, path: Path) -> Self:
        agent = cls()
        agent.weight, agent.steps, agent.episodes = json.loads(
            path.with_suffix(".json").read_text()
        )
        return agent


class WithMemory(WholeEpisodes):
    """Also replays, without exploration rate or target network."""

    def __init__(self) -> None:
        super().__init__()
        self.memory, self.batch_size, self.replayed = ReplayMemory(20, (1,)), 4, 0

    def remember(self, *transition: Any) -> None:
        self.memory.add(*transition)

    def replay(self, rng: np.random.Generator) -> float:
        self.replayed += 1
        return float(self.memory.sample(self.batch_size, rng).reward.mean())

    def finish_episode(self, rng: np.random.Generator) -> float | None:
        return None


def run(
    folder: Path, *, killed_at: int | None = None, resume: bool = False
) -> tuple[WholeEpisodes, TrainingResult]:
    folder.mkdir(exist_ok=True)
    checkpoint = read_run_checkpoint(folder) if resume else None
    agent = WholeEpisodes.load(checkpoint.agent_path) if checkpoint else WholeEpisodes()
    position = checkpoint.state["log"] if checkpoint else None
    with RunLog(folder, position=position, clock=lambda: 0.0) as log:
        result = train(
            agent,
            Coin(killed_at=killed_at),
            rng=np.random.default_rng(0),
            episodes=41,
            settings=TrainingSettings(evaluate_every=50, checkpoint_every=15),
            evaluation=Evaluation(Coin, episodes=2),
            run_folder=folder,
            log=log,
            checkpoint=checkpoint,
        )
    return agent, result


def test_an_agent_learns_from_whole_episodes_alone(tmp_path: Path) -> None:
    agent, result = run(tmp_path / "run")

    assert agent.weight > 0.1
    assert (result.episodes, result.steps, result.updates) == (41, 205, 20)
    assert result.best_return == 5.0


def test_what_the_agent_does_not_have_is_not_written_down(tmp_path: Path) -> None:
    run(tmp_path / "run")

    with (tmp_path / "run" / "progress.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["epsilon"] for row in rows} == {""}
    # An update after every second episode.
    assert [bool(row["loss"]) for row in rows] == [bool(index % 2) for index in range(41)]
    names = {path.name for path in (tmp_path / "run").glob("checkpoints/*/*")}
    assert names == {"agent.json", "state.json"}


@pytest.mark.parametrize("killed_at", [16, 23, 101], ids=lambda step: f"step-{step}")
def test_a_killed_run_of_whole_episodes_goes_on_exactly(tmp_path: Path, killed_at: int) -> None:
    whole, _ = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", killed_at=killed_at)

    agent, _ = run(tmp_path / "killed", resume=True)

    assert agent.weight == whole.weight
    for name in ("progress.csv", "metrics.jsonl"):
        texts = [(tmp_path / folder / name).read_text() for folder in ("whole", "killed")]
        assert texts[0] == texts[1]


def test_a_memory_alone_is_enough_to_replay() -> None:
    agent = WithMemory()

    result = train(agent, Coin(), rng=np.random.default_rng(0), episodes=3)

    # From the fourth of fifteen steps on there is a batch.
    assert (agent.replayed, result.updates) == (12, 12)


class Bare:
    act = save = load = None


@pytest.mark.parametrize(
    ("agent", "settings", "message"),
    [
        (Bare(), {}, r"Bare has no remember; neither a memory with replay nor finish_episode"),
        (WholeEpisodes(), {"train_every": 4}, "no replay, which train_every would need"),
        (WholeEpisodes(), {"target_unit": "steps"}, "no update_target, which target_unit"),
        (
            WithMemory(),
            {"exploration": LinearSchedule(1.0, 0.1, 10)},
            "no epsilon, which exploration",
        ),
    ],
    ids=["methods", "replay", "target", "epsilon"],
)
def test_what_an_agent_cannot_do_is_said_before_it_starts(
    agent: Any, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        train(agent, Coin(), rng=np.random.default_rng(0), episodes=1,
              settings=TrainingSettings(**settings))  # fmt: skip


def test_an_agent_without_a_target_is_fine_under_the_usual_settings() -> None:
    check_trainable(WithMemory(), TrainingSettings())
