"""Lamb, Adafactor and Muon: optimizers whose step for an element depends on the whole weight it lies in.

Norms do not care how a weight lies in memory. Means over its rows and products of matrices do: Adafactor and Muon take
`keras_order`, which says for each parameter how it lies in Keras, and without it they see the torch layout.

Source of the formulas: keras 3.15.1, optimizers/<name>.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Unpack

import torch
from torch import Tensor

from torch_impl.keras_compat.keras_optimizer import KerasOptimizer, Parameters, Slots
from torch_impl.keras_compat.keras_order import (
    KerasOrder,
    from_keras_order,
    in_keras_order,
)
from torch_impl.keras_compat.optimizer_options import (
    MOMENT_DEFAULTS,
    MomentOptions,
    SharedOptions,
)
from torch_impl.keras_compat.parameter_groups import (
    Group,
    decay,
    of_parameters,
    parameters_with_decay,
    updates_done,
)
from torch_impl.keras_compat.rounding import float32, rounding_of
from torch_impl.keras_compat.schedules import Schedule
from torch_impl.keras_compat.tensor_lists import adam_average


class Lamb(KerasOptimizer):
    """Adam whose step is scaled to the norm of the weight; torch.optim has no such class.

        m += (g - m) * (1 - beta_1)
        v += (g**2 - v) * (1 - beta_2)
        u = m / (1 - beta_1**t) / (sqrt(v / (1 - beta_2**t)) + epsilon)
        p -= lr * norm(p) / norm(u) * u, the ratio 1 where one of the norms is 0

    State: exp_avg (m), exp_avg_sq (v).
    """

    def __init__(
        self,
        params: Parameters,
        learning_rate: float | Schedule = 0.001,
        **options: Unpack[MomentOptions],
    ) -> None:
        super().__init__(params, learning_rate, MOMENT_DEFAULTS, options)

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
        moments, squares = slots["exp_avg"], slots["exp_avg_sq"]
        adam_average(moments, squares, gradients, group["beta_1"], group["beta_2"])
        rounded, step = rounding_of(parameters[0].dtype), updates_done(group) + 1
        rest_1 = rounded(1.0 - rounded(float32(group["beta_1"]) ** step))
        rest_2 = rounded(1.0 - rounded(float32(group["beta_2"]) ** step))
        for parameter, moment, square in zip(parameters, moments, squares, strict=True):
            change = (moment / rest_1) / ((square / rest_2).sqrt() + group["epsilon"])
            norm, length = parameter.square().sum().sqrt(), change.square().sum().sqrt()
            ratio = torch.where((norm > 0) & (length > 0), norm / length, 1.0)
            parameter.sub_(change * (ratio * lr))


class Adafactor(KerasOptimizer):
    """Adafactor, whose second moments of a matrix are a product of a column and a row.

        rate = min(lr, 1 / sqrt(t)) * max(epsilon_2, rms(p))
        b = 1 - t**beta_2_decay, q = g**2 + epsilon_1
        r = b * r + (1 - b) * mean(q, last axis), c likewise over the last axis but one
        v = r / mean(r) * c, for a vector v = b * v + (1 - b) * q
        u = g / sqrt(v)
        p -= rate * u / max(1, rms(u) / clip_threshold)

    torch.optim.Adafactor weighs its averages alike, but adds epsilon_1 to sqrt(v), of another default, and takes the last two
    axes of the torch layout. State: square_avg (v), and for matrices row (r) and column (c) in Keras's order of axes.

    Args:
        params: as for every optimizer.
        learning_rate: as for every optimizer.
        beta_2_decay: exponent of the weight of old averages.
        epsilon_1: added to squared gradients.
        epsilon_2: smallest root mean square a weight counts with.
        clip_threshold: largest root mean square of a step before the rate.
        relative_step: without it lr enters `rate` only through min(lr, 1 / sqrt(t)) as well: no difference in Keras 3.15.
        keras_order: see `KerasOrder`; None: rows and columns are those of the torch layout.
        shared: see `SharedOptions`.
    """

    def __init__(
        self,
        params: Parameters,
        learning_rate: float | Schedule = 0.001,
        *,
        beta_2_decay: float = -0.8,
        epsilon_1: float = 1e-30,
        epsilon_2: float = 1e-3,
        clip_threshold: float = 1.0,
        relative_step: bool = True,
        keras_order: KerasOrder | None = None,
        **shared: Unpack[SharedOptions],
    ) -> None:
        own = {
            "beta_2_decay": beta_2_decay,
            "epsilon_1": epsilon_1,
            "epsilon_2": epsilon_2,
        }
        own |= {"clip_threshold": clip_threshold, "relative_step": relative_step}
        super().__init__(
            params, learning_rate, {**own, "keras_order": keras_order}, shared
        )

    def slots(self, group: Group) -> Mapping[str, float]:
        """Return row, column and square_avg from 0; a vector has the last only."""
        return {"row": 0.0, "column": 0.0, "square_avg": 0.0}

    def slot_shape(self, parameter: Tensor, name: str) -> torch.Size:
        """Return the parameter's shape in Keras without its last axis for row, the last but one for column."""
        shape = in_keras_order(parameter.detach(), self._order(parameter)).shape
        if name == "row" and len(shape) > 1:
            return shape[:-1]
        if name == "column" and len(shape) > 1:
            return shape[:-2] + shape[-1:]
        return parameter.shape

    def slot_tensors(
        self, parameters: list[Tensor], names: Mapping[str, float]
    ) -> Slots:
        """Return no tensors of its own for `update`, which makes them parameter by parameter."""
        return super().slot_tensors(
            parameters, {n: v for n, v in names.items() if n not in _FACTORS}
        )

    def update(
        self,
        group: Group,
        parameters: list[Tensor],
        gradients: list[Tensor],
        slots: Slots,  # of different kinds for different parameters
        lr: float,
    ) -> None:
        """See the class."""
        rounded, step = rounding_of(parameters[0].dtype), updates_done(group) + 1
        rate = min(lr, rounded(1 / rounded(math.sqrt(step))))
        kept = rounded(1 - rounded(step ** group["beta_2_decay"]))
        orders = of_parameters(group, parameters, "keras_order")
        for parameter, gradient, order in zip(
            parameters, gradients, orders, strict=True
        ):
            weight, g = (
                in_keras_order(parameter, order),
                in_keras_order(gradient, order),
            )
            variance = self._variance(parameter, g.square() + group["epsilon_1"], kept)
            self.state[parameter]["square_avg"] = from_keras_order(
                variance, parameter, order
            )
            scale = (
                _root_mean_square(weight).clamp(min=float32(group["epsilon_2"])) * rate
            )
            change = g / variance.sqrt()
            change = change / (
                _root_mean_square(change) / group["clip_threshold"]
            ).clamp(min=1.0)
            parameter.sub_(from_keras_order(scale * change, parameter, order))

    def _variance(self, parameter: Tensor, squares: Tensor, kept: float) -> Tensor:
        """Return v, with the averages it is made of moved towards `squares`, in Keras's order of axes."""
        matrix = squares.dim() > 1
        state = self.state[parameter]
        for name in ("row", "column") if matrix else _FACTORS[2:]:
            if name not in state:
                state[name] = squares.new_zeros(self.slot_shape(parameter, name))
        if not matrix:
            average: Tensor = (
                state["square_avg"].mul_(kept).add_(squares, alpha=1 - kept)
            )
            return average
        row: Tensor = state["row"].mul_(kept).add_(squares.mean(-1), alpha=1 - kept)
        column: Tensor = (
            state["column"].mul_(kept).add_(squares.mean(-2), alpha=1 - kept)
        )
        return (row / row.mean(-1, keepdim=True)).unsqueeze(-1) * column.unsqueeze(-2)

    def _order(self, parameter: Tensor) -> Sequence[Sequence[int]] | None:
        for group in self.param_groups:
            if any(parameter is own for own in group["params"]):
                order: Sequence[Sequence[int]] | None
                [order] = of_parameters(group, [parameter], "keras_order")
                return order
        return None


_FACTORS = ("row", "column", "square_avg")


def _root_mean_square(x: Tensor) -> Tensor:
    return x.square().mean().sqrt()


class Muon(KerasOptimizer):
    """Momentum whose matrices are made nearly orthogonal; Adam for everything that is not a matrix.

        m = momentum * m + g, u = g + momentum * m with nesterov, else m
        X = u / (norm(u) + 1e-7), transposed if it has more rows than columns
        ns_steps times: A = X X', X = muon_a * X + (muon_b * A + muon_c * A A) X
        p -= lr * sqrt(max(rows, columns)) * rms_rate * X, without the two factors if rms_rate is None

    Weight decay is `weight_decay` for these, `adam_weight_decay` for the others, whose rate is lr * adam_lr_ratio.
    torch.optim.Muon computes X in bfloat16, and takes no other parameters than matrices. State: momentum_buffer, and
    for the others exp_avg, exp_avg_sq.

    Args:
        params: as for every optimizer.
        learning_rate: as for every optimizer.
        adam_beta_1: beta_1 of Adam.
        adam_beta_2: beta_2 of Adam.
        adam_weight_decay: decoupled weight decay of the parameters that Adam updates.
        epsilon: of Adam.
        muon_a: coefficient of X.
        muon_b: coefficient of A X.
        muon_c: coefficient of A A X.
        adam_lr_ratio: factor on the learning rate of Adam.
        momentum: share of m that stays.
        ns_steps: iterations.
        nesterov: see the formula.
        rms_rate: see the formula.
        with_adam: for each parameter whether Adam updates it. Keras decides by the names of the legacy weights, which a
            converted file has done; None: whatever does not have two axes.
        keras_order: see `KerasOrder`.
        shared: see `SharedOptions`.
    """

    def __init__(
        self,
        params: Parameters,
        learning_rate: float | Schedule = 0.001,
        *,
        adam_beta_1: float = 0.9,
        adam_beta_2: float = 0.999,
        adam_weight_decay: float | None = 0.004,
        epsilon: float = 1e-7,
        muon_a: float = 3.4445,
        muon_b: float = -4.7750,
        muon_c: float = 2.0315,
        adam_lr_ratio: float = 1.0,
        momentum: float = 0.95,
        ns_steps: int = 5,
        nesterov: bool = True,
        rms_rate: float | None = 0.2,
        with_adam: Sequence[bool] | None = None,
        keras_order: KerasOrder | None = None,
        **shared: Unpack[SharedOptions],
    ) -> None:
        own = {
            "adam_beta_1": adam_beta_1,
            "adam_beta_2": adam_beta_2,
            "adam_weight_decay": adam_weight_decay,
            "epsilon": epsilon,
            "muon_a": muon_a,
            "muon_b": muon_b,
            "muon_c": muon_c,
            "adam_lr_ratio": adam_lr_ratio,
            "momentum": momentum,
            "ns_steps": ns_steps,
            "nesterov": nesterov,
            "rms_rate": rms_rate,
            "with_adam": with_adam,
            "keras_order": keras_order,
        }
        shared.setdefault("weight_decay", 0.004)
        super().__init__(params, learning_rate, own, shared)

    def slots(self, group: Group) -> Mapping[str, float]:
        """Return momentum_buffer, or exp_avg and exp_avg_sq for Adam, all from 0."""
        return {"momentum_buffer": 0.0, "exp_avg": 0.0, "exp_avg_sq": 0.0}

    def slot_tensors(
        self, parameters: list[Tensor], names: Mapping[str, float]
    ) -> Slots:
        """Return the tensors that every parameter has; `update` asks for those of the two kinds by themselves."""
        own = set(names) == set(self.slots({}))
        return {} if own else super().slot_tensors(parameters, names)

    def decay_weights(self, group: Group, parameters: list[Tensor], lr: float) -> None:
        """Subtract what the weight decay of each kind takes."""
        for kind, weight_decay in zip(
            _by_kind(group, parameters),
            (group["weight_decay"], group["adam_weight_decay"]),
            strict=True,
        ):
            if weight_decay is not None:
                decay(parameters_with_decay(group, kind), weight_decay, lr)

    def update(
        self,
        group: Group,
        parameters: list[Tensor],
        gradients: list[Tensor],
        slots: Slots,  # of different kinds for different parameters
        lr: float,
    ) -> None:
        """See the class."""
        found = dict(zip(map(id, parameters), gradients, strict=True))
        matrices, others = _by_kind(group, parameters)
        if others:
            self._adam(group, others, [found[id(p)] for p in others], lr)
        buffers = self.slot_tensors(matrices, {"momentum_buffer": 0.0})[
            "momentum_buffer"
        ]
        orders = of_parameters(group, matrices, "keras_order")
        for parameter, buffer, order in zip(matrices, buffers, orders, strict=True):
            gradient = found[id(parameter)]
            buffer.add_(gradient + buffer * (group["momentum"] - 1))
            direction = (
                gradient + group["momentum"] * buffer if group["nesterov"] else buffer
            )
            change = lr * _orthogonal(in_keras_order(direction, order), group)
            if group["rms_rate"] is not None:
                change = (
                    change * float32(math.sqrt(max(change.shape))) * group["rms_rate"]
                )
            parameter.sub_(from_keras_order(change, parameter, order))

    def _adam(
        self, group: Group, parameters: list[Tensor], gradients: list[Tensor], lr: float
    ) -> None:
        slots = self.slot_tensors(parameters, {"exp_avg": 0.0, "exp_avg_sq": 0.0})
        moments, squares = slots["exp_avg"], slots["exp_avg_sq"]
        adam_average(
            moments, squares, gradients, group["adam_beta_1"], group["adam_beta_2"]
        )
        rounded, step = rounding_of(parameters[0].dtype), updates_done(group) + 1
        rest_1 = rounded(1.0 - rounded(float32(group["adam_beta_1"]) ** step))
        rest_2 = rounded(1.0 - rounded(float32(group["adam_beta_2"]) ** step))
        rate = rounded(lr * group["adam_lr_ratio"])
        step_size = rounded(rounded(rate * rounded(math.sqrt(rest_2))) / rest_1)
        for parameter, moment, square in zip(parameters, moments, squares, strict=True):
            parameter.sub_(moment * step_size / (square.sqrt() + group["epsilon"]))


def _by_kind(
    group: Group, parameters: list[Tensor]
) -> tuple[list[Tensor], list[Tensor]]:
    """Return the matrices that Muon updates, and what Adam does."""
    chosen = of_parameters(group, parameters, "with_adam")
    adam = [
        p.dim() != 2 if own is None else own
        for p, own in zip(parameters, chosen, strict=True)
    ]
    pairs = list(zip(parameters, adam, strict=True))
    return [p for p, own in pairs if not own], [p for p, own in pairs if own]


def _orthogonal(matrix: Tensor, group: Group) -> Tensor:
    """Return a matrix with the singular vectors of `matrix` and singular values near 1 (Newton-Schulz)."""
    a: float = group["muon_a"]
    b: float = group["muon_b"]
    c: float = group["muon_c"]
    tall = matrix.shape[-2] > matrix.shape[-1]
    x: Tensor = matrix.mT if tall else matrix
    x = x / (torch.linalg.matrix_norm(x) + 1e-7)
    for _ in range(group["ns_steps"]):
        product = x @ x.mT
        x = a * x + (b * product + c * product @ product) @ x
    result: Tensor = x.mT if tall else x
    return result
