"""Steps of the suite's agents: losses, all gradients at the present weights, then the optimizers; eager or compiled."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from torch_impl.compiled_losses import CompiledLosses, Tensors
from torch_impl.compiled_steps import CompilingError
from torch_impl.mixed_precision import autocast, find_obstacle, return_float32
from torch_impl.session_optimizers import SessionOptimizer

_log = logging.getLogger(__name__)


class AgentSteps:
    """Takes steps; networks and optimizers are changed in place.

    Attributes:
        optimizers: by name.
        trained: parameters by optimizer name.

    Args:
        losses: kind of step, "pi" or "q", to the function of (batch, noise) that returns `actor_critic.Losses`. Any: that
            module imports this one.
    """

    def __init__(self, losses: Mapping[str, Callable[[Tensors, Tensors], Any]]) -> None:
        self.optimizers: dict[str, SessionOptimizer] = {}
        self.trained: dict[str, list[Tensor]] = {}
        self._kinds = losses
        self._precision: Callable[[], AbstractContextManager[object]] = nullcontext
        self._compiled: CompiledLosses | None = None

    def losses(self, kind: str, batch: Tensors, noise: Tensors) -> Any:  # noqa: ANN401  see the class
        """Return the losses of a step, those of a joint one under their names."""
        with self._precision():
            if kind != "joint":
                return self._kinds[kind](batch, noise)
            pi, q = (self._kinds[each](batch, noise) for each in ("pi", "q"))
        return pi._replace(
            objectives={**pi.objectives, **q.objectives}, figures={**pi.figures, **q.figures}
        )

    def compile(self, networks: nn.ModuleDict) -> str | None:
        """Compile every kind of step at its first call with a size of batch; return what stands against it, or None."""
        try:
            self._compiled = CompiledLosses(networks, self.trained, self.optimizers, self.losses)
        except CompilingError as error:
            return str(error)
        return None

    def use_mixed_precision(self, networks: nn.ModuleDict, dtype: str) -> str | None:
        """Compute layers in bfloat16 from here on; return what stands against it, or None."""
        device = next(networks.parameters()).device
        obstacle = find_obstacle(device, dtype)
        if obstacle is None:
            return_float32(networks.values())
            self._precision = partial(autocast, device)
        return obstacle

    def take(self, kind: str, batch: Tensors, noise: Tensors) -> Mapping[str, Tensor]:
        """Take a step and return its figures, 0-d each."""
        if self._compiled is not None:
            try:
                return self._compiled(kind, batch, noise)
            except CompilingError as error:
                self._compiled = None
                _log.warning("steps run in eager PyTorch: %s", error)
        losses = self.losses(kind, batch, noise)
        for name, gradients in self.differentiate(losses).items():
            self.optimizers[name].apply_gradients(gradients)
        figures: Mapping[str, Tensor] = losses.figures
        return figures

    def differentiate(self, losses: Any) -> dict[str, list[Tensor]]:  # noqa: ANN401  see `LossFunction`
        """Return the gradients for every optimizer, all at the present weights."""
        return {
            # Objectives may share a part (the policy's loss and the temperature's): it is still needed.
            name: list(torch.autograd.grad(objective, self.trained[name], retain_graph=True))
            for name, objective in losses.objectives.items()
        }
