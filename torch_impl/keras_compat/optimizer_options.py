"""The options that Keras optimizers share, with their defaults: of all, and of those that average gradients and squares.

Hyper-parameters carry their Keras names. `keras_optimizer.py` says what the shared ones do; source as there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from torch_impl.keras_compat.constraints import Constraint


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
        gradient_accumulation_steps: calls of `step` that make one update with the mean of their gradients.
        loss_scale_factor: factor on the loss (`scale_loss`), which the gradients are divided by.
        dynamic_scale: the same, following the gradients as Keras's LossScaleOptimizer does; 2**15 is its start.
        scaled_steps: steps since `dynamic_scale` changed.
        dynamic_growth_steps: steps after which it is doubled.
        smallest_scale: it is not halved below this; 1 in Keras 2.
        constraints: for each parameter of the group what Keras's `kernel_constraint` sets it to after a step
            (`constraints.py`), or None.
        without_weight_decay: places in the group of parameters that `weight_decay` leaves alone
            (`exclude_from_weight_decay`).
        row_wise: places in the group of embeddings whose rows only move in steps that look them up (`batch_rows.py`).
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
    gradient_accumulation_steps: int | None
    loss_scale_factor: float | None
    dynamic_scale: float | None
    scaled_steps: int
    dynamic_growth_steps: int
    smallest_scale: float
    without_weight_decay: Sequence[int]
    row_wise: Sequence[int]
    constraints: Sequence[Constraint | None] | None


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
    "gradient_accumulation_steps": None,
    "loss_scale_factor": None,
    "dynamic_scale": None,
    "scaled_steps": 0,
    "dynamic_growth_steps": 2000,
    "smallest_scale": 0.0,
    "without_weight_decay": (),
    "row_wise": (),
    "constraints": None,
}


class MomentOptions(SharedOptions, total=False):
    """Options of the optimizers that average the gradients and their squares.

    Attributes:
        beta_1: share of the old average of the gradients that stays at each update.
        beta_2: the same for the squares, or for what the optimizer has in their place.
        epsilon: keeps the divisor away from 0; where it is added is each optimizer's own.
    """

    beta_1: float
    beta_2: float
    epsilon: float


MOMENT_DEFAULTS: MomentOptions = {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}
