"""Optimizers of torch.optim in place of those of Keras, with the state that means the same, and what changes.

A training that goes on in them is not the one that Keras would have continued: `Stock.changes` says where the formulas
part. `optimizers.py` has the classes that continue it exactly.

Source of the formulas: torch 2.13.0, optim/<name>.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.optim import Optimizer

from torch_impl.keras_compat.keras_optimizer import KerasOptimizer
from torch_impl.keras_compat.nadam import product_so_far
from torch_impl.keras_compat.parameter_groups import Group
from torch_impl.keras_compat.rounding import float32

LOST_OPTIONS = {
    "clipnorm": "clip every gradient to its norm yourself",
    "global_clipnorm": "clip the gradients yourself: torch.nn.utils.clip_grad_norm_",
    "clipvalue": "clip the gradients yourself: torch.nn.utils.clip_grad_value_",
    "use_ema": "averages of the weights are not kept: torch.optim.swa_utils.AveragedModel",
    "decay": "the learning rate stays as it is: torch.optim.lr_scheduler",
    "schedule": "the learning rate stays as it is: torch.optim.lr_scheduler",
    "gradient_accumulation_steps": "every step is an update",
    "loss_scale_factor": "the loss is not scaled: torch.amp.GradScaler",
    "dynamic_scale": "the loss is not scaled: torch.amp.GradScaler",
    "constraints": "weights are not constrained after a step",
    "row_wise": "rows of embeddings that a batch does not look up move with their momentum, in Keras 2 they stay",
    "regularization": "add the penalties on the weights to the loss",
}
"""Options that no class of torch.optim has, with what is left to do."""


class Stock(NamedTuple):
    """An optimizer of torch.optim, and what is other than in Keras."""

    optimizer: Optimizer
    changes: tuple[str, ...]


class _Class(NamedTuple):
    """How a class of Keras becomes one of torch: its name, its arguments, its state, and what changes."""

    name: str
    arguments: Callable[[Group], Mapping[str, object]]
    factors: Callable[
        [Group], Mapping[str, float]
    ]  # of the state tensors that keep their names
    changes: Callable[[Group], list[str]]


def stock_optimizer(optimizer: KerasOptimizer) -> Stock:
    """Return the optimizer of torch.optim for the same parameters that is nearest, with copies of the state.

    Raises:
        ValueError: torch.optim has none, or none with such options.
    """
    kind = type(optimizer).__name__
    name, changes = stock_changes(kind, optimizer.param_groups)
    found = CLASSES[kind]
    groups = [
        {
            "params": group["params"],
            "lr": optimizer.learning_rate(group),
            **found.arguments(group),
        }
        for group in optimizer.param_groups
    ]
    stock = cast("Callable[[list[Group]], Optimizer]", getattr(torch.optim, name))(
        groups
    )
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            state = optimizer.state.get(parameter)
            if state:
                stock.state[parameter] = _state(group, state, found.factors(group))
    return Stock(stock, changes)


def stock_changes(kind: str, groups: Sequence[Group]) -> tuple[str, tuple[str, ...]]:
    """Return which class of torch.optim is nearest, and what it does otherwise than Keras's.

    Args:
        kind: class of Keras.
        groups: the parameter groups of such an optimizer.

    Raises:
        ValueError: torch.optim has none, or none with such options.
    """
    if kind not in CLASSES:
        message = f"torch.optim has nothing that updates as Keras's {kind}; there is: {', '.join(CLASSES)}"
        raise ValueError(message)
    found = CLASSES[kind]
    changes = []
    for group in groups:
        if group["weight_decay"] and kind not in ("Adam", "AdamW"):
            message = f"torch.optim.{found.name} adds weight decay to the gradient, Keras's {kind} subtracts it from the weight"
            raise ValueError(message)
        if group.get("momentum") and not group["lr"]:
            message = "the momentum of a learning rate of 0 cannot be carried over"
            raise ValueError(message)
        changes += found.changes(group)
        changes += [
            f"{name}: {what}" for name, what in LOST_OPTIONS.items() if group[name]
        ]
    decays = kind == "AdamW" or any(group["weight_decay"] for group in groups)
    name = "AdamW" if found.name == "Adam" and decays else found.name
    return name, tuple(dict.fromkeys(changes))


def _state(
    group: Group, state: Mapping[str, Tensor], factors: Mapping[str, float]
) -> dict[str, Any]:
    """Return the state of one parameter in torch's words."""
    result: dict[str, Any] = {
        name: state[name] * factor for name, factor in factors.items() if name in state
    }
    result["step"] = torch.tensor(float(group["iterations"]))
    if "mu_product" in group:
        result["mu_product"] = torch.tensor(product_so_far(group, float32))
    return result


def _betas(group: Group) -> dict[str, object]:
    return {"betas": (group["beta_1"], group["beta_2"]), "eps": group["epsilon"]}


def _adam(group: Group) -> Mapping[str, object]:
    decay = group["weight_decay"] or 0.0
    return {**_betas(group), "amsgrad": group["amsgrad"], "weight_decay": decay}


def _rmsprop(group: Group) -> Mapping[str, object]:
    options = {"alpha": group["rho"], "eps": group["epsilon"]}
    return {**options, "momentum": group["momentum"], "centered": group["centered"]}


def _inside_root(group: Group) -> list[str]:
    inside = group["epsilon_inside_root"]
    return (
        ["epsilon is added to the root, in Keras it is inside of it"] if inside else []
    )


def _buffer(group: Group) -> list[str]:
    if not group["momentum"]:
        return []
    return [
        "steps of the past change with the learning rate, in Keras they keep the one they were made with"
    ]


CLASSES: Mapping[str, _Class] = {
    "Adam": _Class(
        "Adam",
        _adam,
        lambda group: dict.fromkeys(("exp_avg", "exp_avg_sq", "max_exp_avg_sq"), 1.0),
        lambda group: ["epsilon is added after the bias correction, in Keras before"],
    ),
    "SGD": _Class(
        "SGD",
        lambda group: {"momentum": group["momentum"], "nesterov": group["nesterov"]},
        lambda group: (
            {"momentum_buffer": -1.0 / group["lr"]} if group["momentum"] else {}
        ),
        _buffer,
    ),
    "RMSprop": _Class(
        "RMSprop",
        _rmsprop,
        lambda group: {
            "square_avg": 1.0,
            "grad_avg": 1.0,
            **({"momentum_buffer": 1.0 / group["lr"]} if group["momentum"] else {}),
        },
        lambda group: _inside_root(group) + _buffer(group),
    ),
    "Adagrad": _Class(
        "Adagrad",
        lambda group: {
            "eps": group["epsilon"],
            "initial_accumulator_value": group["initial_accumulator_value"],
        },
        lambda group: {"sum": 1.0},
        _inside_root,
    ),
    "Adadelta": _Class(
        "Adadelta",
        lambda group: {"rho": group["rho"], "eps": group["epsilon"]},
        lambda group: {"square_avg": 1.0, "acc_delta": 1.0},
        lambda group: [],
    ),
    "Adamax": _Class(
        "Adamax",
        _betas,
        lambda group: {"exp_avg": 1.0, "exp_inf": 1.0},
        lambda group: ["epsilon is inside of the maximum, in Keras outside"],
    ),
    "Nadam": _Class(
        "NAdam",
        lambda group: {**_betas(group), "momentum_decay": group["schedule_decay"]},
        lambda group: {"exp_avg": 1.0, "exp_avg_sq": 1.0},
        lambda group: (
            [
                "the product of momenta grows once a step, in Keras 2 once for each weight"
            ]
            if group["turns"]
            else []
        ),
    ),
}
CLASSES = {**CLASSES, "AdamW": CLASSES["Adam"]}
