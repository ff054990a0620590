from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experience.arguments import Arguments, choose_defaults
from experience.environments.suite import SuiteEnvironment, make_suite_environment
from experience.run_checkpoints import RunCheckpointError
from experience.suite_training import SuiteResult, choose_run_folder, train_suite

gymnasium = pytest.importorskip("gymnasium")


class Mean:
    """An agent whose action is noise around one number that follows the rewards; a batch moves it."""

    def __init__(self, arguments: Arguments) -> None:
        self.arguments = arguments
        self.rng = np.random.default_rng(arguments.seed)
        self.value = 0.0

    def step(self, observation: Any, explore: bool = False, test_info: bool = False) -> Any:
        shape = (*np.shape(observation)[:-1], *self.arguments.acts_dims)
        noise = self.rng.standard_normal(shape) if explore else np.zeros(shape)
        action = np.clip(self.value + 0.3 * noise, -1, 1)
        return (action, {"Q_average": self.value}) if test_info else action

    def train(self, batch: Any) -> dict[str, float]:
        self.value += 0.01 * float(np.tanh(batch["rews"].mean() + batch["obs"].mean()))
        return {"value": self.value}

    def normalizer_update(self, batch: Any) -> None:
        self.value *= 0.99

    def target_update(self) -> None:
        self.value += 1e-4

    def save_model(self, path: Path) -> None:
        state = {"value": self.value, "rng": self.rng.bit_generator.state}
        Path(f"{path}.json").write_text(json.dumps(state))

    def load_model(self, path: Path) -> None:
        state = json.loads(Path(f"{path}.json").read_text())
        self.value, self.rng.bit_generator.state = state["value"], state["rng"]


def arguments(folder: Path, **changes: Any) -> Arguments:
    settings = {
        "alg": "sac", "env": "Pendulum-v1", "epochs": 2, "cycles": 2, "iterations": 4, "timesteps": 12, "warmup": 20,
        "train_batches": 3, "batch_size": 8, "test_rollouts": 2, "test_timesteps": 17, "buffer_size": 100,
        "rrd_batch_size": 8, "rrd_sample_size": 4, "checkpoint_every": 1, "log_folder": str(folder / "log"),
        "run_folder": str(folder / "run"),
    }  # fmt: skip
    return choose_defaults(**{**settings, **changes})


def train(folder: Path, **changes: Any) -> SuiteResult:
    stop = changes.pop("should_stop", lambda: False)
    echo = changes.pop("echo", None)
    return train_suite(arguments(folder, **changes), make_agent=Mean, echo=echo, should_stop=stop)


@pytest.mark.parametrize("alg", ["sac", "rrd", "ircr"])
@pytest.mark.parametrize("num_envs", [1, 3])
def test_interrupted_and_resumed_run_equals_an_uninterrupted_one(
    alg: str, num_envs: int, tmp_path: Path
) -> None:
    whole = train(tmp_path / "whole", alg=alg, num_envs=num_envs)
    asked = iter([False] * 6 + [True])
    # Stops in the second cycle, within its iterations and within an episode.
    part = train(tmp_path / "part", alg=alg, num_envs=num_envs, should_stop=lambda: next(asked))

    resumed = train(tmp_path / "part", alg=alg, num_envs=num_envs, resume=True)

    assert (part.complete, part.steps) == (False, 84)
    assert (resumed.complete, resumed.steps, resumed.updates) == (True, whole.steps, whole.updates)
    assert resumed.returns == whole.returns
    assert _final_agent(resumed) == _final_agent(whole)


def test_killed_run_goes_on_from_its_last_checkpoint(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole")

    def kill() -> bool:
        kill.asked += 1
        if kill.asked == 11:
            raise KeyboardInterrupt
        return False

    kill.asked = 0
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "part", should_stop=kill)

    resumed = train(tmp_path / "part", resume=True)

    assert resumed.returns == whole.returns
    assert _final_agent(resumed) == _final_agent(whole)


def test_equal_seeds_give_equal_runs_and_others_do_not(tmp_path: Path) -> None:
    first, again = train(tmp_path / "a"), train(tmp_path / "b")

    other = train(tmp_path / "c", seed=1)

    assert first.returns == again.returns != other.returns


def test_returns_are_written_where_the_original_writes_them(tmp_path: Path) -> None:
    result = train(tmp_path, tag="try")

    path = tmp_path / "log/rews/try/try-sac-Pendulum-v1/Pendulum-v1.npz"
    assert result.returns_file == path
    with np.load(path) as stored:
        assert stored["info"].tolist() == [list(pair) for pair in result.returns]
    assert [step for step, _ in result.returns] == [48, 96, 144, 192]


def test_table_of_a_cycle_is_shown_and_logged(tmp_path: Path) -> None:
    shown: list[str] = []

    train(tmp_path, echo=shown.append, save_rews=False)

    [log] = (tmp_path / "log" / "text").glob("sac-Pendulum-v1-(*).log")
    assert len(shown) == 1 + 4  # how updates run, then the cycles
    rows = dict(line.strip("| ").split("|") for line in shown[-1].splitlines() if "|" in line)
    table = {name.strip(): value.strip() for name, value in rows.items()}
    counters = {"Epoch": "2/2", "Cycle": "2/2", "Episodes": "11", "Timesteps": "192", "Steps": "17"}
    assert {name: table[name] for name in counters} == counters
    assert {"TimeCost(sec)/train", "TimeCost(sec)/test", "Q_average", "value", "Rewards"} < set(
        table
    )
    assert log.read_text().endswith(shown[-1] + "\n")
    assert "batch_size: 8\n" in log.read_text()
    assert not (tmp_path / "log" / "rews").exists()


def test_figures_go_to_tensorboard_on_request(tmp_path: Path) -> None:
    loading = pytest.importorskip("tensorboard.backend.event_processing.event_file_loader")

    train(tmp_path, tensorboard=True)

    [events] = (tmp_path / "log/board/sac-Pendulum-v1/debug").iterdir()
    tags = {v.tag for e in loading.EventFileLoader(str(events)).Load() for v in e.summary.value}
    assert {"train/Rewards", "train/value", "train/Steps"} <= tags


def test_used_run_folder_is_refused_without_resume(tmp_path: Path) -> None:
    train(tmp_path)

    with pytest.raises(ValueError, match="continue it with --resume"):
        train(tmp_path)


def test_nothing_to_resume_is_said(tmp_path: Path) -> None:
    with pytest.raises(RunCheckpointError, match="no checkpoint in it"):
        train(tmp_path, resume=True)


@pytest.mark.parametrize("name", ["buffer.npz", "running.npz", "state.json"])
def test_damaged_checkpoint_is_refused(name: str, tmp_path: Path) -> None:
    train(tmp_path, epochs=1)
    [path] = (tmp_path / "run" / "checkpoints").glob(f"*/{name}")
    path.write_bytes(path.read_bytes()[:50])

    with pytest.raises(RunCheckpointError, match="cannot go on from it"):
        train(tmp_path, epochs=1, resume=True)


def test_old_name_of_an_environment_is_said(tmp_path: Path) -> None:
    shown: list[str] = []

    def stand_in(given: Arguments) -> SuiteEnvironment:
        return make_suite_environment(choose_defaults(env="Pendulum-v1", test_timesteps=17))

    train_suite(
        arguments(tmp_path, env="Ant-v2"),
        make_agent=Mean,
        make_environment=stand_in,
        echo=shown.append,
    )

    assert shown[0] == "Ant-v2 is not in Gymnasium any more; Ant-v5 is used for it."
    assert sum("Ant-v5" in text for text in shown) == 1


def test_run_folder_has_name_and_seed() -> None:
    chosen = choose_defaults(tag="try", seed=3)

    assert choose_run_folder(chosen) == Path("runs/try-rrd-Ant-v2-seed3")


def _final_agent(result: SuiteResult) -> str:
    [path] = (result.run_folder / "checkpoints").glob("*/agent.json")
    return path.read_text()
