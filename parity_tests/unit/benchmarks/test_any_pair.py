"""A user's pair of an algorithm that the benchmarks have never heard of, measured by the command and real processes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from benchmarks.cli import bench
from benchmarks.results import BenchResult

pytest.importorskip("torch")
pytest.importorskip("gymnasium")
pytestmark = pytest.mark.slow  # starts measuring processes

# Cross-entropy of played actions under a linear policy: on-policy, no memory, no style, nothing compiled.
MODULE = """
from typing import NamedTuple

import numpy as np

from parity_tests.inputs import Draw
from parity_tests.pairs import AgentPair, Config


class Steps(NamedTuple):
    observation: np.ndarray
    action: np.ndarray


def draw_steps(configuration, rng):
    size = configuration["batch_size"]
    observation = rng.standard_normal((size, configuration["state_size"]))
    return Draw(Steps(observation, rng.integers(2, size=size)), {})


class Agent:
    def __init__(self, state_size, action_size=2, *, dtype="float64", seed=0):
        rng = np.random.default_rng(seed)
        self.policy = rng.standard_normal((state_size, action_size)).astype(dtype)
        self.steps = []

    def act(self, observation, rng, *, explore):
        return np.asarray(observation @ self.policy).argmax(axis=-1)

    def remember(self, observation, action, reward, next_observation, terminated):
        self.steps.append((observation, action))

    def finish_episode(self, rng):
        observation, action = zip(*self.steps)
        self.steps = []
        return self.update(Steps(np.stack(observation), np.array(action)))["loss"]

    def update(self, batch, noise=None):
        wanted = np.eye(self.policy.shape[1])[batch.action]
        error = batch.observation @ self.policy - wanted
        self.policy -= (0.01 * batch.observation.T @ error / len(error)).astype(self.policy.dtype)
        return {"loss": float((error**2).mean())}

    def save(self, path):
        np.savez(path, self.policy)


PAIRS = (
    AgentPair("cloning", "cloning_pairs:Agent", "cloning_pairs:Agent", {"policy": "evaluate"},
              (Config("plain", {"state_size": 6}),), "CartPole-v1", draw_steps),
)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the user's module in it."""
    (tmp_path / "cloning_pairs.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    monkeypatch.delitem(sys.modules, "cloning_pairs", raising=False)
    return tmp_path


def run(*arguments: str) -> str:
    application = typer.Typer()
    application.command()(bench)
    chosen = ["--pair", "cloning", "--pairs", "cloning_pairs:PAIRS", "--repeats", "1", "--quick"]
    result = CliRunner().invoke(application, [*arguments, *chosen], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_what_the_agents_can_do_is_measured_and_the_rest_has_its_reason(folder: Path) -> None:
    output = run("updates", "training")

    found = BenchResult.from_json((folder / "bench-results" / "bench.json").read_text())
    for workload in found.workloads:
        for case in workload.cases():
            problems = {m.variant: m.problem for m in workload.measurements if m.case == case}
            measured = {name for name, problem in problems.items() if problem is None}
            assert measured == {"legacy-own", "torch-eager"}
            assert problems["legacy-fit"] == "left out: Agent takes no 'style'"
            assert problems["torch-compile"] == "left out: Agent takes no 'compiled'"
    assert "left out: Agent takes no 'style'" in output
    page = (folder / "bench-results" / "bench.html").read_text()
    assert "left out: Agent takes no &#39;compiled&#39;" in page
    assert "<em>cloning</em>" in page
    assert "DQN agent" not in page
    assert "What the guide claims" not in page


def test_a_network_that_no_framework_writes_says_so(folder: Path) -> None:
    run("size", "--quiet")

    stored = json.loads((folder / "bench-results" / "bench.json").read_text())
    problems = {m["variant"]: m["problem"] for m in stored["workloads"][0]["measurements"]}
    assert "'numpy.ndarray' object has no attribute 'state_dict'" in problems["torch-eager"]
