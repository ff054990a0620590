"""The optimizers of TensorFlow 1 sessions (`tf.train`), with its formulas and its state.

torch.optim and Keras compute otherwise: Adam's epsilon is added before the bias correction here, and its powers of beta
are float32 numbers that are multiplied on at every step, in float64 training, too. The names of the state are those
that torch users know; checkpoints of TensorFlow 1 call them `<variable>/Adam` and `<variable>/Adam_1`,
`<variable>/RMSProp` and `<variable>/RMSProp_1`.

Source: tensorflow 2.21, python/training/{adam,rmsprop}.py and core/kernels/training_ops.cc; 1.12 has the same.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, overload

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from torch_impl.keras_compat.optimizers import adam_update


class SessionOptimizer(Optimizer, ABC):
    """Base: state from constants, gradients as they are given.

    Args:
        params: tensors, all of one dtype.
        defaults: of `param_groups`.
        slots: name of a state tensor to its first value.
    """

    def __init__(
        self, params: Iterable[Tensor], defaults: dict[str, Any], slots: Mapping[str, float]
    ) -> None:
        super().__init__(params, defaults)
        for group in self.param_groups:
            for parameter in group["params"]:
                self.state[parameter] = {
                    name: torch.full_like(parameter, value, requires_grad=False)
                    for name, value in slots.items()
                }

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Do one step with the gradients that the parameters have; those without one stay."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            self.update(group, parameters, [p.grad for p in parameters])
        return loss

    @torch.no_grad()
    def apply_gradients(self, gradients: list[Tensor]) -> None:
        """Do one step with these gradients of all parameters, in their order."""
        [group] = self.param_groups
        self.update(group, group["params"], gradients)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a saved state; numbers that a saved group does not name stay as they are.

        Checkpoints of TensorFlow 1 that come without their graph have no learning rate.
        """
        groups = [
            {**{name: value for name, value in own.items() if name != "params"}, **saved}
            for own, saved in zip(self.param_groups, state_dict["param_groups"], strict=True)
        ]
        super().load_state_dict({**state_dict, "param_groups": groups})

    @abstractmethod
    def update(
        self, group: dict[str, Any], parameters: list[Tensor], gradients: list[Tensor]
    ) -> None:
        """Apply the formula in place."""

    def slot(self, name: str, parameters: list[Tensor]) -> list[Tensor]:
        """Return one state tensor of each parameter."""
        return [self.state[parameter][name] for parameter in parameters]


class AdamOptimizer(SessionOptimizer):
    """Adam of `tf.train`.

        m += (g - m) * (1 - beta1)
        v += (g^2 - v) * (1 - beta2)
        p -= learning_rate * sqrt(1 - beta2^t) / (1 - beta1^t) * m / (sqrt(v) + epsilon)

    State: exp_avg (m), exp_avg_sq (v); in `param_groups` beta1_power and beta2_power (beta^(t+1) after t steps).

    Args:
        params: tensors, all of one dtype.
        learning_rate: of the formula.
        beta1: decay of m.
        beta2: decay of v.
        epsilon: of the formula.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        learning_rate: float = 0.001,
        *,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
    ) -> None:
        # The session keeps all of these as float32, whatever the dtype of the weights.
        defaults = {
            "learning_rate": _float32(learning_rate),
            "beta1": _float32(beta1),
            "beta2": _float32(beta2),
            "epsilon": _float32(epsilon),
            "beta1_power": _float32(beta1),
            "beta2_power": _float32(beta2),
        }
        super().__init__(params, defaults, {"exp_avg": 0.0, "exp_avg_sq": 0.0})

    def update(
        self, group: dict[str, Any], parameters: list[Tensor], gradients: list[Tensor]
    ) -> None:
        """See the class."""
        if not parameters:
            return
        # The same formula as Keras has; only the step size is made from other numbers.
        adam_update(
            parameters,
            gradients,
            self.slot("exp_avg", parameters),
            self.slot("exp_avg_sq", parameters),
            self.step_size(),
            beta_1=group["beta1"],
            beta_2=group["beta2"],
            epsilon=group["epsilon"],
        )
        self.advance()

    def step_size(self) -> float:
        """Return learning_rate * sqrt(1 - beta2^t) / (1 - beta1^t) of the next step, rounded as a session does."""
        [group] = self.param_groups
        rounded = _rounding(group["params"][0].dtype)
        rest1, rest2 = (rounded(1.0 - group[name]) for name in ("beta1_power", "beta2_power"))
        return rounded(rounded(group["learning_rate"] * rounded(math.sqrt(rest2))) / rest1)

    def advance(self) -> None:
        """Multiply the powers of beta on, as every step does."""
        [group] = self.param_groups
        for beta in ("beta1", "beta2"):
            group[f"{beta}_power"] = _float32(group[f"{beta}_power"] * group[beta])


class RMSPropOptimizer(SessionOptimizer):
    """RMSProp of `tf.train`, epsilon inside the root.

        s += (g^2 - s) * (1 - decay)
        b = momentum * b + learning_rate * g / sqrt(s + epsilon)
        p -= b

    State: square_avg (s, from 1), momentum_buffer (b).

    Args:
        params: tensors, all of one dtype.
        learning_rate: of the formula.
        decay: of s.
        momentum: of b.
        epsilon: of the formula.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        learning_rate: float = 0.001,
        *,
        decay: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-10,
    ) -> None:
        defaults = {
            "learning_rate": _float32(learning_rate),
            "decay": _float32(decay),
            "momentum": _float32(momentum),
            "epsilon": _float32(epsilon),
        }
        super().__init__(params, defaults, {"square_avg": 1.0, "momentum_buffer": 0.0})

    def update(
        self, group: dict[str, Any], parameters: list[Tensor], gradients: list[Tensor]
    ) -> None:
        """See the class."""
        if not parameters:
            return
        rounded = _rounding(parameters[0].dtype)
        squares = self.slot("square_avg", parameters)
        buffers = self.slot("momentum_buffer", parameters)
        products = torch._foreach_mul(gradients, gradients)
        torch._foreach_lerp_(squares, products, rounded(1.0 - group["decay"]))
        roots = torch._foreach_add(squares, group["epsilon"])
        torch._foreach_sqrt_(roots)
        torch._foreach_mul_(buffers, group["momentum"])
        torch._foreach_addcdiv_(buffers, gradients, list(roots), group["learning_rate"])
        torch._foreach_sub_(parameters, buffers)


def _float32(value: float) -> float:
    return float(np.float32(value))


def _rounding(dtype: torch.dtype) -> Callable[[float], float]:
    """Return what rounds a number as arithmetic in this dtype does."""
    return _float32 if dtype == torch.float32 else float
