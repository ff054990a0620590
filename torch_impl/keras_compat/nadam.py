"""Nadam with the formula of Keras, and with what Keras 2 made of it.

Source: keras 3.15.1 and 2.15.0, optimizers/nadam.py; tensorflow 2.21, python/keras/optimizer_v2/nadam.py for Keras <= 2.10.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Unpack

import torch
from torch import Tensor

from torch_impl.keras_compat.keras_optimizer import KerasOptimizer, Parameters, Slots
from torch_impl.keras_compat.optimizer_options import MOMENT_DEFAULTS, MomentOptions
from torch_impl.keras_compat.parameter_groups import (
    Group,
    of_parameters,
    updates_done,
)
from torch_impl.keras_compat.rounding import Rounding, float32, rounding_of
from torch_impl.keras_compat.schedules import Schedule
from torch_impl.keras_compat.tensor_lists import roots, subtract_ratio


class Nadam(KerasOptimizer):
    """Nadam with the momentum schedule of Keras; its product so far is the group entry `mu_product`.

        mu(t) = beta_1 * (1 - 0.5 * 0.96**(t * schedule_decay))
        m += (g - m) * (1 - beta_1)
        v += (g**2 - v) * (1 - beta_2)
        M = mu(t + 1) * m / (1 - product(1..t + 1)) + (1 - mu(t)) * g / (1 - product(1..t))
        p -= lr * M / (sqrt(v / (1 - beta_2**t)) + epsilon)

    torch.optim's momentum_decay is schedule_decay: 0.004 there and in Keras <= 2.10, 1 since. A `mu_product`
    of None is computed from the iterations, for files that do not hold it. State: exp_avg, exp_avg_sq.

    Keras 2.11 to 2.15 multiplies the product once for each weight, not once a step: a Python counter that should prevent
    it stands still in a compiled graph (keras 2.15.0, optimizers/nadam.py, update_step). Only the weight whose turn, counted
    from 0, is the number of the step, counted from 1, leaves it as it is. `turns` says when each parameter has its turn.
    """

    moves_slots_of_all_rows = True

    def __init__(
        self,
        params: Parameters,
        learning_rate: float | Schedule = 0.001,
        *,
        schedule_decay: float = 1.0,
        turns: Sequence[int] | None = None,
        **options: Unpack[MomentOptions],
    ) -> None:
        own = {"mu_product": None, "schedule_decay": schedule_decay, "turns": turns}
        super().__init__(params, learning_rate, {**MOMENT_DEFAULTS, **own}, options)

    def slots(self, group: Group) -> Mapping[str, float]:
        """Return exp_avg and exp_avg_sq from 0."""
        return {"exp_avg": 0.0, "exp_avg_sq": 0.0}

    def update(
        self,
        group: Group,
        parameters: list[Tensor],
        gradients: list[Tensor],
        slots: Slots,
        lr: float,
    ) -> None:
        """See the class."""
        rounded = rounding_of(parameters[0].dtype)
        step = updates_done(group) + 1
        products = self._products(group, parameters, step, rounded)
        beta_1, beta_2, base = (
            float32(group["beta_1"]),
            float32(group["beta_2"]),
            float32(0.96),
        )
        now = rounded(_momentum(group, step, beta_1, base))
        following = rounded(_momentum(group, step + 1, beta_1, base))

        moments, squares = slots["exp_avg"], slots["exp_avg_sq"]
        torch._foreach_lerp_(moments, gradients, rounded(1 - beta_1))
        torch._foreach_lerp_(
            squares, torch._foreach_mul(gradients, gradients), rounded(1 - beta_2)
        )
        ahead = [following / (1 - rounded(p * following)) for p in products]
        steps = list(torch._foreach_mul(moments, ahead))
        rest_of_now = [(1 - now) / (1 - product) for product in products]
        torch._foreach_add_(steps, torch._foreach_mul(gradients, rest_of_now))
        rest = rounded(1.0 - rounded(beta_2**step))
        denominators = roots(
            torch._foreach_div(squares, rest), group["epsilon"], inside=False
        )
        subtract_ratio(parameters, steps, denominators, lr)

    @staticmethod
    def _products(
        group: Group, parameters: list[Tensor], step: int, rounded: Rounding
    ) -> list[float]:
        """Return the product up to this step as each parameter sees it, and keep that of the whole step."""
        now = _momentum(group, step, group["beta_1"], 0.96)
        before = product_so_far(group, rounded)
        group["mu_product"] = rounded(
            before * now ** _multiplied(step, _last_turn(group))
        )
        if group["turns"] is None:
            return [group["mu_product"]] * len(parameters)
        turns = of_parameters(group, parameters, "turns")
        return [rounded(before * now ** _multiplied(step, turn)) for turn in turns]


def product_so_far(group: Group, rounded: Rounding) -> float:
    """Return the product after the steps done, from their number where it is not kept."""
    if group["mu_product"] is not None:
        return float(group["mu_product"])
    # The product uses the numbers as configured, everything else their float32 roundings.
    past = (
        _momentum(group, step, group["beta_1"], 0.96)
        ** _multiplied(step, _last_turn(group))
        for step in range(1, updates_done(group) + 1)
    )
    return rounded(math.prod(past))


def _last_turn(group: Group) -> int:
    return 0 if group["turns"] is None else len(group["turns"]) - 1


def _multiplied(step: int, turn: int) -> int:
    """Return how often the product was multiplied within a step when the parameter of this turn uses it."""
    return turn + 1 - (step <= turn)


def _momentum(group: Group, step: int, beta_1: float, base: float) -> float:
    """Return mu(step)."""
    power: float = base ** (step * group["schedule_decay"])
    return beta_1 * (1.0 - 0.5 * power)
