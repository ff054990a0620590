"""A pair of agents in numpy, so that probes, harness and report are tested without any framework."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import numpy as np
import pytest
from numpy.typing import NDArray

from experience.agent import Batch, Noise
from parity_tests.inputs import Draw
from parity_tests.pairs import AgentPair, Config
from parity_tests.unit.parity.table_agents import MODULE

STATE, ACTIONS = 4, 3


class LinearAgent:
    """Q = observation @ kernel + bias, trained by gradient descent on the squared error."""

    def __init__(
        self, *, rate: float = 0.01, dtype: str = "float64", seed: int = 0, **options: object
    ) -> None:
        self.options = {"rate": rate, "dtype": dtype, "seed": seed, **options}
        kernel = np.random.default_rng(seed).standard_normal((STATE, ACTIONS)).astype(dtype)
        self.online = {"out/kernel": kernel, "out/bias": np.zeros(ACTIONS, dtype)}
        self.target = dict(self.online)
        self.rate = rate

    def act(
        self, observation: NDArray[Any], rng: np.random.Generator, *, explore: bool
    ) -> NDArray[Any]:
        greedy = self.get_q_values(observation).argmax(axis=-1)
        random = rng.integers(ACTIONS, size=greedy.shape)
        return np.where(rng.random(greedy.shape) < 0.5, random, greedy) if explore else greedy

    def loss_and_gradients(
        self, batch: Batch, noise: Noise | None = None
    ) -> tuple[float, dict[str, NDArray[Any]]]:
        del noise
        rows = np.arange(len(batch.action))
        future = (batch.next_observation @ self.target["out/kernel"] + self.target["out/bias"]).max(
            1
        )
        wanted = batch.reward + (1 - batch.terminated) * 0.9 * future
        error = (self.get_q_values(batch.observation)[rows, batch.action] - wanted).astype(
            self.online["out/kernel"].dtype
        )
        per_action = np.zeros((len(rows), ACTIONS), error.dtype)
        per_action[rows, batch.action] = 2 * error / len(rows)
        gradients = {"out/kernel": batch.observation.T @ per_action, "out/bias": per_action.sum(0)}
        return float((error**2).mean()), gradients

    def update(self, batch: Batch, noise: Noise | None = None) -> dict[str, float]:
        loss, gradients = self.loss_and_gradients(batch, noise)
        self.online = {
            name: (array - self.rate * np.clip(gradients[name], -1, 1)).astype(array.dtype)
            for name, array in self.online.items()
        }
        return {"loss": loss}

    def update_target(self) -> None:
        self.target = dict(self.online)

    def get_weights(self) -> dict[str, NDArray[Any]]:
        return {name: array.copy() for name, array in self.online.items()}

    def set_weights(self, weights: Mapping[str, NDArray[Any]]) -> None:
        self.online = {name: np.asarray(weights[name]) for name in self.online}

    def get_q_values(self, state: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(state @ self.online["out/kernel"] + self.online["out/bias"])

    def save(self, path: Path) -> None:
        arrays = {**self.online, **{f"target/{name}": each for name, each in self.target.items()}}
        np.savez(path.with_suffix(".npz"), options=json.dumps(self.options), **arrays)

    @classmethod
    def load(cls, path: Path) -> Self:
        with np.load(path.with_suffix(".npz")) as stored:
            agent = cls(**json.loads(str(stored["options"])))
            agent.online = {name: stored[name] for name in agent.online}
            agent.target = {name: stored[f"target/{name}"] for name in agent.online}
        return agent


def draw_transitions(configuration: Mapping[str, object], rng: np.random.Generator) -> Draw:
    size = int(str(configuration.get("batch_size", 8)))
    batch = Batch(
        rng.standard_normal((size, STATE)),
        rng.integers(ACTIONS, size=size),
        rng.standard_normal(size),
        rng.standard_normal((size, STATE)),
        rng.random(size) < 0.3,
    )
    return Draw(batch, {})


def framework_of(agent_class: type[LinearAgent]) -> SimpleNamespace:
    """A stand-in for a module of `parity_tests.frameworks`."""
    return SimpleNamespace(
        make_deterministic=lambda seed, threads=1: None,
        build_agent=lambda spec, arguments, dtype, seed: agent_class(
            **arguments, dtype=dtype, seed=seed
        ),
        load_agent=lambda spec, path, settings: agent_class.load(path),
        versions=dict,
    )


@pytest.fixture
def linear_agent() -> type[LinearAgent]:
    return LinearAgent


@pytest.fixture
def side() -> Callable[[type[LinearAgent]], SimpleNamespace]:
    return framework_of


@pytest.fixture
def linear_pair() -> AgentPair:
    return AgentPair(
        name="linear",
        legacy="toy:Legacy",
        torch="toy:Torch",
        networks={"q_network": "get_q_values"},
        configs=(Config("plain"), Config("fast", {"rate": 0.1})),
        env="none",
        recipe=draw_transitions,
        without={"resume": "there is no file format to convert"},
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a user's pairs in it."""
    (tmp_path / "table_agents.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "table_agents", raising=False)
    return tmp_path
