"""The updates of an offline agent: the gradients and Adam of every step in turn, then the targets.

Mirror: torch_impl/offline_updates.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from legacy_tf.losses import TensorBatch
from legacy_tf.offline_networks import variables_by_path
from legacy_tf.torch_adam import TorchAdam

Networks = Mapping[str, Callable[..., Any]]
"""Network by name; what a call returns is the network's own: Any."""
Noise = Mapping[str, tf.Tensor]
Losses = Callable[[str, Networks, TensorBatch, Noise], dict[str, tf.Tensor]]
"""Step, networks, batch and noise to figures, the first of which is minimised."""
STEP_LOSSES = ("critic_loss", "actor_loss", "alpha_loss", "temperature_loss")
"""Figures that a step minimises, where there are several steps."""


class OfflineUpdates:
    """Updates networks on batches; networks and optimizers are changed in place.

    Attributes:
        optimizers: Adam as PyTorch computes it, by step.
        done: updates so far.

    Args:
        networks: by name, trained ones and targets.
        trained: step to the networks that it trains, in the order of the steps.
        targets: target to the network that it follows.
        losses: of one step.
        steps_at: number of an update, counted from 0, to its steps.
        learning_rates: by step.
        tau: of targets that move softly, with every update that has the last step; None: they do not.
    """

    def __init__(
        self,
        networks: Networks,
        *,
        trained: Mapping[str, tuple[str, ...]],
        targets: Mapping[str, str],
        losses: Losses,
        steps_at: Callable[[int], tuple[str, ...]],
        learning_rates: Mapping[str, float],
        tau: float | None,
    ) -> None:
        self._networks = networks
        self._trained, self._targets, self._tau = trained, targets, tau
        self._losses, self._steps_at = losses, steps_at
        self._parameters = {
            step: [v for name in names for v in self._variables(name)]
            for step, names in trained.items()
        }
        self.optimizers = {
            step: TorchAdam(parameters, learning_rates[step])
            for step, parameters in self._parameters.items()
        }
        self.done = 0
        # All branches are on Python values, so there is nothing for autograph to rewrite; without it tracing is faster.
        self._run = tf.function(self._take, reduce_retracing=True, autograph=False)

    def take(self, batch: TensorBatch, noise: Noise) -> dict[str, float]:
        """Do one update and return its figures, "loss" first, each as it was before its step."""
        figures = self._run(self._steps_at(self.done), batch, noise)
        self.done += 1
        return _with_loss({name: float(value) for name, value in figures.items()})

    def differentiate(
        self, batch: TensorBatch, noise: Noise
    ) -> tuple[float, list[tuple[tf.Variable, tf.Tensor]]]:
        """Return the magnitudes of all steps' losses in a sum, and every parameter with its gradient; nothing changes."""
        loss, gradients = 0.0, list[tuple[tf.Variable, tf.Tensor]]()
        for step, parameters in self._parameters.items():
            with tf.GradientTape() as tape:
                figures = self._losses(step, self._networks, batch, noise)
                objective = next(iter(figures.values()))
            loss += abs(float(objective))
            found = tape.gradient(objective, parameters)
            gradients += zip(parameters, found, strict=True)
        return loss, gradients

    def copy_targets(self) -> None:
        """Copy the trained networks into their targets."""
        for target, source in self._targets.items():
            pairs = zip(self._variables(target), self._variables(source), strict=True)
            for moved, followed in pairs:
                moved.assign(followed)

    def restart(self, done: int) -> None:
        """Go on from what has been loaded into networks and optimizers, after `done` updates."""
        self.done = done

    def _take(
        self, steps: tuple[str, ...], batch: TensorBatch, noise: Noise
    ) -> dict[str, tf.Tensor]:
        """Do one update and return its figures; traced once for every combination of steps."""
        figures: dict[str, tf.Tensor] = {}
        for step in steps:
            parameters = self._parameters[step]
            with tf.GradientTape() as tape:
                found = self._losses(step, self._networks, batch, noise)
                objective = next(iter(found.values()))
            self.optimizers[step].apply(tape.gradient(objective, parameters), parameters)
            figures |= found
        if self._tau is not None and [*self._trained][-1] in steps:
            self._move_targets(self._tau)
        return figures

    def _move_targets(self, tau: float) -> None:
        """Do target = (1 - tau) * target + tau * source."""
        for target, source in self._targets.items():
            pairs = zip(self._variables(target), self._variables(source), strict=True)
            for moved, followed in pairs:
                moved.assign((1.0 - tau) * moved + tau * followed)

    def _variables(self, name: str) -> list[tf.Variable]:
        return list(variables_by_path(self._networks[name]).values())


def _with_loss(figures: dict[str, float]) -> dict[str, float]:
    """Return the figures with "loss" in front: their own, or the sum of the magnitudes of the steps' losses."""
    if "loss" in figures:
        return figures
    losses = [abs(value) for name, value in figures.items() if name in STEP_LOSSES]
    return {"loss": sum(losses), **figures}
