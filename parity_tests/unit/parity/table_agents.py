"""Agents without a framework, for the training command: the module as a user would have it beside a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torchward

# The first is a table of values over the sign of the pole's angle and speed.
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


class Placed(Agent):
    devices = []  # that agents were made for

    def __init__(self, state_size, action_size, *, device="auto", seed=0):
        self.devices.append(device)
        super().__init__(state_size, action_size, seed=seed)

    @classmethod
    def load(cls, path, **settings):
        loaded, agent = Agent.load(path), cls(4, 2, **settings)
        agent.__dict__.update(loaded.__dict__)
        return agent


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
    AgentPair("placed", "table_agents:Placed", "table_agents:Placed", {}, (), "CartPole-v1"),
    AgentPair("broken", "table_agents:Broken", "table_agents:Broken", {}, (), "CartPole-v1"),
)
"""
ARGUMENTS = ["--pairs", "table_agents:PAIRS", "--eval-episodes", "3"]


def train(*arguments: str) -> int:
    return torchward.main(["train", *arguments])


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
