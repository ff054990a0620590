"""Steps of the suite's agents: losses, all gradients at the present weights, then the optimizers; eager or compiled."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from torch_impl.compiled_losses import CompiledLosses, LossFunction, Tensors
from torch_impl.compiled_steps import CompilingError
from torch_impl.session_optimizers import SessionOptimizer

_log = logging.getLogger(__name__)


class AgentSteps:
    """Takes steps; networks and optimizers are changed in place.

    Attributes:
        trained: parameters by optimizer name.

    Args:
        losses: of (kind of step, batch, noise), with `objectives` by optimizer name and `figures`.
        optimizers: by name.
        trained: see above.
    """

    def __init__(
        self,
        losses: LossFunction,
        optimizers: Mapping[str, SessionOptimizer],
        trained: Mapping[str, list[Tensor]],
    ) -> None:
        self.trained = trained
        self._losses, self._optimizers = losses, optimizers
        self._compiled: CompiledLosses | None = None

    def compile(self, networks: nn.ModuleDict) -> None:
        """Compile every kind of step at its first call with a size of batch.

        Raises:
            CompilingError: It is not possible here, or not with these optimizers.
        """
        self._compiled = CompiledLosses(networks, self.trained, self._optimizers, self._losses)

    def take(self, kind: str, batch: Tensors, noise: Tensors) -> Mapping[str, Tensor]:
        """Take a step and return its figures, 0-d each."""
        if self._compiled is not None:
            try:
                return self._compiled(kind, batch, noise)
            except CompilingError as error:
                self._compiled = None
                _log.warning("steps run in eager PyTorch: %s", error)
        losses = self._losses(kind, batch, noise)
        for name, gradients in self.differentiate(losses).items():
            self._optimizers[name].apply_gradients(gradients)
        figures: Mapping[str, Tensor] = losses.figures
        return figures

    def differentiate(self, losses: Any) -> dict[str, list[Tensor]]:  # noqa: ANN401  see `LossFunction`
        """Return the gradients for every optimizer, all at the present weights."""
        return {
            # Objectives may share a part (the policy's loss and the temperature's): it is still needed.
            name: list(torch.autograd.grad(objective, self.trained[name], retain_graph=True))
            for name, objective in losses.objectives.items()
        }
