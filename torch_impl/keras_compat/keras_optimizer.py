"""What all Keras optimizers share: learning rate, schedules, clipping, weight decay, averages, the iteration counter.

A subclass adds one formula and the names of its state tensors (`optimizers.py`). Hyper-parameters carry
their Keras names, state tensors the names torch users know. Every number lives in `param_groups`, every tensor in `state`,
both plain, so `torch.load(weights_only=True)` reads a saved `state_dict`.

Source: keras 3.15.1, optimizers/base_optimizer.py; Keras 2.12, 2.15 and the legacy optimizers where an option says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypedDict, TypeVar, Unpack, cast

import torch
from torch import Tensor
from torch.optim import Optimizer

from torch_impl.keras_compat.gradient_clipping import (
    clip_each_norm,
    clip_each_value,
    clip_global_norm,
)
from torch_impl.keras_compat.rounding import exact, float32, rounding_of
from torch_impl.keras_compat.schedules import Schedule, learning_rate_at, plain_schedule

# A parameter group maps option names to plain data and "params" to tensors, as torch.optim defines it.
Group = dict[str, Any]
Parameters = Iterable[Tensor] | Iterable[Group]
Slots = Mapping[str, list[Tensor]]


class SharedOptions(TypedDict, total=False):
    """Options that every optimizer takes besides its own.

    Attributes:
        weight_decay: decoupled, p -= learning_rate * weight_decay * p before the update.
        clipnorm: largest norm of each gradient on its own.
        global_clipnorm: largest norm of all gradients of the parameter group together.
        clipvalue: largest absolute value of a gradient element. At most one of the three may be set.
        use_ema: keep an exponential average of every parameter in the state (`average`).
        ema_momentum: share of the old average that stays at each update.
        ema_overwrite_frequency: updates between two copies of the averages into the parameters.
        decay: of legacy optimizers, learning_rate / (1 + decay * iterations).
        regularization: (l1, l2) for each parameter of the group, or None. What Keras adds to the loss for a layer's
            `kernel_regularizer`, l1 * sum(abs(p)) + l2 * sum(p**2), enters here as its gradient, so that the loss stays
            the one of `compile`; do not add it there again.
        learning_rate_dtype: "float32" as Keras keeps the learning rate, "float64" for one made under
            `set_floatx("float64")`. Matters for float64 parameters only.
    """

    weight_decay: float | None
    clipnorm: float | None
    global_clipnorm: float | None
    clipvalue: float | None
    use_ema: bool
    ema_momentum: float
    ema_overwrite_frequency: int | None
    decay: float
    regularization: Sequence[Sequence[float]] | None
    learning_rate_dtype: str


SHARED_DEFAULTS: SharedOptions = {
    "weight_decay": None,
    "clipnorm": None,
    "global_clipnorm": None,
    "clipvalue": None,
    "use_ema": False,
    "ema_momentum": 0.99,
    "ema_overwrite_frequency": None,
    "decay": 0.0,
    "regularization": None,
    "learning_rate_dtype": "float32",
}


Method = TypeVar("Method", bound=Callable[..., object])


def _without_compiler(method: Method) -> Method:
    """Return a method of torch's Optimizer without the wrapper that hides it from the compiler.

    The wrapper imports torch._dynamo at the first call, which takes as long as importing torch (torch 2.13.0,
    _compile.py). What it guards against, tracing into the method, does no harm here.
    """
    return cast("Method", getattr(method, "__wrapped__", method))


class KerasOptimizer(Optimizer):
    """An optimizer that updates as the Keras class of the same name does.

    `param_groups` hold the Keras hyper-parameters, `iterations` (updates done, an int), `lr` (the number torch's own
    schedulers may change) and `schedule` (None or the stored Keras schedule, which then sets `lr` at every step).
    A parameter without gradient is left alone, as in Keras.

    Args:
        params: parameters or groups of them; within a group all have one dtype.
        learning_rate: a number, or a schedule as Keras stores it.
        own: the options of the subclass.
        shared: see `SharedOptions`.

    Raises:
        ValueError: Options contradict each other, or a group mixes dtypes.
        TypeError: An option has no such name.
    """

    state_dict = _without_compiler(Optimizer.state_dict)
    zero_grad = _without_compiler(Optimizer.zero_grad)

    def __init__(
        self,
        params: Parameters,
        learning_rate: float | Schedule,
        own: Mapping[str, object],
        **shared: Unpack[SharedOptions],
    ) -> None:
        if unknown := set(shared) - set(SHARED_DEFAULTS):
            known = ", ".join([*own, *SHARED_DEFAULTS])
            message = (
                f"{type(self).__name__} has no option {', '.join(sorted(unknown))}; known: {known}"
            )
            raise TypeError(message)
        # "learning_rate" stays in the group only until add_param_group splits it into lr and schedule.
        defaults = {"learning_rate": learning_rate, "iterations": 0, **SHARED_DEFAULTS, **shared}
        super().__init__(params, {**defaults, **own})

    def add_param_group(self, param_group: Group) -> None:
        """Add a group of parameters; missing options are those of the constructor.

        Raises:
            ValueError: Options contradict each other, or the parameters differ in dtype.
        """
        _without_compiler(Optimizer.add_param_group)(self, param_group)
        group = self.param_groups[-1]
        _split_learning_rate(group)
        _check_group(group)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a saved state; options that a saved group does not name stay as they are.

        A group of a converted file names what the legacy file states, its `learning_rate` as a number or a schedule.

        Raises:
            ValueError: Number or sizes of the groups differ.
        """
        groups = []
        for own, saved in zip(self.param_groups, state_dict["param_groups"], strict=True):
            group = {**{key: value for key, value in own.items() if key != "params"}, **saved}
            if "learning_rate" in group:
                _split_learning_rate(group)
            groups.append(group)
        whole = {**state_dict, "param_groups": groups}
        _without_compiler(Optimizer.load_state_dict)(self, whole)

    def slots(self, group: Group) -> Mapping[str, float]:
        """Return the names of the state tensors that the group's options need, and what they start with."""
        raise NotImplementedError

    def update(
        self,
        group: Group,
        parameters: list[Tensor],
        gradients: list[Tensor],
        slots: Slots,
        lr: float,
    ) -> None:
        """Change `parameters` and `slots` in place by one step; `group["iterations"]` counts those before it."""
        raise NotImplementedError

    # torch declares two overloads of step; one optional closure says the same.
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Do one update and return what `closure` returned, if one was given."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if parameters:
                self._step_group(group, parameters)
        return loss

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
                total = total + l1 * parameter.abs().sum() + l2 * parameter.square().sum()
        return total

    def load_slots(
        self, iterations: int, slots: Mapping[str, Sequence[Tensor | None]], **numbers: float
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
        known = set(self.slots(self.param_groups[0])) | {"average"}
        for name, tensors in slots.items():
            if name not in known or len(tensors) != len(parameters):
                message = f"{len(tensors)} tensors {name!r} for {len(parameters)} parameters; names: {sorted(known)}"
                raise ValueError(message)
            for parameter, tensor in zip(parameters, tensors, strict=True):
                if tensor is None:
                    continue
                if tensor.shape != parameter.shape:
                    message = (
                        f"{name} {tuple(tensor.shape)} for a parameter {tuple(parameter.shape)}"
                    )
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
        """Regularize, clip, decay, update, average, count: the order of Keras."""
        gradients = [p.grad for p in parameters if p.grad is not None]
        if group["regularization"]:
            gradients = _regularize(group, parameters, gradients)
        gradients = _clip(group, gradients)
        lr = self.learning_rate(group)
        if group["weight_decay"] is not None:
            # p + (-wd * lr) * p, not p * (1 - wd * lr): the factor next to 1 would lose most digits in float32.
            torch._foreach_add_(parameters, parameters, alpha=-float32(group["weight_decay"]) * lr)
        slots = self.slot_tensors(parameters, self.slots(group))
        self.update(group, parameters, gradients, slots, lr)
        if group["use_ema"]:
            self._average(group)
        group["iterations"] += 1

    def slot_tensors(self, parameters: list[Tensor], names: Mapping[str, float]) -> Slots:
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
        momentum = rounded(group["ema_momentum"]) if group["iterations"] else 0.0
        torch._foreach_mul_(averages, momentum)
        torch._foreach_add_(averages, parameters, alpha=1 - momentum)
        every = group["ema_overwrite_frequency"]
        if every and (group["iterations"] + 1) % every == 0:
            torch._foreach_copy_(parameters, averages)


def _regularize(group: Group, parameters: list[Tensor], gradients: list[Tensor]) -> list[Tensor]:
    """Return gradient + l1 * sign(p) + 2 * l2 * p for the parameters that have factors."""
    factors = dict(zip(map(id, group["params"]), group["regularization"], strict=True))
    result = []
    for parameter, gradient in zip(parameters, gradients, strict=True):
        l1, l2 = factors[id(parameter)]
        added = gradient + 2 * l2 * parameter if l2 else gradient
        result.append(added + l1 * parameter.sign() if l1 else added)
    return result


def _clip(group: Group, gradients: list[Tensor]) -> list[Tensor]:
    """Return the gradients clipped as the group's options say. Raises ValueError for sparse ones."""
    if any(gradient.is_sparse for gradient in gradients):
        message = "sparse gradients are not supported; build the embedding with sparse=False"
        raise ValueError(message)
    if group["clipnorm"]:
        return clip_each_norm(gradients, group["clipnorm"])
    if group["global_clipnorm"]:
        return clip_global_norm(gradients, group["global_clipnorm"])
    if group["clipvalue"]:
        return clip_each_value(gradients, group["clipvalue"])
    return gradients


def _split_learning_rate(group: Group) -> None:
    """Replace `learning_rate`, a number or a schedule, by `lr` and `schedule`."""
    rate = group.pop("learning_rate")
    if isinstance(rate, Mapping):
        group["schedule"] = plain_schedule(rate)
        group["lr"] = learning_rate_at(group["schedule"], group["iterations"])
    else:
        group["schedule"], group["lr"] = None, float(rate)


def _check_group(group: Group) -> None:
    """Raise ValueError where the options of a group contradict each other or its parameters differ in dtype."""
    clips = [n for n in ("clipnorm", "global_clipnorm", "clipvalue") if group[n] is not None]
    if len(clips) > 1:
        message = f"only one clipping may be set, found {', '.join(clips)}"
        raise ValueError(message)
    if group["learning_rate_dtype"] not in ("float32", "float64"):
        message = (
            f"learning_rate_dtype is {group['learning_rate_dtype']!r}, not 'float32' or 'float64'"
        )
        raise ValueError(message)
    dtypes = {parameter.dtype for parameter in group["params"]}
    if len(dtypes) > 1:
        message = f"the parameters of one group have dtypes {sorted(map(str, dtypes))}; make one group for each"
        raise ValueError(message)
