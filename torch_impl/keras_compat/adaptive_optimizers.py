"""Adagrad, Adadelta, Adamax, Ftrl and ScheduleFreeAdamW with the formulas of Keras; the usual ones are in `optimizers.py`.

Source of the formulas: keras 3.15.1, optimizers/<name>.py; options name where Keras <= 2.10 computes otherwise
(tensorflow 2.21, python/keras/optimizer_v2/<name>.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Unpack

import torch
from torch import Tensor

from torch_impl.keras_compat.keras_optimizer import KerasOptimizer, Parameters, Slots
from torch_impl.keras_compat.optimizer_options import (
    MOMENT_DEFAULTS,
    MomentOptions,
    SharedOptions,
)
from torch_impl.keras_compat.parameter_groups import Group, updates_done
from torch_impl.keras_compat.rounding import float32, rounding_of
from torch_impl.keras_compat.schedules import Schedule
from torch_impl.keras_compat.tensor_lists import decay_squares, roots, subtract_ratio


class Adagrad(KerasOptimizer):
    """Adagrad whose sums start at 0.1, with epsilon inside the root.

        s += g**2
        p -= lr * g / sqrt(s + epsilon)

    torch.optim starts at 0 and adds epsilon to the root, the latter also Keras <= 2.10
    (`epsilon_inside_root=False`). State: sum.
    """

    def __init__(
        self,
        params: Parameters,
        learning_rate: float | Schedule = 0.001,
        *,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        epsilon_inside_root: bool = True,
        **shared: Unpack[SharedOptions],
    ) -> None:
        own = {
            "initial_accumulator_value": initial_accumulator_value,
            "epsilon": epsilon,
        }
        own["epsilon_inside_root"] = epsilon_inside_root
        super().__init__(params, learning_rate, own, shared)

    def slots(self, group: Group) -> Mapping[str, float]:
        """Return sum from its initial value, which Keras makes through a float32 tensor."""
        return {"sum": float32(group["initial_accumulator_value"])}

    def update(
        self,
        group: Group,
        parameters: list[Tensor],
        gradients: list[Tensor],
        slots: Slots,
        lr: float,
    ) -> None:
        """See the class."""
        sums = slots["sum"]
        torch._foreach_addcmul_(sums, gradients, gradients)
        denominators = roots(
            sums, group["epsilon"], inside=group["epsilon_inside_root"]
        )
        subtract_ratio(parameters, gradients, denominators, lr)


class Adadelta(KerasOptimizer):
    """Adadelta as in torch.optim, with other defaults.

        s = rho * s + (1 - rho) * g**2
        d = g * sqrt(a + epsilon) / sqrt(s + epsilon)
        a = rho * a + (1 - rho) * d**2
        p -= lr * d

    State: square_avg (s), acc_delta (a).
    """

    def __init__(
        self,
        params: Parameters,
        learning_rate: float | Schedule = 0.001,
        *,
        rho: float = 0.95,
        epsilon: float = 1e-7,
        **shared: Unpack[SharedOptions],
    ) -> None:
        super().__init__(
            params, learning_rate, {"rho": rho, "epsilon": epsilon}, shared
        )

    def slots(self, group: Group) -> Mapping[str, float]:
        """Return square_avg and acc_delta from 0."""
        return {"square_avg": 0.0, "acc_delta": 0.0}

    def update(
        self,
        group: Group,
        parameters: list[Tensor],
        gradients: list[Tensor],
        slots: Slots,
        lr: float,
    ) -> None:
        """See the class."""
        squares, deltas = slots["square_avg"], slots["acc_delta"]
        decay_squares(squares, gradients, group["rho"])
        steps = roots(deltas, group["epsilon"])
        torch._foreach_mul_(steps, gradients)
        torch._foreach_div_(steps, roots(squares, group["epsilon"]))
        decay_squares(deltas, steps, group["rho"])
        torch._foreach_add_(parameters, steps, alpha=-lr)


class Adamax(KerasOptimizer):
    """Adamax with epsilon outside of the maximum; torch.optim adds it to abs(g) inside.

        m += (g - m) * (1 - beta_1)
        u = max(beta_2 * u, abs(g))
        p -= lr / (1 - beta_1**t) * m / (u + epsilon)

    State: exp_avg (m), exp_inf (u).
    """

    def __init__(
        self,
        params: Parameters,
        learning_rate: float | Schedule = 0.001,
        **options: Unpack[MomentOptions],
    ) -> None:
        super().__init__(params, learning_rate, MOMENT_DEFAULTS, options)

    def slots(self, group: Group) -> Mapping[str, float]:
        """Return exp_avg and exp_inf from 0."""
        return {"exp_avg": 0.0, "exp_inf": 0.0}

    def update(
        self,
        group: Group,
        parameters: list[Tensor],
        gradients: list[Tensor],
        slots: Slots,
        lr: float,
    ) -> None:
        """See the class."""
        moments, norms = slots["exp_avg"], slots["exp_inf"]
        torch._foreach_lerp_(moments, gradients, 1 - group["beta_1"])
        torch._foreach_mul_(norms, group["beta_2"])
        torch._foreach_maximum_(norms, torch._foreach_abs(gradients))
        rounded = rounding_of(parameters[0].dtype)
        power = rounded(float32(group["beta_1"]) ** (updates_done(group) + 1))
        step_size = rounded(lr / rounded(1.0 - power))
        denominators = list(torch._foreach_add(norms, group["epsilon"]))
        subtract_ratio(parameters, moments, denominators, step_size)


class Ftrl(KerasOptimizer):
    """Follow the regularized leader, which torch does not have; k is -learning_rate_power.

        n = s + g**2
        z += g + 2 * l2_shrinkage * p - (n**k - s**k) / lr * p
        p = (clip(z, -l1, l1) - z) / (n**k / lr + 2 * (l2 + beta / (2 * lr)))
        s = n

    State: accumulator (s), linear (z).
    """

    def __init__(
        self,
        params: Parameters,
        learning_rate: float | Schedule = 0.001,
        *,
        learning_rate_power: float = -0.5,
        initial_accumulator_value: float = 0.1,
        l1_regularization_strength: float = 0.0,
        l2_regularization_strength: float = 0.0,
        l2_shrinkage_regularization_strength: float = 0.0,
        beta: float = 0.0,
        **shared: Unpack[SharedOptions],
    ) -> None:
        own = {
            "learning_rate_power": learning_rate_power,
            "initial_accumulator_value": initial_accumulator_value,
            "l1_regularization_strength": l1_regularization_strength,
            "l2_regularization_strength": l2_regularization_strength,
            "l2_shrinkage_regularization_strength": l2_shrinkage_regularization_strength,
            "beta": beta,
        }
        super().__init__(params, learning_rate, own, shared)

    def slots(self, group: Group) -> Mapping[str, float]:
        """Return accumulator from its initial value and linear from 0."""
        return {
            "accumulator": float32(group["initial_accumulator_value"]),
            "linear": 0.0,
        }

    def update(
        self,
        group: Group,
        parameters: list[Tensor],
        gradients: list[Tensor],
        slots: Slots,
        lr: float,
    ) -> None:
        """See the class."""
        power, limit = (
            -group["learning_rate_power"],
            group["l1_regularization_strength"],
        )
        sums, linears = slots["accumulator"], slots["linear"]
        old_powers = torch._foreach_pow(sums, power)
        torch._foreach_addcmul_(sums, gradients, gradients)
        new_powers = list(torch._foreach_pow(sums, power))
        changes = torch._foreach_sub(new_powers, old_powers)
        torch._foreach_div_(changes, lr)
        torch._foreach_mul_(changes, parameters)
        shrinkage = 2 * group["l2_shrinkage_regularization_strength"]
        torch._foreach_sub_(changes, gradients)
        torch._foreach_sub_(changes, parameters, alpha=shrinkage)
        # Subtracted in one piece as in Keras: z is large beside each of the three.
        torch._foreach_sub_(linears, changes)
        torch._foreach_div_(new_powers, lr)
        l2 = group["l2_regularization_strength"] + group["beta"] / (2.0 * lr)
        torch._foreach_add_(new_powers, 2 * l2)
        for parameter, linear, quadratic in zip(
            parameters, linears, new_powers, strict=True
        ):
            torch.div(
                linear.clamp(-limit, limit).sub_(linear), quadratic, out=parameter
            )


class ScheduleFreeAdamW(KerasOptimizer):
    """Adam that needs no learning-rate schedule: it trains a mean of all weights so far; torch.optim has no such class.

        v += (g**2 - v) * (1 - beta_2)
        z -= lr * min(t / warmup_steps, 1) * g / (sqrt(v / (1 - beta_2**t)) + epsilon)
        x = (p - (1 - beta_1) * z) / beta_1
        x = (1 - 1 / t) * x + z / t
        p = (1 - beta_1) * z + beta_1 * x

    The paper takes x from z before its step. So does the code of Keras, but what it keeps is a reference to the variable,
    which TensorFlow reads after the step (keras 3.15.1 on TensorFlow 2.21). State: base (z), which starts as p, and
    exp_avg_sq (v).
    """

    def __init__(
        self,
        params: Parameters,
        learning_rate: float | Schedule = 0.0025,
        *,
        warmup_steps: int = 0,
        **options: Unpack[MomentOptions],
    ) -> None:
        own = {**MOMENT_DEFAULTS, "epsilon": 1e-8, "warmup_steps": warmup_steps}
        super().__init__(params, learning_rate, own, options)

    def slots(self, group: Group) -> Mapping[str, float]:
        """Return base, which starts as the parameter whatever number stands here, and exp_avg_sq from 0."""
        return {"base": 0.0, "exp_avg_sq": 0.0}

    def _step_group(self, group: Group, parameters: list[Tensor]) -> None:
        """Let base start as the parameter is before weight decay, then do as every optimizer."""
        for parameter in parameters:
            if "base" not in self.state[parameter]:
                self.state[parameter]["base"] = parameter.detach().clone()
        super()._step_group(group, parameters)

    def update(
        self,
        group: Group,
        parameters: list[Tensor],
        gradients: list[Tensor],
        slots: Slots,
        lr: float,
    ) -> None:
        """See the class."""
        rounded, step = rounding_of(parameters[0].dtype), updates_done(group) + 1
        if group["warmup_steps"] > 0:
            lr = rounded(lr * min(rounded(step / group["warmup_steps"]), 1.0))
        beta_1, beta_2 = float32(group["beta_1"]), float32(group["beta_2"])
        rest = rounded(1.0 - rounded(beta_2**step))
        weight = rounded(1 / step)
        bases, squares = slots["base"], slots["exp_avg_sq"]
        squared = torch._foreach_mul(gradients, gradients)
        torch._foreach_lerp_(squares, squared, rounded(1 - beta_2))
        denominators = roots(
            torch._foreach_div(squares, rest), float32(group["epsilon"]), inside=False
        )
        for parameter, base, g, denominator in zip(
            parameters, bases, gradients, denominators, strict=True
        ):
            base.sub_(lr * g / denominator)
            mean = (parameter - rounded(1 - beta_1) * base) / beta_1
            mean = rounded(1 - weight) * mean + weight * base
            parameter.copy_(rounded(1 - beta_1) * base + beta_1 * mean)
