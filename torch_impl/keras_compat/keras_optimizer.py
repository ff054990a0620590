"""What all Keras optimizers share: learning rate, schedules, clipping, weight decay, averages, the iteration counter.

A subclass adds one formula and the names of its state tensors (`optimizers.py`). Hyper-parameters carry
their Keras names, state tensors the names torch users know. Every number lives in `param_groups`, every tensor in `state`,
both plain, so `torch.load(weights_only=True)` reads a saved `state_dict`.

Source: keras 3.15.1, optimizers/base_optimizer.py; Keras 2.12, 2.15 and the legacy optimizers where an option says so.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar, cast

import torch
from torch import Tensor
from torch.optim import Optimizer

from torch_impl.keras_compat.batch_rows import put_back, rows_to_keep
from torch_impl.keras_compat.constraints import apply_constraints
from torch_impl.keras_compat.loss_scaling import (
    are_finite,
    count_scaled_step,
    loss_scale,
    shrink_scale,
    unscaled,
)
from torch_impl.keras_compat.optimizer_options import SHARED_DEFAULTS, SharedOptions
from torch_impl.keras_compat.parameter_groups import (
    Group,
    check_group,
    clip_gradients,
    decay,
    parameters_with_decay,
    regularize,
    split_learning_rate,
    updates_done,
)
from torch_impl.keras_compat.rounding import exact, float32, rounding_of
from torch_impl.keras_compat.schedules import Schedule, learning_rate_at

Parameters = Iterable[Tensor] | Iterable[Group]
Slots = Mapping[str, list[Tensor]]

Method = TypeVar("Method", bound=Callable[..., object])


def _without_compiler(method: Method) -> Method:
    """Return a method of torch's Optimizer without the wrapper that hides it from the compiler.

    The wrapper imports torch._dynamo at the first call, which takes as long as importing torch (torch 2.13.0,
    _compile.py). What it guards against, tracing into the method, does no harm here.
    """
    return cast("Method", getattr(method, "__wrapped__", method))


class KerasOptimizer(Optimizer, ABC):
    """An optimizer that updates as the Keras class of the same name does.

    `param_groups` hold the Keras hyper-parameters, `iterations` (updates done, an int), `lr` (the number torch's own
    schedulers may change) and `schedule` (None or the stored Keras schedule, which then sets `lr` at every step).
    A parameter without gradient is left alone, as in Keras.

    Args:
        params: parameters or groups of them; within a group all have one dtype.
        learning_rate: a number, or a schedule as Keras stores it.
        own: the options of the subclass with their defaults.
        options: what the caller gave of those and of `SharedOptions`.

    Raises:
        ValueError: Options contradict each other, or a group mixes dtypes.
        TypeError: An option has no such name.
    """

    moves_slots_of_all_rows = (
        False  # those of `row_wise` parameters, too: for subclasses
    )
    _loss_is_scaled = False  # since the last step
    state_dict = _without_compiler(Optimizer.state_dict)
    zero_grad = _without_compiler(Optimizer.zero_grad)

    def __init__(
        self,
        params: Parameters,
        learning_rate: float | Schedule,
        own: Mapping[str, object],
        options: SharedOptions | None = None,
    ) -> None:
        given: Mapping[str, object] = options or {}
        if unknown := set(given) - {*own, *SHARED_DEFAULTS}:
            known = ", ".join([*own, *SHARED_DEFAULTS])
            message = f"{type(self).__name__} has no option {', '.join(sorted(unknown))}; known: {known}"
            raise TypeError(message)
        # "learning_rate" stays in the group only until add_param_group splits it into lr and schedule.
        defaults = {
            "learning_rate": learning_rate,
            "iterations": 0,
            **SHARED_DEFAULTS,
        }
        super().__init__(params, {**defaults, **own, **given})

    def add_param_group(self, param_group: Group) -> None:
        """Add a group of parameters; missing options are those of the constructor.

        Raises:
            ValueError: Options contradict each other, or the parameters differ in dtype.
        """
        _without_compiler(Optimizer.add_param_group)(self, param_group)
        group = self.param_groups[-1]
        split_learning_rate(group)
        check_group(group)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a saved state; options that a saved group does not name stay as they are.

        A group of a converted file names what the legacy file states, its `learning_rate` as a number or a schedule.

        Raises:
            ValueError: Number or sizes of the groups differ.
        """
        groups = []
        for own, saved in zip(
            self.param_groups, state_dict["param_groups"], strict=True
        ):
            group = {
                **{key: value for key, value in own.items() if key != "params"},
                **saved,
            }
            if "learning_rate" in group:
                split_learning_rate(group)
            groups.append(group)
        whole = {**state_dict, "param_groups": groups}
        _without_compiler(Optimizer.load_state_dict)(self, whole)

    @abstractmethod
    def slots(self, group: Group) -> Mapping[str, float]:
        """Return the names of the state tensors that the group's options need, and what they start with."""

    def slot_shape(self, parameter: Tensor, name: str) -> torch.Size:  # for subclasses
        """Return the shape of a state tensor: that of its parameter."""
        return parameter.shape

    @abstractmethod
    def update(
        self,
        group: Group,
        parameters: list[Tensor],
        gradients: list[Tensor],
        slots: Slots,
        lr: float,
    ) -> None:
        """Change `parameters` and `slots` in place by one step; `updates_done(group)` counts those before it."""

    # torch declares two overloads of step; one optional closure says the same.
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Do one update and return what `closure` returned, if one was given."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        scaled = [group for group in self.param_groups if group["dynamic_scale"]]
        if scaled:
            found = [
                p.grad
                for group in scaled
                for p in group["params"]
                if p.grad is not None
            ]
            if found and not are_finite(found):
                for group in scaled:
                    shrink_scale(group)
                self._loss_is_scaled = False
                return loss
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if parameters:
                self._step_group(group, parameters)
        for group in scaled:
            count_scaled_step(group)
        self._loss_is_scaled = False
        return loss

    def scale_loss(self, loss: Tensor) -> Tensor:
        """Return the loss times the loss scale; `backward` on it, the next `step` divides again.

        Without this call `step` takes the gradients as they are: a module in float32 needs no loss scale.
        """
        self._loss_is_scaled = True
        scale = loss_scale(self.param_groups[0])
        return loss if scale is None else loss * scale

    def exclude_from_weight_decay(self, parameters: Iterable[Tensor]) -> None:
        """Let `weight_decay` leave these parameters alone from now on, as Keras's method of this name does."""
        excluded = {id(parameter) for parameter in parameters}
        for group in self.param_groups:
            places = [i for i, p in enumerate(group["params"]) if id(p) in excluded]
            group["without_weight_decay"] = sorted(
                {*group["without_weight_decay"], *places}
            )

    @torch.no_grad()
    def regularization_loss(self) -> Tensor:
        """Return what Keras adds to the reported loss for the regularized parameters."""
        total = torch.zeros(())
        for group in self.param_groups:
            for parameter, (l1, l2) in zip(
                group["params"],
                group["regularization"] or [(0, 0)] * len(group["params"]),
                strict=True,
            ):
                total = (
                    total + l1 * parameter.abs().sum() + l2 * parameter.square().sum()
                )
        return total

    def load_slots(
        self,
        iterations: int,
        slots: Mapping[str, Sequence[Tensor | None]],
        **numbers: float,
    ) -> None:
        """Take over the state of a stopped training.

        Args:
            iterations: updates done.
            slots: state name to one tensor for each parameter in order, in torch layout; None leaves one out.
            numbers: further group entries, e.g. `mu_product`.

        Raises:
            ValueError: A name is none of the optimizer's, or counts or shapes differ.
        """
        for group in self.param_groups:
            group.update(numbers, iterations=iterations)
        parameters = [p for group in self.param_groups for p in group["params"]]
        known = {*self.slots(self.param_groups[0]), "average", "gradient_accumulator"}
        for name, tensors in slots.items():
            if name not in known or len(tensors) != len(parameters):
                message = f"{len(tensors)} tensors {name!r} for {len(parameters)} parameters; names: {sorted(known)}"
                raise ValueError(message)
            for parameter, tensor in zip(parameters, tensors, strict=True):
                if tensor is None:
                    continue
                if tensor.shape != self.slot_shape(parameter, name):
                    message = f"{name} {tuple(tensor.shape)} for a parameter {tuple(parameter.shape)}"
                    raise ValueError(message)
                self.state[parameter][name] = tensor.to(parameter, copy=True)

    def learning_rate(self, group: Group) -> float:
        """Return the learning rate of the group's next update, rounded as Keras rounds it."""
        own_rounding = exact if group["learning_rate_dtype"] == "float64" else float32
        if group["schedule"] is not None:
            group["lr"] = learning_rate_at(
                group["schedule"], group["iterations"], rounded=own_rounding
            )
        rounded = rounding_of(group["params"][0].dtype)
        rate = rounded(own_rounding(group["lr"]))
        if group["decay"]:
            growth = rounded(rounded(group["decay"]) * group["iterations"])
            rate = rounded(rate / rounded(1.0 + growth))
        return rate

    def _step_group(self, group: Group, parameters: list[Tensor]) -> None:
        """Regularize, accumulate, clip, decay, update, average, count: the order of Keras."""
        gradients = [p.grad for p in parameters if p.grad is not None]
        if any(gradient.is_sparse for gradient in gradients):
            message = "sparse gradients are not supported; build the embedding with sparse=False"
            raise ValueError(message)
        if self._loss_is_scaled:
            gradients = unscaled(group, gradients)
        if group["regularization"]:
            gradients = regularize(group, parameters, gradients)
        if group["gradient_accumulation_steps"]:
            gradients = self._accumulate(group, parameters, gradients)
        if gradients:
            gradients = clip_gradients(group, gradients)
            lr = self.learning_rate(group)
            self.decay_weights(group, parameters, lr)
            slots = self.slot_tensors(parameters, self.slots(group))
            staying = [] if self.moves_slots_of_all_rows else list(slots.values())
            kept = rows_to_keep(group, parameters, gradients, [parameters, *staying])
            self.update(group, parameters, gradients, slots, lr)
            put_back(kept)
        if group["use_ema"]:
            self._average(group)
        if group["constraints"]:
            apply_constraints(group["params"], group["constraints"], parameters)
        group["iterations"] += 1

    def decay_weights(self, group: Group, parameters: list[Tensor], lr: float) -> None:
        """Subtract learning_rate * weight_decay * p from every parameter p that is not excluded."""
        if group["weight_decay"] is not None:
            decay(parameters_with_decay(group, parameters), group["weight_decay"], lr)

    def _accumulate(
        self, group: Group, parameters: list[Tensor], gradients: list[Tensor]
    ) -> list[Tensor]:
        """Return the mean gradients over the last steps, or an empty list while there are not enough."""
        count = group["gradient_accumulation_steps"]
        sums = self.slot_tensors(parameters, {"gradient_accumulator": 0.0})[
            "gradient_accumulator"
        ]
        if (group["iterations"] + 1) % count:
            torch._foreach_add_(sums, gradients)
            return []
        means = list(torch._foreach_add(gradients, sums))
        torch._foreach_div_(means, count)
        everyone = {"gradient_accumulator": 0.0}
        torch._foreach_zero_(
            self.slot_tensors(group["params"], everyone)["gradient_accumulator"]
        )
        return means

    def slot_tensors(
        self, parameters: list[Tensor], names: Mapping[str, float]
    ) -> Slots:
        """Return the state tensors of `parameters` by name, made where missing."""
        found: dict[str, list[Tensor]] = {name: [] for name in names}
        for parameter in parameters:
            state = self.state[parameter]
            for name, initial in names.items():
                if name not in state:
                    state[name] = torch.full_like(parameter, initial)
                found[name].append(state[name])
        return found

    def _average(self, group: Group) -> None:
        """Move the averages towards the new parameters; every so often copy them back."""
        parameters: list[Tensor] = group["params"]
        averages = self.slot_tensors(parameters, {"average": 0.0})["average"]
        # Keras ignores the averages at the first update and computes 1 - momentum in the dtype of the weights.
        rounded = rounding_of(parameters[0].dtype)
        updates = updates_done(group)
        momentum = rounded(group["ema_momentum"]) if updates else 0.0
        torch._foreach_mul_(averages, momentum)
        torch._foreach_add_(averages, parameters, alpha=1 - momentum)
        every = group["ema_overwrite_frequency"]
        if every and (updates + 1) % every == 0:
            torch._foreach_copy_(parameters, averages)
