"""Several updates of an offline agent in one compiled call: losses, gradients, Adam of every step, moving targets.

The functions that are traced are those of eager updates, so both ways give the same numbers within rounding, and a run
may change from one to the other. Every network's weights lie in one vector, as `compiled_steps.py` explains. What the
losses read of the agent's settings is part of the compiled code.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value

from torch_impl.compiled_steps import (
    CompilingError,
    FlatTensors,
    check_compiler,
    compile_function,
    select_update,
)
from torch_impl.losses import TensorBatch

Noise = Mapping[str, Tensor]
Step = Callable[[int], tuple[str, ...]]
"""Number of an update to its steps."""
Losses = Callable[[str, Any, TensorBatch, Noise], dict[str, Tensor]]
"""Step, networks by name, batch and noise to figures, the first of which is minimised. Any: networks are called with what
their own forward takes."""
_SLOTS = ("exp_avg", "exp_avg_sq")


class CompiledUpdates:
    """Updates networks on batches, compiled; networks and optimizers are changed in place.

    Every number and shape of batches is compiled at its first call, for 10 to 60 seconds, or a few if inductor's cache on
    disk has it.

    Args:
        networks: by name, trained ones and targets.
        trained: step to the networks that it trains.
        optimizers: torch.optim.Adam by step, with their state made, without weight decay and amsgrad.
        losses: of one step.
        steps_at: which steps an update takes.
        targets: target to the network that it follows.
        tau: of the targets that move with every update of the last step; None: they do not.

    Raises:
        CompilingError: An optimizer has options that are not compiled, or there is no C++ compiler.
    """

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        *,
        trained: Mapping[str, tuple[str, ...]],
        optimizers: Mapping[str, torch.optim.Adam],
        losses: Losses,
        steps_at: Step,
        targets: Mapping[str, str],
        tau: float | None,
    ) -> None:
        self._networks, self._trained, self._optimizers = networks, trained, optimizers
        self._losses, self._steps_at = losses, steps_at
        self._targets, self._tau = targets, tau
        self._owners = {name: step for step, names in trained.items() for name in names}
        self._flat: dict[tuple[str, str], FlatTensors] = {}
        self._compiled: dict[object, tuple[Callable[..., Tensor], list[list[str]]]] = {}
        for optimizer in optimizers.values():
            _check(optimizer)
        check_compiler(next(iter(next(iter(networks.values())).parameters())).device)

    @torch.no_grad()
    def __call__(self, first: int, batches: TensorBatch, noise: Noise) -> list[dict[str, Tensor]]:
        """Do one update on every batch in turn and return their figures.

        Args:
            first: number of the first update, counted from 0.
            batches: (updates, batch, ...) each.
            noise: (updates, ...) each.

        Returns:
            The figures of every update, 0-d each.

        Raises:
            CompilingError: The first call with these shapes could not be compiled; nothing was changed.
        """
        count = len(batches.reward)
        plan = tuple(self._steps_at(first + index) for index in range(count))
        vectors = {name: self._vector(name, "") for name in self._networks}
        slots = {(name, slot): self._vector(name, slot) for name in self._owners for slot in _SLOTS}
        factors = self._factors(plan, next(iter(vectors.values())))
        # The code is made for contiguous inputs and does not look at the strides of later ones.
        inputs = [tensor.contiguous() for tensor in (*batches, *noise.values())]
        arguments = [*vectors.values(), *slots.values(), factors, *inputs]
        key = (plan, tuple((t.shape, t.dtype, t.device) for t in arguments))
        if key not in self._compiled:
            self._compiled[key] = self._compile(plan, list(slots), list(noise), arguments)
        run, names = self._compiled[key]
        found = run(*arguments)
        self._count_steps(plan)
        return _by_update(found, names)

    def _vector(self, name: str, slot: str) -> Tensor:
        """Return the vector that a network's weights, or their moments, are views of."""
        parameters = list(self._networks[name].parameters())
        tensors: list[Tensor] = list(parameters)
        if slot:
            state = self._optimizers[self._owners[name]].state
            tensors = [state[parameter][slot] for parameter in parameters]
        key = (name, slot)
        if key not in self._flat or not self._flat[key].holds(tensors):
            self._flat[key] = FlatTensors(tensors)
        return self._flat[key].vector

    def _factors(self, plan: Sequence[tuple[str, ...]], like: Tensor) -> Tensor:
        """Return step size and epsilon of Adam's formula for every step of every update, (updates, steps, 2)."""
        done = dict.fromkeys(self._trained, 0)
        rows = []
        for steps in plan:
            row = []
            for step in self._trained:
                optimizer = self._optimizers[step]
                [group] = optimizer.param_groups
                done[step] += step in steps
                number = int(optimizer.state[group["params"][0]]["step"]) + max(done[step], 1)
                rest_1, rest_2 = (1.0 - beta**number for beta in group["betas"])
                root = math.sqrt(rest_2)
                row.append((group["lr"] * root / rest_1, group["eps"] * root))
            rows.append(row)
        return torch.tensor(rows, dtype=like.dtype, device=like.device)

    def _count_steps(self, plan: Sequence[tuple[str, ...]]) -> None:
        for step, optimizer in self._optimizers.items():
            count = sum(step in steps for steps in plan)
            numbers = [state["step"] for state in optimizer.state.values()]
            torch._foreach_add_(numbers, count)

    def _compile(
        self,
        plan: Sequence[tuple[str, ...]],
        slots: list[tuple[str, str]],
        noise: list[str],
        arguments: list[Tensor],
    ) -> tuple[Callable[..., Tensor], list[list[str]]]:
        """Return the compiled function and the names of what it returns, by update."""
        names: list[list[str]] = []
        function = self._unroll(plan, slots, noise, names)
        run: Callable[..., Tensor] = compile_function(function, arguments)
        return run, names

    def _unroll(
        self,
        plan: Sequence[tuple[str, ...]],
        slots: list[tuple[str, str]],
        noise_names: list[str],
        names: list[list[str]],
    ) -> Callable[..., Tensor]:
        """Return the function that is traced; it fills `names` when it is."""

        def run(*arguments: Tensor) -> Tensor:
            left = list(arguments)
            vectors = {name: left.pop(0) for name in self._networks}
            moments = {slot: left.pop(0) for slot in slots}
            factors = left.pop(0)
            fields = len(TensorBatch._fields)
            batches = TensorBatch(*left[:fields])
            all_noise = dict(zip(noise_names, left[fields:], strict=True))
            names.clear()
            found: list[Tensor] = []
            for index, steps in enumerate(plan):
                batch, noise = select_update(batches, all_noise, index)
                figures: dict[str, Tensor] = {}
                for place, step in enumerate(self._trained):
                    if step in steps:
                        figures |= self._step(
                            step, vectors, moments, factors[index, place], batch, noise
                        )
                if self._tau is not None and [*self._trained][-1] in steps:
                    for target, source in self._targets.items():
                        vectors[target].mul_(1.0 - self._tau).add_(vectors[source], alpha=self._tau)
                names.append(list(figures))
                found += figures.values()
            return torch.stack(found)

        return run

    def _step(
        self,
        step: str,
        vectors: Mapping[str, Tensor],
        moments: Mapping[tuple[str, str], Tensor],
        factors: Tensor,
        batch: TensorBatch,
        noise: Noise,
    ) -> dict[str, Tensor]:
        """Take one step in place and return its figures."""
        own = self._trained[step]
        fixed = {name: _bind(self._networks[name], vectors[name]) for name in vectors}

        def objective(trained: list[Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
            bound = {n: _bind(self._networks[n], v) for n, v in zip(own, trained, strict=True)}
            figures = self._losses(step, {**fixed, **bound}, batch, noise)
            return next(iter(figures.values())), figures

        [group] = self._optimizers[step].param_groups
        parameters = [vectors[name] for name in own]
        gradients, (_, figures) = grad_and_value(objective, has_aux=True)(parameters)
        for name, gradient in zip(own, gradients, strict=True):
            m, v = (moments[name, slot] for slot in _SLOTS)
            m.lerp_(gradient, 1.0 - group["betas"][0])
            v.lerp_(gradient.square(), 1.0 - group["betas"][1])
            # torch divides by sqrt(v) / root + epsilon; both factors have the root in them here.
            vectors[name].sub_(factors[0] * m / (v.sqrt() + factors[1]))
        return {name: figure.detach() for name, figure in figures.items()}


def _bind(network: nn.Module, vector: Tensor) -> Callable[..., Any]:
    """Return the network as a function whose parameters are the parts of the vector."""
    named = dict(network.named_parameters())
    parts = torch.split(vector, [parameter.numel() for parameter in named.values()])
    shaped = {
        name: part.view(parameter.shape)
        for (name, parameter), part in zip(named.items(), parts, strict=True)
    }
    return lambda *inputs: functional_call(network, shaped, inputs)


def _by_update(found: Tensor, names: Sequence[Sequence[str]]) -> list[dict[str, Tensor]]:
    """Return the figures of every update from those of all in a row."""
    parts = torch.split(found, [len(each) for each in names])
    return [
        dict(zip(each, part.unbind(), strict=True)) for each, part in zip(names, parts, strict=True)
    ]


def _check(optimizer: torch.optim.Adam) -> None:
    groups = optimizer.param_groups
    refused = [name for name in ("weight_decay", "amsgrad", "maximize") if groups[0].get(name)]
    if len(groups) != 1 or refused or type(optimizer) is not torch.optim.Adam:
        msg = f"{type(optimizer).__name__} with {len(groups)} groups and {', '.join(refused) or 'no further options'}; compiled is plain torch.optim.Adam"
        raise CompilingError(msg)
