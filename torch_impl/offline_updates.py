"""The updates of an offline agent: the gradients and Adam of every step in turn, then the targets.

Mirror: legacy_tf/offline_updates.py. Several updates in one compiled call are made in offline_steps.py.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from torch_impl.compiled_steps import CompilingError, select_update
from torch_impl.losses import TensorBatch
from torch_impl.offline_steps import CompiledUpdates

Networks = Mapping[str, Callable[..., Any]]
"""Network by name; what a call returns is the network's own: Any."""
Noise = Mapping[str, Tensor]
Losses = Callable[[str, Networks, TensorBatch, Noise], dict[str, Tensor]]
"""Step, networks, batch and noise to figures, the first of which is minimised."""
STEP_LOSSES = ("critic_loss", "actor_loss", "alpha_loss", "temperature_loss")
"""Figures that a step minimises, where there are several steps."""

_log = logging.getLogger(__name__)


class OfflineUpdates:
    """Updates networks on batches; networks and optimizers are changed in place.

    Attributes:
        optimizers: torch.optim.Adam by step.
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
        self._networks = cast("Mapping[str, nn.Module]", networks)
        self._trained, self._targets, self._tau = trained, targets, tau
        self._losses, self._steps_at = losses, steps_at
        self._parameters = {
            step: [p for name in names for p in self._networks[name].parameters()]
            for step, names in trained.items()
        }
        self.optimizers = {
            step: _make_optimizer(parameters, learning_rates[step])
            for step, parameters in self._parameters.items()
        }
        self.done = 0
        self._compiled: CompiledUpdates | None = None
        self._per_call = 1

    def take(self, batch: TensorBatch, noise: Noise) -> dict[str, Tensor]:
        """Do one update and return its figures, "loss" first, each as it was before its step."""
        figures: dict[str, Tensor] = {}
        steps = self._steps_at(self.done)
        for step in steps:
            parameters = self._parameters[step]
            found = self._losses(step, self._networks, batch, noise)
            gradients = torch.autograd.grad(next(iter(found.values())), parameters)
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient
            self.optimizers[step].step()
            figures |= {name: value.detach() for name, value in found.items()}
        if self._tau is not None and [*self._trained][-1] in steps:
            self._move_targets(self._tau)
        self.done += 1
        return _with_loss(figures)

    def differentiate(
        self, batch: TensorBatch, noise: Noise
    ) -> tuple[float, list[tuple[nn.Parameter, Tensor]]]:
        """Return the magnitudes of all steps' losses in a sum, and every parameter with its gradient; nothing changes."""
        loss, gradients = 0.0, list[tuple[nn.Parameter, Tensor]]()
        for step, parameters in self._parameters.items():
            figures = self._losses(step, self._networks, batch, noise)
            objective = next(iter(figures.values()))
            loss += abs(objective.item())
            found = torch.autograd.grad(objective, parameters)
            gradients += zip(parameters, found, strict=True)
        return loss, gradients

    def copy_targets(self) -> None:
        """Copy the trained networks into their targets."""
        for target, source in self._targets.items():
            self._networks[target].load_state_dict(self._networks[source].state_dict())

    def restart(self, done: int) -> None:
        """Go on from what has been loaded into networks and optimizers, after `done` updates."""
        self.done = done
        if self._compiled is not None:
            # Adam's betas are part of the compiled code, and the file may have other ones.
            self.compile(self._per_call)

    def compile(self, updates_per_call: int) -> None:
        """Let `take_several` compile calls of so many updates; a line in the log says what stands against it."""
        self._compiled = None
        try:
            self._compiled = CompiledUpdates(
                self._networks,
                trained=self._trained,
                optimizers=self.optimizers,
                losses=self._losses,
                steps_at=self._steps_at,
                targets=self._targets,
                tau=self._tau,
            )
            self._per_call = updates_per_call
        except CompilingError as error:
            self._run_eagerly(error)

    def best_count(self, left: int) -> int:
        """Return how many of the updates that are left to hand to `take_several` next."""
        return self._per_call if left >= self._per_call else 1

    def take_several(self, batches: TensorBatch, noise: Noise) -> dict[str, Tensor]:
        """Do an update on every batch in turn and return their figures.

        Args:
            batches: (updates, batch, ...) each.
            noise: (updates, ...) each.

        Returns:
            (updates,) each; steps that are left out in some updates have fewer.
        """
        count = len(batches.reward)
        if self._compiled is not None and count == self._per_call:
            try:
                figures = self._compiled(self.done, batches, noise)
                self.done += count
                return _join([_with_loss(each) for each in figures])
            except CompilingError as error:
                self._run_eagerly(error)
        return _join([self.take(*select_update(batches, noise, i)) for i in range(count)])

    def _run_eagerly(self, reason: CompilingError) -> None:
        self._compiled, self._per_call = None, 1
        _log.warning("updates run in eager PyTorch: %s", reason)

    @torch.no_grad()
    def _move_targets(self, tau: float) -> None:
        """Do target = (1 - tau) * target + tau * source."""
        for target, source in self._targets.items():
            moved, followed = (
                list[Tensor](self._networks[name].parameters()) for name in (target, source)
            )
            torch._foreach_mul_(moved, 1.0 - tau)
            torch._foreach_add_(moved, followed, alpha=tau)


def _make_optimizer(parameters: list[nn.Parameter], lr: float) -> torch.optim.Adam:
    """Return Adam with its state made, as if it had done no step yet."""
    # One kernel for all weights; eager steps of small networks take half the time.
    optimizer = torch.optim.Adam(parameters, lr=lr, fused=True)
    for parameter in parameters:
        optimizer.state[parameter] = {
            "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
            "exp_avg": torch.zeros_like(parameter, requires_grad=False),
            "exp_avg_sq": torch.zeros_like(parameter, requires_grad=False),
        }
    return optimizer


def _with_loss(figures: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the figures with "loss" in front: their own, or the sum of the magnitudes of the steps' losses."""
    if "loss" in figures:
        return figures
    losses = [value.abs() for name, value in figures.items() if name in STEP_LOSSES]
    return {"loss": torch.stack(losses).sum(dim=0), **figures}


def _join(rows: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return one tensor a figure from those of every update; steps that are left out in some have fewer."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: torch.stack([row[name] for row in rows if name in row]) for name in names}
