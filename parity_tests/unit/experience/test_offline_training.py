from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experience.evaluation import evaluate_policy
from experience.offline_data import ReplayBuffer, make_episode
from experience.offline_training import (
    METRICS_NAME,
    OfflineSettings,
    read_offline_checkpoint,
    train_offline,
)
from experience.run_checkpoints import RunCheckpointError


class Agent:
    """Counts, without a framework; its loss is the mean reward it has drawn plus its number of updates."""

    def __init__(self, freq: int | None = None) -> None:
        self.settings: dict[str, Any] = {} if freq is None else {"target_update_freq": freq}
        self.updates = 0
        self.copies: list[int] = []
        self.drawn: list[float] = []

    def update_many(
        self,
        buffer: ReplayBuffer,
        count: int,
        generator: np.random.Generator,
        batch_size: int | None = None,
    ) -> dict[str, float]:
        losses = []
        for _ in range(count):
            reward = float(buffer.sample(batch_size or 2, generator).reward.mean())
            self.drawn.append(reward)
            self.updates += 1
            losses.append(reward + self.updates)
        return {"loss": float(np.mean(losses))}

    def update_target_network(self) -> None:
        self.copies.append(self.updates)

    def save(self, path: Path) -> None:
        path.with_suffix(".json").write_text(json.dumps([self.updates, self.copies]))


def buffer() -> ReplayBuffer:
    none = np.zeros(20, bool)
    return ReplayBuffer(
        [make_episode(np.zeros((21, 1)), np.zeros(20, int), np.arange(20.0), none, none)]
    )


def run(agent: Agent, steps: int, **arguments: Any) -> Any:
    settings = arguments.pop("settings", OfflineSettings(log_every=7, checkpoint_every=10))
    generator = arguments.pop("generator", np.random.default_rng(0))
    return train_offline(
        agent, buffer(), steps=steps, generator=generator, settings=settings, **arguments
    )


def test_target_is_copied_after_every_freqth_update() -> None:
    agent = Agent(freq=5)

    run(agent, 17)

    assert (agent.updates, agent.copies) == (17, [5, 10, 15])


def test_the_guides_own_loop_copies_after_the_first_update() -> None:
    agent = Agent(freq=5)

    run(agent, 17, settings=OfflineSettings(copy_first=True))

    # step % 5 == 0 for steps counted from 0, each after its update
    assert agent.copies == [1, 6, 11, 16]


def test_settings_of_the_loop_go_before_the_agents() -> None:
    agent = Agent(freq=5)

    run(agent, 8, settings=OfflineSettings(target_update_freq=4, batch_size=20))

    assert agent.copies == [4, 8]
    assert agent.drawn == [9.5] * 8  # a batch of all transitions


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"tau": 0.005}, r"moves its targets with every update \(tau 0.005\)"),
        ({}, "has no target network"),
    ],
    ids=["soft", "none"],
)
def test_copies_of_a_target_that_is_never_copied_are_refused(
    settings: dict[str, float], reason: str
) -> None:
    agent = Agent()
    agent.settings |= settings

    with pytest.raises(ValueError, match=f"target_update_freq 4: the agent {reason}"):
        run(agent, 8, settings=OfflineSettings(target_update_freq=4))

    assert agent.updates == 0


def test_figures_are_means_over_the_updates_of_a_row() -> None:
    agent, heard = Agent(freq=4), []

    result = run(agent, 10, on_figures=heard.append)

    assert [row["step"] for row in result.history] == [7, 10]
    losses = np.array(agent.drawn) + np.arange(1, 11)
    found = [row["loss"] for row in heard]
    np.testing.assert_allclose(found, [losses[:7].mean(), losses[7:].mean()], rtol=1e-12)


def test_evaluations_are_in_the_rows_where_they_are_due() -> None:
    settings = OfflineSettings(log_every=5, evaluate_every=10)

    result = run(Agent(), 20, settings=settings, evaluate=lambda: {"evaluation_return": 3.0})

    assert ["evaluation_return" in row for row in result.history] == [False, True, False, True]


def test_resumed_run_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    whole, first = Agent(freq=5), Agent(freq=5)
    run(whole, 30, run_folder=tmp_path / "whole")
    stops = iter([False, True])
    result = run(first, 30, run_folder=tmp_path / "cut", should_stop=lambda: next(stops))
    assert result.reason == "interrupted"
    checkpoint = read_offline_checkpoint(tmp_path / "cut")
    updates, copies = json.loads(checkpoint.agent_path.with_suffix(".json").read_text())
    second = Agent(freq=5)
    second.updates, second.copies = updates, copies

    run(
        second,
        30,
        run_folder=tmp_path / "cut",
        checkpoint=checkpoint,
        generator=np.random.default_rng(9),
    )

    assert second.copies == whole.copies
    assert first.drawn[: checkpoint.updates] + second.drawn == whole.drawn
    rows = [
        [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in
         (tmp_path / name / METRICS_NAME).read_text().splitlines()]
        for name in ("whole", "cut")
    ]  # fmt: skip
    assert rows[0] == rows[1]


def test_one_checkpoint_is_kept_and_it_is_the_last(tmp_path: Path) -> None:
    run(Agent(), 25, run_folder=tmp_path)

    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["update-000000025"]
    assert read_offline_checkpoint(tmp_path).updates == 25


def test_folder_without_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunCheckpointError, match="no checkpoint in it"):
        read_offline_checkpoint(tmp_path)


@pytest.mark.parametrize(
    "settings", [{"log_every": 0}, {"batch_size": 0}, {"evaluate_every": -1}], ids=str
)
def test_wrong_settings_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="below 1"):
        OfflineSettings(**settings)


class Countdown:
    """Ends after `steps`, by task or by time limit; observations are the seed's number."""

    def __init__(self, steps: int, *, truncates: bool = False) -> None:
        self.steps, self.truncates, self.seeds = steps, truncates, list[int | None]()

    def reset(self, *, seed: int | None = None) -> tuple[Any, dict[str, Any]]:
        self.seeds.append(seed)
        self.left = self.steps
        return np.zeros(2), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if self.left < 1:
            raise AssertionError
        self.left -= 1
        ended = self.left == 0
        return (
            np.zeros(2),
            float(action),
            ended and not self.truncates,
            ended and self.truncates,
            {},
        )

    def close(self) -> None:
        """Nothing is open."""


class Always:
    def predict(self, observation: Any) -> Any:
        assert observation.shape == (2,)
        return np.int64(2)


@pytest.mark.parametrize("truncates", [False, True], ids=["terminated", "truncated"])
def test_policy_is_evaluated_to_either_end_of_an_episode(truncates: bool) -> None:
    env = Countdown(4, truncates=truncates)

    found = evaluate_policy(Always(), env, n_episodes=3)

    assert (found.mean_return, found.std_return, found.mean_length) == (8.0, 0.0, 4.0)
    assert found.truncated == (3 if truncates else 0)
    assert env.seeds == [123, None, None]


def test_returns_that_differ_have_their_mean_and_deviation() -> None:
    class Rising:
        actions = iter([1, 1, 3, 3])

        def predict(self, _: Any) -> Any:
            return np.int64(next(self.actions))

    found = evaluate_policy(Rising(), Countdown(2), n_episodes=2)

    assert found.returns.tolist() == [2.0, 6.0]
    assert (found.mean_return, found.std_return) == (4.0, 2.0)


def test_evaluation_stops_at_the_most_steps() -> None:
    found = evaluate_policy(Always(), Countdown(1_000), max_steps=10)

    assert found.lengths.tolist() == [10] * 5
    assert found.truncated == 5
