from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import torchward
from converters.errors import UnreadableFileError
from experience.logs import EpisodeFigures, EvaluationFigures
from parity_tests.train_display import format_verdict
from parity_tests.train_plan import (
    TrainingUsageError,
    choose_run_folder,
    machine_settings,
    plan_run,
    read_plan,
)
from parity_tests.train_run import run_training

pytest.importorskip("gymnasium")

# An agent without a framework: a table of values over the sign of the pole's angle and speed.
MODULE = """
import json
import os
import signal
import sys

import numpy as np

from experience.buffers import ReplayMemory
from parity_tests.pairs import AgentPair


class Agent:
    def __init__(self, state_size, action_size, *, rate=0.1, epsilon=1.0, seed=0):
        self.values = np.zeros((4, action_size))
        self.target = self.values.copy()
        self.rate, self.epsilon, self.batch_size = rate, epsilon, 8
        self.memory = ReplayMemory(100, (state_size,))
        self.history = {}

    def _rows(self, observation):
        observation = np.asarray(observation)
        return 2 * (observation[..., 2] > 0) + (observation[..., 3] > 0)

    def act(self, observation, rng, *, explore):
        if explore and rng.random() < self.epsilon:
            return np.asarray(rng.integers(self.values.shape[1]))
        return self.values[self._rows(observation)].argmax(-1)

    def remember(self, *transition):
        self.memory.add(*transition)

    def replay(self, rng):
        batch = self.memory.sample(self.batch_size, rng)
        self.epsilon *= 0.999
        after = ~batch.terminated * self.target[self._rows(batch.next_observation)].max(1)
        places = self._rows(batch.observation), batch.action
        error = batch.reward + 0.9 * after - self.values[places]
        np.add.at(self.values, places, self.rate * error)
        return float((error ** 2).mean())

    def update_target(self):
        self.target = self.values.copy()

    def save(self, path):
        arrays = [self.values.tolist(), self.target.tolist(), self.epsilon, self.history, self.rate]
        path.with_suffix(".json").write_text(json.dumps(arrays))

    @classmethod
    def load(cls, path):
        agent = cls(4, 2)
        values, target, agent.epsilon, agent.history, agent.rate = json.loads(
            path.with_suffix(".json").read_text()
        )
        agent.values, agent.target = np.array(values), np.array(target)
        return agent


class Noisy(Agent):
    def __init__(self, state_size, action_size, *, rate=0.1, epsilon=1.0, seed=0):
        print("a framework talks")
        super().__init__(state_size, action_size, rate=rate, epsilon=epsilon, seed=seed)


class Mortal(Agent):
    replays = 0

    def replay(self, rng):
        self.replays += 1
        if self.replays == int(os.environ.get("KILLED_AT", "0")):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().replay(rng)


class Broken(Agent):
    def replay(self, rng):
        print("the last words", file=sys.stderr)
        sys.exit(9)


class Episodic:  # learns from whole episodes: no memory, no exploration rate, no history, no target
    def __init__(self, state_size, action_size, *, rate=0.5, seed=0):
        self.weights, self.rate, self.steps = np.zeros(state_size), rate, []

    def act(self, observation, rng, *, explore):
        chance = 1 / (1 + np.exp(-np.asarray(observation) @ self.weights))
        return np.asarray(chance > (rng.random() if explore else 0.5)).astype(int)

    def remember(self, observation, action, reward, next_observation, terminated):
        self.steps.append((2 * action - 1) * observation)

    def finish_episode(self, rng):
        self.weights = self.weights + self.rate * len(self.steps) / 100 * np.mean(self.steps, axis=0)
        self.steps = []
        return float(np.abs(self.weights).sum())

    def save(self, path):
        path.with_suffix(".json").write_text(json.dumps([self.weights.tolist(), self.rate]))

    @classmethod
    def load(cls, path):
        weights, rate = json.loads(path.with_suffix(".json").read_text())
        agent = cls(len(weights), 2, rate=rate)
        agent.weights = np.array(weights)
        return agent


class Bare:  # has nothing to learn by
    def __init__(self, state_size, action_size, *, seed=0):
        self.state_size = state_size

    act = update = save = load = None


PAIRS = (
    AgentPair("bare", "table_agents:Bare", "table_agents:Bare", {}, (), "CartPole-v1"),
    AgentPair("episodic", "table_agents:Episodic", "table_agents:Episodic", {}, (), "CartPole-v1"),
    AgentPair("table", "table_agents:Noisy", "table_agents:Agent", {}, (), "CartPole-v1"),
    AgentPair("mortal", "table_agents:Mortal", "table_agents:Mortal", {}, (), "CartPole-v1"),
    AgentPair("broken", "table_agents:Broken", "table_agents:Broken", {}, (), "CartPole-v1"),
)
"""
ARGUMENTS = ["--pairs", "table_agents:PAIRS", "--eval-episodes", "3"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a user's pairs in it."""
    (tmp_path / "table_agents.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "table_agents", raising=False)
    return tmp_path


def train(*arguments: str) -> int:
    return torchward.main(["train", *arguments])


def start(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Start the command in a process of its own."""
    code = "import sys, torchward; sys.exit(torchward.main())"
    root = str(Path(torchward.__file__).parent)
    return subprocess.Popen(
        [sys.executable, "-c", code, "train", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": root, **environment},
    )


def wait_for(path: Path, lines: int) -> None:
    """Wait until the file has so many lines."""
    deadline = time.monotonic() + 60
    while not path.exists() or path.read_text().count("\n") < lines:
        assert time.monotonic() < deadline, f"{path} did not grow"
        time.sleep(0.02)


def read_run(run: Path) -> dict[str, Any]:
    """Return what must be equal of two equal runs; the folder's name and the seconds are not."""
    (state,) = run.glob("checkpoints/*/state.json")
    content, memory = json.loads(state.read_text()), state.parent / "memory.npz"
    del content["log"]
    return {
        "state": content,
        "progress": (run / "progress.csv").read_bytes(),
        "memory": memory.read_bytes() if memory.exists() else None,
        "last": (state.parent / "agent.json").read_bytes(),
        "agent": (run / "agent.json").read_bytes(),
    }


def test_a_run_ends_with_its_verdict_and_its_files(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = train("table", *ARGUMENTS, "--episodes", "12", "--seed", "3")

    lines = capsys.readouterr().out.splitlines()
    run = folder / "runs" / "table-CartPole-v1-torch-seed3"
    assert status == 0
    assert lines[0].startswith(
        "train       table on CartPole-v1, torch, seed 3, at most 12 episodes"
    )
    assert lines[-1].startswith(("PASS", "NOT SOLVED"))
    assert (run / "progress.csv").read_text().count("\n") == 13
    assert {path.name for path in run.iterdir()} >= {"run.json", "result.json", "agent.json"}


@pytest.mark.parametrize("framework", ["torch", "tensorflow"])
def test_json_is_the_whole_of_standard_output(
    folder: Path, capsys: pytest.CaptureFixture[str], framework: str
) -> None:
    train("table", *ARGUMENTS, "--episodes", "5", "--framework", framework, "--json")

    result = json.loads(capsys.readouterr().out)
    assert (result["episodes"], result["reason"], result["final_episodes"]) == (5, "budget", 3)
    assert result["threshold"] == 475.0


def test_the_child_process_gives_what_this_one_gives(folder: Path) -> None:
    for framework in ("torch", "tensorflow"):
        train(
            "table",
            *ARGUMENTS,
            "--episodes",
            "8",
            "--framework",
            framework,
            "--run-folder",
            framework,
        )

    assert read_run(folder / "torch") == read_run(folder / "tensorflow")


def test_the_last_words_of_a_dead_child_are_shown(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", "broken", *ARGUMENTS, "--episodes", "50", "--framework", "tensorflow"]

    assert torchward.main(arguments) == 3

    assert re.search(r"(?s)exit status 9:.*the last words", capsys.readouterr().err)


def test_a_child_reports_a_wrong_setting_like_this_process(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = [
        (
            train("table", *ARGUMENTS, "--set", "rat=1", "--framework", framework),
            capsys.readouterr().err,
        )
        for framework in ("torch", "tensorflow")
    ]

    assert found[0] == found[1]
    assert found[0][0] == 2
    assert "no setting named rat" in found[0][1]
    assert "nearest: rate" in found[0][1]
    assert not (folder / "runs").exists()


@pytest.mark.slow  # starts processes, as the next two
@pytest.mark.parametrize("killed_at", [400, 1111], ids=["early", "late"])
def test_a_killed_run_is_continued_byte_by_byte(folder: Path, killed_at: int) -> None:
    budget = ["--steps", "1500", "--set", "checkpoint_every=150", "--set", "evaluate_every=700"]
    assert train("mortal", *ARGUMENTS, *budget, "--run-folder", "whole") == 0
    command = ["mortal", *ARGUMENTS, *budget, "--run-folder", "killed"]
    with start(*command, KILLED_AT=str(killed_at)) as child:
        child.communicate(timeout=60)
    assert child.returncode == -signal.SIGKILL

    assert train("--resume", "killed") == 0

    assert read_run(folder / "killed") == read_run(folder / "whole")


@pytest.mark.slow
def test_ctrl_c_saves_and_says_how_to_go_on(folder: Path) -> None:
    child = start("table", *ARGUMENTS, "--episodes", "1000000", "--run-folder", "run")
    wait_for(folder / "run" / "progress.csv", 10)

    child.send_signal(signal.SIGINT)
    error = child.communicate(timeout=60)[1]

    assert child.returncode == 130
    assert "Continue with:  torchward train --resume run" in error
    episodes = json.loads(next(folder.glob("run/checkpoints/*/state.json")).read_text())[
        "counters"
    ]["episode"]
    assert (folder / "run" / "progress.csv").read_text().count("\n") == episodes + 1


@pytest.mark.slow
def test_ctrl_c_reaches_the_child_process(folder: Path) -> None:
    child = start(
        "table",
        *ARGUMENTS,
        "--episodes",
        "1000000",
        "--run-folder",
        "run",
        "--framework",
        "tensorflow",
    )
    wait_for(folder / "run" / "progress.csv", 10)

    child.send_signal(signal.SIGINT)

    assert "--resume run" in child.communicate(timeout=60)[1]
    assert child.returncode == 130


def test_a_finished_run_takes_a_larger_budget(folder: Path) -> None:
    train("table", *ARGUMENTS, "--episodes", "20", "--run-folder", "whole")
    train("table", *ARGUMENTS, "--episodes", "8", "--run-folder", "parts")

    assert train("--resume", "parts", "--episodes", "20") == 0

    assert read_run(folder / "parts") == read_run(folder / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("framework", ["torch", "tensorflow"])
def test_an_agent_of_whole_episodes_is_trained_and_continued(folder: Path, framework: str) -> None:
    common = ["episodic", *ARGUMENTS, "--framework", framework]
    train(*common, "--episodes", "20", "--run-folder", "whole")
    train(*common, "--episodes", "8", "--run-folder", "parts")

    assert train("--resume", "parts", "--episodes", "20") == 0

    whole = read_run(folder / "whole")
    assert read_run(folder / "parts") == whole
    assert (whole["memory"], whole["state"]["counters"]["updates"]) == (None, 20)


def test_resuming_with_other_settings_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train("table", *ARGUMENTS, "--episodes", "2", "--run-folder", "run")
    capsys.readouterr()

    assert train("--resume", "run", "--seed", "1", "--set", "rate=1") == 2
    assert "leave out --seed, --set" in capsys.readouterr().err


def test_an_existing_folder_is_not_written_to(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "run").mkdir()

    assert train("table", *ARGUMENTS, "--run-folder", "run") == 2
    assert "hint: torchward train --resume run" in capsys.readouterr().err
    assert list((folder / "run").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["dqm"], "nearest: dqn"),
        (["dqn", "--framework", "jax"], "torch or tensorflow"),
        (["table", "--pairs", "table_agents:PAIRS", "--env", "Pendulum-v1"], "Discrete"),
        (["table", "--pairs", "table_agents:PAIRS", "--env", "Cartpole-v1"], "CartPole"),
        (["bare", "--pairs", "table_agents:PAIRS"], "Bare has no remember; neither a memory"),
        (["episodic", "--pairs", "table_agents:PAIRS", "--set", "train_every=2"], "no replay"),
        (["dqn", "--set", "learning_rate"], "name=value"),
        (["dqn", "--set", "train_every=0"], "below 1"),
        (["dqn", "--set", "exploration=[1]"], "LinearSchedule"),
    ],
    ids=[
        "pair",
        "framework",
        "actions",
        "environment",
        "loop",
        "no-memory",
        "no-value",
        "range",
        "exploration",
    ],
)
def test_a_wrong_call_is_one_line_and_exit_code_2(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], part: str
) -> None:
    assert train(*arguments) == 2

    error = capsys.readouterr().err
    assert part in error
    assert error.startswith("error: ")


@pytest.mark.parametrize(
    "content", [None, "{", '{"pair": 1}'], ids=["missing", "cut", "incomplete"]
)
def test_a_folder_that_is_no_run_is_named(folder: Path, content: str | None) -> None:
    if content is not None:
        (folder / "run.json").write_text(content)

    with pytest.raises(UnreadableFileError, match=r"run\.json"):
        read_plan(folder)


def test_settings_go_where_their_name_belongs() -> None:
    plan = plan_run("dqn", None, ["target_every=7", "hidden_sizes=[8]", "loss=mse"], steps=10)

    assert (plan.environment, plan.episodes, plan.steps) == ("CartPole-v1", None, 10)
    assert plan.training["target_every"] == 7
    assert (plan.agent["hidden_sizes"], plan.agent["loss"]) == ([8], "mse")


@pytest.mark.parametrize(
    ("environment", "settings", "steps", "compiled"),
    [
        ("CartPole-v1", [], None, False),
        ("CartPole-v1", [], 1_000_000, "auto"),
        ("CartPole-v1", ["goal=null"], 50_000, False),
        ("CartPole-v1", ["goal=null"], 100_000, True),
        ("LanguageLearning", [], None, "auto"),
    ],
    ids=["preset", "long-with-goal", "short", "long", "unknown-length"],
)
def test_updates_are_compiled_where_so_many_are_planned_that_it_pays(
    environment: str, settings: list[str], steps: int | None, compiled: bool | str
) -> None:
    assert plan_run("dqn", environment, settings, steps=steps).compiled == compiled


class Compiling:
    def __init__(self, state_size: int, *, compiled: bool = False, device: str = "auto") -> None:
        """Not made here."""


@pytest.mark.parametrize(
    ("settings", "changes", "found", "said"),
    [
        ([], {"device": "cpu"}, {"compiled": True}, "compiled at the first call"),
        ([], {"compiled": None}, {}, None),
        (["compiled=false"], {}, {"compiled": False}, "in eager PyTorch"),
        ([], {"device": "meta"}, {"compiled": False}, "on a GPU they are compiled only with"),
        (["compiled=true"], {"device": "meta"}, {"compiled": True}, "compiled at the first"),
    ],
    ids=["planned", "run-of-before", "asked-not-to", "other-device", "asked-to"],
)
def test_an_agent_computes_as_planned_unless_the_user_says_how(
    settings: list[str], changes: dict[str, Any], found: dict[str, Any], said: str | None
) -> None:
    plan = replace(plan_run("dqn", None, ["goal=null", *settings], steps=200_000), **changes)

    machine, line = machine_settings(plan, Compiling, pays_from=40_000)

    assert machine == {"device": plan.device, **found}
    assert str(said) in str(line)


def test_an_agent_without_the_choice_is_not_told() -> None:
    plan = plan_run("dqn", None, ["goal=null"], steps=200_000)

    assert machine_settings(plan, lambda rate: rate, pays_from=1) == ({}, None)


@pytest.mark.parametrize("name", ["LanguageLearning", "torchward/LanguageLearning-v0"])
def test_the_guides_environment_is_trained_by_the_guides_settings(name: str) -> None:
    plan = plan_run("dqn", name)

    assert (plan.agent, plan.episodes) == ({}, 100)
    assert (plan.training["target_every"], plan.training["target_unit"]) == (10, "episodes")


def test_a_run_folder_that_is_taken_gets_a_number(tmp_path: Path) -> None:
    plan = plan_run("dqn", "CartPole-v1", seed=4)
    names = []
    for _ in range(3):
        names.append(choose_run_folder(plan, tmp_path))
        names[-1].mkdir()

    first = "dqn-CartPole-v1-torch-seed4"
    assert [path.name for path in names] == [first, f"{first}-2", f"{first}-3"]


class Silent:
    def on_start(self, facts: Any) -> None: ...
    def on_episode(self, figures: EpisodeFigures) -> None: ...
    def on_evaluation(self, figures: EvaluationFigures) -> None: ...


def test_the_final_figure_is_that_of_the_best_weights(folder: Path) -> None:
    settings = ["evaluate_every=200", "rate=0.5"]
    plan = plan_run(
        "table", None, settings, pairs="table_agents:PAIRS", episodes=60, final_episodes=4
    )

    result = run_training(plan, folder / "run", resume=False, observer=Silent())

    (best,) = (folder / "run").glob("best-*/agent.json")
    assert (folder / "run" / "agent.json").read_bytes() == best.read_bytes()
    assert best.parent.name == f"best-{result['best_episode']:06d}"


@pytest.mark.parametrize(
    ("mean", "threshold", "line"),
    [
        (475.0, 475.0, "PASS   mean return 475.0 over 100 episodes; solved from 475"),
        (474.9, 475.0, "NOT SOLVED   mean return 474.9 over 100 episodes; solved from 475"),
        (-6.0, None, "DONE   mean return -6.0 over 100 episodes; E names no threshold"),
    ],
    ids=["solved", "not-solved", "no-threshold"],
)
def test_the_verdict_compares_with_the_environments_threshold(
    mean: float, threshold: float | None, line: str
) -> None:
    result = {
        "mean_return": mean,
        "final_episodes": 100,
        "threshold": threshold,
        "solved": None if threshold is None else mean >= threshold,
        "plan": {"environment": "E"},
    }

    assert format_verdict(result) == line


def test_without_a_terminal_there_is_no_bar(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train("table", *ARGUMENTS, "--episodes", "3")

    assert capsys.readouterr().err == ""


def test_quiet_prints_the_verdict_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train("table", *ARGUMENTS, "--episodes", "3", "--quiet")

    assert len(capsys.readouterr().out.splitlines()) == 1


def test_an_unknown_pairs_module_is_a_wrong_call() -> None:
    with pytest.raises(TrainingUsageError, match="no module named"):
        plan_run("dqn", None, pairs="not_there:PAIRS")
