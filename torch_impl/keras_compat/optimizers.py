"""The optimizers with the formulas of Keras, so that a stopped training goes on as it would have there.

Each class holds its formula once and differs from torch.optim as its docstring says; docs/numerics.md has the measured
differences. What they share is in `keras_optimizer.py`, the less usual ones
are in `adaptive_optimizers.py`, `nadam.py` and `whole_weight_optimizers.py` and found here as well. Two names of one formula (Adam's step size and update) are free
functions of plain tensors, for training steps that are compiled as a whole.

Source of the formulas: keras 3.15.1, optimizers/<name>.py; options name where Keras <= 2.10 computes otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Unpack

import torch
from torch import Tensor

from torch_impl.keras_compat.adaptive_optimizers import (
    Adadelta,
    Adagrad,
    Adamax,
    Ftrl,
    ScheduleFreeAdamW,
)
from torch_impl.keras_compat.keras_optimizer import KerasOptimizer, Parameters, Slots
from torch_impl.keras_compat.nadam import Nadam
from torch_impl.keras_compat.optimizer_options import (
    MOMENT_DEFAULTS,
    MomentOptions,
    SharedOptions,
)
from torch_impl.keras_compat.parameter_groups import Group, updates_done
from torch_impl.keras_compat.rounding import float32, rounding_of
from torch_impl.keras_compat.schedules import Schedule
from torch_impl.keras_compat.tensor_lists import decay_squares, roots, subtract_ratio
from torch_impl.keras_compat.whole_weight_optimizers import Adafactor, Lamb, Muon

__all__ = [
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Ftrl",
    "Lamb",
    "Lion",
    "Muon",
    "Nadam",
    "RMSprop",
    "ScheduleFreeAdamW",
    "adam_step_size",
    "adam_update",
]


def adam_step_size(
    lr: float, beta_1: float, beta_2: float, iterations: int, dtype: torch.dtype
) -> float:
    """Return lr * sqrt(1 - beta_2**t) / (1 - beta_1**t) with t = iterations + 1, rounded as Keras rounds it.

    Keras casts the betas to float32 before the powers and computes in the dtype of the weights; without that
    the weights of a float64 training drift by 1e-2 within 100 steps.

    Args:
        lr: learning rate, already rounded (`KerasOptimizer.learning_rate`).
        beta_1: as configured.
        beta_2: as configured.
        iterations: updates done before this one.
        dtype: of the weights.
    """
    rounded = rounding_of(dtype)
    step = iterations + 1
    rest_1 = rounded(1.0 - rounded(float32(beta_1) ** step))
    rest_2 = rounded(1.0 - rounded(float32(beta_2) ** step))
    return rounded(rounded(lr * rounded(math.sqrt(rest_2))) / rest_1)


def adam_update(
    parameters: list[Tensor],
    gradients: list[Tensor],
    exp_avgs: list[Tensor],
    exp_avg_sqs: list[Tensor],
    step_size: float | Tensor,
    *,
    beta_1: float,
    beta_2: float,
    epsilon: float,
    max_exp_avg_sqs: list[Tensor] | None = None,
) -> None:
    """Do one Adam step on lists of tensors, in place.

        m += (g - m) * (1 - beta_1)
        v += (g**2 - v) * (1 - beta_2)
        p -= step_size * m / (sqrt(v) + epsilon)

    Args:
        parameters: p.
        gradients: g, left alone.
        exp_avgs: m.
        exp_avg_sqs: v.
        step_size: of `adam_step_size`; a tensor of no axes inside a compiled step.
        beta_1: decay of m.
        beta_2: decay of v.
        epsilon: beside sqrt(v) before any bias correction; torch.optim adds it after.
        max_exp_avg_sqs: for amsgrad the largest v so far, which then takes its place in the last line.
    """
    torch._foreach_lerp_(exp_avgs, gradients, 1 - beta_1)
    torch._foreach_lerp_(
        exp_avg_sqs, torch._foreach_mul(gradients, gradients), 1 - beta_2
    )
    if max_exp_avg_sqs is not None:
        torch._foreach_maximum_(max_exp_avg_sqs, exp_avg_sqs)
        exp_avg_sqs = max_exp_avg_sqs
    denominators = torch._foreach_sqrt(exp_avg_sqs)
    torch._foreach_add_(denominators, epsilon)
    subtract_ratio(parameters, exp_avgs, list(denominators), step_size)


class AdamOptions(MomentOptions, total=False):
    """Options of Adam.

    Attributes:
        amsgrad: divide by the largest average of the squares so far.
    """

    amsgrad: bool


class Adam(KerasOptimizer):
    """Adam with the bias correction in the step size, so that epsilon is added to the uncorrected root.

    Formula: `adam_step_size` and `adam_update`. State: exp_avg, exp_avg_sq, max_exp_avg_sq (amsgrad).
    """

    def __init__(
        self,
        params: Parameters,
        learning_rate: float | Schedule = 0.001,
        **options: Unpack[AdamOptions],
    ) -> None:
        own = {**MOMENT_DEFAULTS, "amsgrad": False}
        super().__init__(params, learning_rate, own, options)

    def slots(self, group: Group) -> Mapping[str, float]:
        """Return exp_avg and exp_avg_sq, with amsgrad also max_exp_avg_sq, all from 0."""
        names = {"exp_avg": 0.0, "exp_avg_sq": 0.0}
        return names | ({"max_exp_avg_sq": 0.0} if group["amsgrad"] else {})

    def update(
        self,
        group: Group,
        parameters: list[Tensor],
        gradients: list[Tensor],
        slots: Slots,
        lr: float,
    ) -> None:
        """See `adam_update`."""
        beta_1, beta_2 = group["beta_1"], group["beta_2"]
        adam_update(
            parameters,
            gradients,
            slots["exp_avg"],
            slots["exp_avg_sq"],
            adam_step_size(
                lr, beta_1, beta_2, updates_done(group), parameters[0].dtype
            ),
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=group["epsilon"],
            max_exp_avg_sqs=slots.get("max_exp_avg_sq"),
        )


class AdamW(Adam):
    """Adam whose decoupled weight decay is on by default: 0.004 in Keras, 0.01 in torch."""

    def __init__(
        self,
        params: Parameters,
        learning_rate: float | Schedule = 0.001,
        **options: Unpack[AdamOptions],
    ) -> None:
        options.setdefault("weight_decay", 0.004)
        super().__init__(params, learning_rate, **options)


class SGD(KerasOptimizer):
    """Gradient descent whose momentum buffer already contains the learning rate.

        b = momentum * b - lr * g
        p += b, with nesterov: p += momentum * b - lr * g

    torch's buffer is -b / lr: equal steps while lr is constant, different ones when it changes.
    State: momentum_buffer, if momentum is not 0.
    """

    def __init__(
        self,
        params: Parameters,
        learning_rate: float | Schedule = 0.01,
        *,
        momentum: float = 0.0,
        nesterov: bool = False,
        **shared: Unpack[SharedOptions],
    ) -> None:
        own = {"momentum": momentum, "nesterov": nesterov}
        super().__init__(params, learning_rate, own, shared)

    def slots(self, group: Group) -> Mapping[str, float]:
        """Return momentum_buffer from 0, or nothing without momentum."""
        return {"momentum_buffer": 0.0} if group["momentum"] else {}

    def update(
        self,
        group: Group,
        parameters: list[Tensor],
        gradients: list[Tensor],
        slots: Slots,
        lr: float,
    ) -> None:
        """See the class."""
        if not group["momentum"]:
            torch._foreach_add_(parameters, gradients, alpha=-lr)
            return
        momentum, buffers = float32(group["momentum"]), slots["momentum_buffer"]
        torch._foreach_mul_(buffers, momentum)
        torch._foreach_add_(buffers, gradients, alpha=-lr)
        if group["nesterov"]:
            torch._foreach_add_(parameters, buffers, alpha=momentum)
            torch._foreach_add_(parameters, gradients, alpha=-lr)
        else:
            torch._foreach_add_(parameters, buffers)


class RMSprop(KerasOptimizer):
    """RMSprop with epsilon inside the root.

        s = rho * s + (1 - rho) * g**2
        a = rho * a + (1 - rho) * g, for centered
        d = lr * g / sqrt(s - a**2 + epsilon)
        p -= d, with momentum: b = momentum * b + d; p -= b

    torch.optim adds epsilon to the root. So does Keras <= 2.10 without momentum (`epsilon_inside_root=False`;
    tensorflow 2.21, python/keras/optimizer_v2/rmsprop.py). State: square_avg, momentum_buffer, grad_avg.
    """

    def __init__(
        self,
        params: Parameters,
        learning_rate: float | Schedule = 0.001,
        *,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        epsilon_inside_root: bool = True,
        **shared: Unpack[SharedOptions],
    ) -> None:
        own = {
            "rho": rho,
            "momentum": momentum,
            "epsilon": epsilon,
            "centered": centered,
        }
        own["epsilon_inside_root"] = epsilon_inside_root
        super().__init__(params, learning_rate, own, shared)

    def slots(self, group: Group) -> Mapping[str, float]:
        """Return square_avg, with momentum momentum_buffer, centered grad_avg, all from 0."""
        names = {"square_avg": 0.0}
        names |= {"momentum_buffer": 0.0} if group["momentum"] else {}
        return names | ({"grad_avg": 0.0} if group["centered"] else {})

    def update(
        self,
        group: Group,
        parameters: list[Tensor],
        gradients: list[Tensor],
        slots: Slots,
        lr: float,
    ) -> None:
        """See the class."""
        rho, squares = group["rho"], slots["square_avg"]
        decay_squares(squares, gradients, rho)
        variances = squares
        if group["centered"]:
            means = slots["grad_avg"]
            torch._foreach_mul_(means, rho)
            torch._foreach_add_(means, gradients, alpha=1 - rho)
            variances = list(torch._foreach_addcmul(squares, means, means, value=-1))
        denominators = roots(
            variances, group["epsilon"], inside=group["epsilon_inside_root"]
        )
        if group["momentum"]:
            buffers = slots["momentum_buffer"]
            torch._foreach_mul_(buffers, group["momentum"])
            torch._foreach_addcdiv_(buffers, gradients, denominators, value=lr)
            torch._foreach_sub_(parameters, buffers)
        else:
            subtract_ratio(parameters, gradients, denominators, lr)


class Lion(KerasOptimizer):
    """Lion: steps of the sign of an average; torch.optim has no such class.

        p -= lr * sign(beta_1 * m + (1 - beta_1) * g)
        m = beta_2 * m + (1 - beta_2) * g

    State: exp_avg (m).
    """

    def __init__(
        self,
        params: Parameters,
        learning_rate: float | Schedule = 0.001,
        *,
        beta_1: float = 0.9,
        beta_2: float = 0.99,
        **shared: Unpack[SharedOptions],
    ) -> None:
        own = {"beta_1": beta_1, "beta_2": beta_2}
        super().__init__(params, learning_rate, own, shared)

    def slots(self, group: Group) -> Mapping[str, float]:
        """Return exp_avg from 0."""
        return {"exp_avg": 0.0}

    def update(
        self,
        group: Group,
        parameters: list[Tensor],
        gradients: list[Tensor],
        slots: Slots,
        lr: float,
    ) -> None:
        """See the class."""
        beta_1, beta_2 = float32(group["beta_1"]), float32(group["beta_2"])
        steps = list(torch._foreach_mul(slots["exp_avg"], beta_1))
        torch._foreach_add_(steps, gradients, alpha=1.0 - beta_1)
        torch._foreach_sign_(steps)
        torch._foreach_add_(parameters, steps, alpha=-lr)
        torch._foreach_mul_(slots["exp_avg"], beta_2)
        torch._foreach_add_(slots["exp_avg"], gradients, alpha=1.0 - beta_2)
