from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from experience.buffers import ReplayMemory
from experience.guide_training import train_by_guide


class TwoSteps:
    """Episodes of two steps with reward 1 each."""

    def reset(self, *, seed: int | None = None) -> tuple[NDArray[np.floating], dict[str, Any]]:
        self.left = 2
        return np.zeros(2), {}

    def step(self, action: int) -> tuple[NDArray[np.floating], float, bool, bool, dict[str, Any]]:
        self.left -= 1
        return np.zeros(2), 1.0, self.left == 0, False, {}

    def close(self) -> None: ...


class CountingAgent:
    """Notes after how many episodes it is asked for what."""

    batch_size = 1

    def __init__(self) -> None:
        self.epsilon = 0.5
        self.memory = ReplayMemory(10, (2,))
        self.history: dict[str, list[float]] = {}
        self.copies: list[int] = []
        self.saves: list[tuple[Path, int]] = []

    def episode(self) -> int:
        return len(self.history.get("rewards", []))

    def act(
        self, observation: NDArray[np.floating], rng: np.random.Generator, *, explore: bool
    ) -> NDArray[np.int64]:
        return np.array(0)

    def remember(self, *transition: Any) -> None:
        self.memory.add(*transition)

    def replay(self, rng: np.random.Generator) -> float:
        return 0.25

    def update(self, batch: Any, noise: Any = None) -> dict[str, float]:
        return {"loss": 0.25}

    def update_target(self) -> None:
        self.copies.append(self.episode())

    def save(self, path: Path) -> None:
        self.saves.append((path, self.episode()))

    @classmethod
    def load(cls, path: Path) -> CountingAgent:
        return cls()


def run(agent: CountingAgent, episodes: int, **options: Any) -> None:
    arguments: dict[str, Any] = {
        "rng": np.random.default_rng(0),
        "update_target_freq": 10,
        "save_path": None,
        "tensorboard_log": None,
    }
    train_by_guide(agent, TwoSteps(), episodes, **{**arguments, **options})


def test_every_episode_is_recorded_with_its_loss() -> None:
    agent = CountingAgent()

    run(agent, 3)

    assert agent.history == {
        "rewards": [2.0] * 3,
        "lengths": [2.0] * 3,
        "losses": [0.25] * 3,
        "epsilons": [0.5] * 3,
    }


def test_target_is_copied_after_the_first_of_every_ten_episodes() -> None:
    agent = CountingAgent()

    run(agent, 25)

    assert agent.copies == [0, 10, 20]


def test_agent_is_saved_every_hundred_episodes_and_at_the_end(tmp_path: Path) -> None:
    agent = CountingAgent()

    run(agent, 205, save_path=tmp_path / "dqn")

    assert agent.saves == [(tmp_path / "dqn", episodes) for episodes in (100, 200, 205)]


@pytest.mark.parametrize(("asked", "written"), [(True, True), (False, False), (None, False)])
def test_tensorboard_is_asked_for_as_the_guides_agent_asks(
    asked: bool | None, written: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboard")
    monkeypatch.chdir(tmp_path)

    run(CountingAgent(), 1, tensorboard_log=asked)

    assert bool(list(tmp_path.glob("runs/guide/**/events*"))) == written


def test_a_folder_to_save_in_is_there_before_the_first_episode(tmp_path: Path) -> None:
    class Stopped(CountingAgent):
        def act(self, *_: Any, **__: Any) -> NDArray[np.int64]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(Stopped(), 1, save_path=tmp_path / "models" / "dqn")

    assert (tmp_path / "models").is_dir()


def test_progress_is_said_every_ten_episodes(logged: list[str]) -> None:
    run(CountingAgent(), 25)

    assert [message.split(" | ")[:3] for message in logged] == [
        ["Episode 10/25", "reward 2.00", "mean of the last 10 2.00"],
        ["Episode 20/25", "reward 2.00", "mean of the last 10 2.00"],
    ]


def test_tensorboard_gets_the_losses_of_every_episode(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    run(CountingAgent(), 3, tensorboard_log=tmp_path / "logs" / "run")

    (file,) = (tmp_path / "logs" / "run").glob("events*")
    values = [value for event in EventFileLoader(str(file)).Load() for value in event.summary.value]
    assert [value.tag for value in values].count("Loss/Episode") == 3
