"""The steps of an actor-critic compiled as a whole: losses, all gradients, and Adam of every optimizer in them.

The functions that are traced are those of eager steps, so both ways give the same numbers within rounding, and a run
may change from one to the other. What the losses read of the agent's arguments is part of the compiled code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from torch_impl.compiled_steps import CompilingError, check_compiler, compile_function
from torch_impl.keras_compat.optimizers import adam_update
from torch_impl.session_optimizers import AdamOptimizer, SessionOptimizer

Tensors = Mapping[str, Tensor]
LossFunction = Callable[[str, Tensors, Tensors], Any]
"""Any: `actor_critic.Losses`; that module imports this one."""

Step = Callable[..., Sequence[Tensor]]
Slots = dict[str, tuple[list[Tensor], list[Tensor]]]


class CompiledStep:
    """One kind of step for one shape of batch.

    Attributes:
        run: the compiled function.
        optimizers: names of those that it takes a step of.
        figures: names of what it returns.
    """

    def __init__(self) -> None:
        self.run: Step = lambda *_: ()
        self.optimizers: list[str] = []
        self.figures: list[str] = []


class CompiledLosses:
    """Takes steps of an agent, compiled; networks and optimizers are changed in place.

    Args:
        networks: of the agent, by name.
        trained: parameters by optimizer name.
        optimizers: all Adam.
        losses: of (kind of step, batch, noise); reads the parameters of `networks` only.

    Raises:
        CompilingError: An optimizer is not Adam, or there is no C++ compiler.
    """

    def __init__(
        self,
        networks: nn.ModuleDict,
        trained: Mapping[str, Sequence[Tensor]],
        optimizers: Mapping[str, SessionOptimizer],
        losses: LossFunction,
    ) -> None:
        others = [name for name, each in optimizers.items() if not isinstance(each, AdamOptimizer)]
        if others:
            msg = f"optimizers that are not Adam are not compiled: {', '.join(others)}"
            raise CompilingError(msg)
        self._runner = _Runner(networks)
        self._parameters: dict[str, Tensor] = dict(self._runner.named_parameters())
        check_compiler(next(iter(self._parameters.values())).device)
        names = {id(parameter): name for name, parameter in self._parameters.items()}
        self._trained = {key: [names[id(p)] for p in each] for key, each in trained.items()}
        self._optimizers = cast("Mapping[str, AdamOptimizer]", optimizers)
        self._losses = losses
        self._compiled: dict[tuple[object, ...], CompiledStep] = {}

    @torch.no_grad()
    def __call__(self, kind: str, batch: Tensors, noise: Tensors) -> dict[str, Tensor]:
        """Take one step and return its figures, 0-d each.

        Args:
            kind: "pi", "q" or "joint".
            batch: as the losses take it.
            noise: as the losses take it.

        Raises:
            CompilingError: The first call with these shapes could not be compiled; no step was taken.
        """
        # The code is made for contiguous inputs and does not look at the strides of later ones.
        inputs = [tensor.contiguous() for tensor in (*batch.values(), *noise.values())]
        layout = tuple((tensor.shape, tensor.dtype) for tensor in inputs)
        key = (kind, tuple(batch), tuple(noise), layout)
        arguments = [*self._state(), self._step_sizes(), *inputs]
        if key not in self._compiled:
            self._compiled[key] = self._compile(kind, tuple(batch), tuple(noise), arguments)
        step = self._compiled[key]
        values = step.run(*arguments)
        for name in step.optimizers:
            self._optimizers[name].advance()
        return dict(zip(step.figures, values, strict=True))

    def _state(self) -> list[Tensor]:
        """Return all parameters, then m and v of every optimizer: looked up anew, since loading replaces m and v."""
        state = list(self._parameters.values())
        for name, optimizer in self._optimizers.items():
            parameters = [self._parameters[each] for each in self._trained[name]]
            state += optimizer.slot("exp_avg", parameters)
            state += optimizer.slot("exp_avg_sq", parameters)
        return state

    def _step_sizes(self) -> Tensor:
        first = next(iter(self._parameters.values()))
        sizes = [optimizer.step_size() for optimizer in self._optimizers.values()]
        return torch.tensor(sizes, dtype=first.dtype, device=first.device)

    def _compile(
        self,
        kind: str,
        batch_names: tuple[str, ...],
        noise_names: tuple[str, ...],
        arguments: Sequence[Tensor],
    ) -> CompiledStep:

        compiled = CompiledStep()
        traced = self._trace(kind, batch_names, noise_names, compiled)
        compiled.run = compile_function(traced, arguments)
        return compiled

    def _trace(
        self,
        kind: str,
        batch_names: tuple[str, ...],
        noise_names: tuple[str, ...],
        compiled: CompiledStep,
    ) -> Step:
        """Return the function that is traced; it also fills in the names of `compiled`."""

        def step(*arguments: Tensor) -> Sequence[Tensor]:
            parameters, slots, rest = self._take_apart(arguments)
            step_sizes, *inputs = rest
            batch = dict(zip(batch_names, inputs, strict=False))
            noise = dict(zip(noise_names, inputs[len(batch) :], strict=True))
            leaves = {
                name: parameter.detach().requires_grad_(self._parameters[name].requires_grad)
                for name, parameter in parameters.items()
            }
            with torch.enable_grad():
                call = partial(self._losses, kind, batch, noise)
                losses = functional_call(self._runner, leaves, (call,))
                # All gradients before the first step: the steps change the parameters in place.
                gradients = {
                    name: torch.autograd.grad(
                        objective, [leaves[each] for each in self._trained[name]], retain_graph=True
                    )
                    for name, objective in losses.objectives.items()
                }
            figures = [figure.detach().clone() for figure in losses.figures.values()]
            order = list(self._optimizers)
            for name, gradient in gradients.items():
                [group] = self._optimizers[name].param_groups
                adam_update(
                    [parameters[each] for each in self._trained[name]],
                    list(gradient),
                    *slots[name],
                    step_sizes[order.index(name)],
                    beta_1=group["beta1"],
                    beta_2=group["beta2"],
                    epsilon=group["epsilon"],
                )
            compiled.optimizers, compiled.figures = list(gradients), list(losses.figures)
            return figures

        return step

    def _take_apart(
        self, arguments: Sequence[Tensor]
    ) -> tuple[dict[str, Tensor], Slots, list[Tensor]]:
        """Return what `_state` put together, and what came after it."""
        rest = list(arguments)
        parameters = dict(zip(self._parameters, rest, strict=False))
        rest = rest[len(parameters) :]
        slots = {}
        for name, trained in self._trained.items():
            count = len(trained)
            slots[name] = (rest[:count], rest[count : 2 * count])
            rest = rest[2 * count :]
        return parameters, slots, rest


class _Runner(nn.Module):
    """Calls a function; what `functional_call` puts in the networks' place holds while it runs."""

    def __init__(self, networks: nn.ModuleDict) -> None:
        super().__init__()
        self.networks = networks

    def forward(self, function: Callable[[], Any]) -> Any:  # noqa: ANN401  what the function returns
        return function()
