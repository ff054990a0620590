"""What a probe works on: both agents of a pair with equal weights, and the inputs they receive.

Agents are built here and nowhere else in the suite, so that "converted, never drawn twice" holds for every probe.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from experience.agent import Agent, Batch, Noise
from parity_tests.inputs import InputLog
from parity_tests.pairs import AgentPair, Config

Arrays = Mapping[str, NDArray[np.floating]]


class ProbedAgent(Agent, Protocol):
    """What the probes use beyond `Agent`. Weights are named and laid out as Keras has them."""

    def loss_and_gradients(
        self, batch: Batch, noise: Noise | None = None
    ) -> tuple[float, dict[str, NDArray[np.floating]]]:
        """Return the loss and its unclipped gradients; nothing changes."""
        ...

    def get_weights(self) -> dict[str, NDArray[np.floating]]:
        """Return copies of all trained weights: "fc1/kernel" is (in, out)."""
        ...

    def set_weights(self, weights: Arrays) -> None:
        """Set all trained weights."""
        ...

    def update_target(self) -> None:
        """Copy the trained networks into the target networks."""
        ...


@dataclass(slots=True)
class Case:
    """One run of one probe: builds agents, draws inputs.

    Attributes:
        pair: of agents.
        config: how they are built.
        dtype: "float32" or "float64".
        seed: of weights and inputs.
        updates: length of a trajectory.
        folder: for files, empty.
        legacy_framework: `frameworks.tensorflow`, or another module with these functions.
        torch_framework: `frameworks.torch`.
        inputs: what was drawn.
        target_weights: of the target networks, once `agents` was called.
    """

    pair: AgentPair
    config: Config
    dtype: str
    seed: int
    updates: int
    folder: Path
    legacy_framework: ModuleType
    torch_framework: ModuleType
    inputs: InputLog
    target_weights: Arrays = field(default_factory=dict)

    def agents(self) -> tuple[ProbedAgent, ProbedAgent]:
        """Return the legacy and the torch agent with equal weights.

        The target network gets other weights than the online one, and no bias is zero as it is after construction:
        equal or zero arrays would hide which of them a formula uses.
        """
        legacy = self.legacy_framework.build_agent(
            self.pair.legacy, self.config.arguments, dtype=self.dtype, seed=self.seed
        )
        torch = self.torch_framework.build_agent(
            self.pair.torch, self.config.arguments, dtype=self.dtype, seed=self.seed
        )
        initial = legacy.get_weights()
        if self.has_target:
            self.target_weights = self.disturb(initial, 0.2)
            for agent in (legacy, torch):
                agent.set_weights(self.target_weights)
                agent.update_target()
        legacy.set_weights(self.disturb(initial, 0.05))
        torch.set_weights(legacy.get_weights())
        return legacy, torch

    def reference(self, legacy: ProbedAgent) -> ProbedAgent:
        """Return the legacy agent in float64 with the weights of `legacy`, as `agents` returned it."""
        agent: ProbedAgent = self.legacy_framework.build_agent(
            self.pair.legacy, self.config.arguments, dtype="float64", seed=self.seed
        )
        if self.has_target:
            agent.set_weights(_widen(self.target_weights))
            agent.update_target()
        agent.set_weights(_widen(legacy.get_weights()))
        return agent

    @property
    def has_target(self) -> bool:
        """Whether the pair's agents have target networks."""
        return "target_sync" not in self.pair.without

    def disturb(self, weights: Arrays, size: float) -> dict[str, NDArray[np.floating]]:
        """Return the weights plus normal noise of standard deviation `size`."""
        return {
            name: array + self.inputs.keep(size * self.inputs.rng.standard_normal(array.shape))
            for name, array in weights.items()
        }

    def observations(self, count: int) -> NDArray[np.floating]:
        """Return (count, *observation) from as many draws as it takes."""
        drawn: list[NDArray[np.floating]] = []
        while sum(len(rows) for rows in drawn) < count:
            drawn.append(self.inputs.draw().batch.observation)
        rows: NDArray[np.floating] = np.concatenate(drawn)[:count]
        return rows


def _widen(weights: Arrays) -> dict[str, NDArray[np.float64]]:
    return {name: array.astype(np.float64) for name, array in weights.items()}
