"""Gradient steps of a network on batches: in eager PyTorch, or compiled where that pays and is possible.

Both ways take the same batches and masks and give the same numbers within rounding, so a run may change from one to
the other. Agents own a `GradientSteps` each.
"""

from __future__ import annotations

import logging

import torch
from torch import Tensor, nn

from experience.compiling import DQN_UPDATES_THAT_PAY, Compiled
from torch_impl.compiled_steps import (
    CompiledSteps,
    CompileReport,
    CompilingError,
    Loss,
    Masks,
    select_update,
)
from torch_impl.keras_compat.optimizers import Adam
from torch_impl.losses import TensorBatch

UPDATES_PER_CALL = 8
"""Updates that are compiled into one call; 16 are 5 % faster and take twice as long to compile."""

UPDATES_BEFORE_COMPILING = DQN_UPDATES_THAT_PAY
"""Updates after which "auto" compiles on a CPU: a run of whatever length takes little more than twice the time of the
better choice."""

_log = logging.getLogger(__name__)


class GradientSteps:
    """Trains a network on batches with its optimizer; both are changed in place.

    Attributes:
        done: updates so far, those before a file was written included.
        obstacle: why updates run in eager PyTorch although they should be compiled; None if they need not.

    Args:
        network: in eval mode; dropout is what the masks say.
        target_network: of the same parameters; used by the loss, not changed.
        optimizer: over all parameters of `network`.
        loss: of a batch. What it reads besides its arguments must not change: compiled, it is fixed.
        compiled: False: never. True: from the first update on. "auto": after `UPDATES_BEFORE_COMPILING`,
            on a CPU.
    """

    def __init__(
        self,
        network: nn.Module,
        target_network: nn.Module,
        optimizer: Adam,
        loss: Loss,
        *,
        compiled: Compiled,
    ) -> None:
        self.done = 0
        self.obstacle: str | None = None
        self._network, self._target_network = network, target_network
        self._optimizer, self._loss = optimizer, loss
        self._mode = compiled
        self._compiled: CompiledSteps | None = None

    def __call__(self, batches: TensorBatch, masks: Masks) -> Tensor:
        """Take one step on every batch in turn and return the loss before each.

        Args:
            batches: (updates, batch, ...) each; fastest with `UPDATES_PER_CALL` updates.
            masks: dropout masks by layer name, (updates, batch, units) each.

        Returns:
            (updates,).
        """
        count = len(batches.reward)
        # Any other number would be compiled for itself, so what it leaves over goes one by one.
        length = UPDATES_PER_CALL if count % UPDATES_PER_CALL == 0 else 1
        losses = []
        for start in range(0, count, length):
            part = select_update(batches, masks, slice(start, start + length))
            losses.append(self._take(*part))
            self.done += length
        return torch.cat(losses)

    @property
    def report(self) -> CompileReport:
        """What compiling has cost so far."""
        return self._compiled.report if self._compiled else CompileReport()

    def _take(self, batches: TensorBatch, masks: Masks) -> Tensor:
        pays = batches.reward.device.type == "cpu" and self.done >= UPDATES_BEFORE_COMPILING
        due = self._mode is True or (self._mode == "auto" and pays)
        if due and self.obstacle is None:
            try:
                if self._compiled is None:
                    self._compiled = CompiledSteps(
                        self._network, self._target_network, self._optimizer, self._loss
                    )
                return self._compiled(batches, masks)
            except CompilingError as error:
                self.obstacle = str(error)
                _log.warning("updates run in eager PyTorch: %s", error)
        return self._take_eagerly(batches, masks)

    def _take_eagerly(self, batches: TensorBatch, masks: Masks) -> Tensor:
        losses = []
        for index in range(len(batches.reward)):
            batch, own_masks = select_update(batches, masks, index)
            loss = self._loss(self._network, self._target_network, batch, own_masks)
            self._optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            self._optimizer.step()
            losses.append(loss.detach())
        return torch.stack(losses)
