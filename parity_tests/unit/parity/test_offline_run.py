from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import torchward
from converters.errors import UnreadableFileError
from experience.offline_data import ReplayBuffer
from parity_tests.offline_run import (
    measure_data,
    plan_offline_run,
    read_dataset,
    run_offline_training,
)
from parity_tests.train_plan import TrainingUsageError, plan_run, read_plan

pytest.importorskip("torch")
pytest.importorskip("gymnasium")


@pytest.fixture
def archive(tmp_path: Path) -> str:
    """Two episodes of 6 and 4 steps with three numbered actions; the second one is cut."""
    lengths = np.array([6, 4])
    rng, ends = np.random.default_rng(0), np.cumsum(lengths) - 1
    flags = np.zeros((2, 10), bool)
    flags[0, ends[0]] = flags[1, ends[1]] = True
    path = tmp_path / "data.npz"
    np.savez(
        path, observations=rng.standard_normal((12, 4)), actions=np.arange(10) % 3,
        rewards=np.arange(10.0), terminations=flags[0], truncations=flags[1], lengths=lengths,
    )  # fmt: skip
    return str(path)


class Silent:
    def __init__(self) -> None:
        self.facts: dict[str, Any] = {}

    def on_start(self, facts: Any) -> None:
        self.facts = dict(facts)

    def on_episode(self, figures: Any) -> None:
        """Not used."""

    def on_evaluation(self, figures: Any) -> None:
        """Not used."""


def run(plan: Any, folder: Path, *, resume: bool = False) -> dict[str, Any]:
    return run_offline_training(plan, folder, resume=resume, observer=Silent())


def test_archive_gives_its_episodes(archive: str) -> None:
    first, second = read_dataset(archive)

    assert (len(first), len(second)) == (6, 4)
    assert first.terminations.tolist() == [False] * 5 + [True]
    assert not second.terminations.any()
    assert second.rewards.tolist() == [6, 7, 8, 9]
    assert second.observations.shape == (5, 4)


def test_missing_data_are_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFileError, match=r"none\.npz"):
        read_dataset(str(tmp_path / "none.npz"))


def test_sizes_come_from_the_data(archive: str) -> None:
    buffer = ReplayBuffer(read_dataset(archive))

    assert measure_data(buffer, discrete=True) == {"obs_dim": 4, "action_dim": 3}
    with pytest.raises(ValueError, match="data have numbers of actions, the algorithm learns cont"):
        measure_data(buffer, discrete=False)


def test_plan_keeps_agent_loop_and_buffer_apart(archive: str) -> None:
    plan = plan_offline_run(
        "discrete_cql", archive, None, ["alpha=2.5", "log_every=50", "limit=8"], steps=30
    )

    assert plan.agent == {"alpha": 2.5}
    assert (plan.training["log_every"], plan.training["limit"], plan.steps) == (50, 8, 30)
    assert plan.environment == ""


def test_long_runs_are_compiled_unless_the_user_says_otherwise(archive: str) -> None:
    short, long, automatic = (
        plan_offline_run("discrete_cql", archive, None, settings, steps=steps)
        for settings, steps in (([], 19_999), ([], 20_000), (["compiled=auto"], 20_000))
    )

    assert [plan.compiled for plan in (short, long, automatic)] == [False, True, True]
    assert automatic.agent == {}


def test_pair_that_acts_is_refused(archive: str) -> None:
    with pytest.raises(TrainingUsageError, match=r"dqn learns in an environment.*offline_dqn"):
        plan_offline_run("dqn", archive, None)
    with pytest.raises(TrainingUsageError, match="name it with --dataset"):
        plan_run("iql", None)


def test_unknown_setting_is_refused_with_the_nearest(archive: str, tmp_path: Path) -> None:
    plan = plan_offline_run("discrete_cql", archive, None, ["alhpa=1"], steps=1)

    with pytest.raises(TrainingUsageError, match="nearest: alpha"):
        run(plan, tmp_path / "run")


def test_run_learns_saves_and_goes_on_exactly(archive: str, tmp_path: Path) -> None:
    from torch_impl.offline_dqn import DiscreteCQL

    settings = ["hidden_sizes=[5]", "log_every=5", "batch_size=4", "lr=0.01"]
    whole = plan_offline_run("discrete_cql", archive, None, settings, steps=20)
    half = plan_offline_run("discrete_cql", archive, None, settings, steps=10)
    result = run(whole, tmp_path / "whole")
    run(half, tmp_path / "half")

    longer = plan_offline_run("discrete_cql", archive, None, settings, steps=20)
    run(longer, tmp_path / "half", resume=True)

    assert (result["updates"], result["reason"], result["episodes"]) == (20, "budget", 2)
    assert "mean_return" not in result
    agents = [DiscreteCQL.load(tmp_path / name / "agent") for name in ("whole", "half")]
    for name, array in agents[0].read_variables().items():
        np.testing.assert_array_equal(array, agents[1].read_variables()[name])
    assert read_plan(tmp_path / "half") == longer


def test_command_trains_from_data(
    archive: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"

    code = torchward.main(
        ["train", "behavioral_cloning", "--dataset", archive, "--steps", "3",
         "--set", "hidden_sizes=[4]", "--run-folder", str(folder)]
    )  # fmt: skip

    assert code == 0
    assert "DONE   3 updates; no environment" in capsys.readouterr().out
    assert (folder / "agent.pth").is_file()
