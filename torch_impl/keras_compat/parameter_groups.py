"""What a parameter group of a Keras optimizer says, and what is done to gradients and weights because of it.

`keras_optimizer.py` has the group's options and calls these functions in Keras's order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from torch_impl.keras_compat.gradient_clipping import (
    clip_each_norm,
    clip_each_value,
    clip_global_norm,
)
from torch_impl.keras_compat.rounding import float32
from torch_impl.keras_compat.schedules import learning_rate_at, plain_schedule

# A parameter group maps option names to plain data and "params" to tensors, as torch.optim defines it.
Group = dict[str, Any]


def updates_done(group: Group) -> int:
    """Return the updates done: the calls of `step`, divided by those that make one update."""
    iterations: int = group["iterations"]
    return iterations // (group["gradient_accumulation_steps"] or 1)


def of_parameters(group: Group, parameters: list[Tensor], option: str) -> list[Any]:
    """Return the entries of an option that has one for each parameter of the group; None for all where it is unset."""
    if group[option] is None:
        return [None] * len(parameters)
    entries = dict(zip(map(id, group["params"]), group[option], strict=True))
    return [entries[id(parameter)] for parameter in parameters]


def parameters_with_decay(group: Group, parameters: list[Tensor]) -> list[Tensor]:
    """Return those of `parameters` that weight decay acts on."""
    if not group["without_weight_decay"]:
        return parameters
    excluded = {id(group["params"][place]) for place in group["without_weight_decay"]}
    return [parameter for parameter in parameters if id(parameter) not in excluded]


def decay(parameters: list[Tensor], weight_decay: float, lr: float) -> None:
    """Subtract learning_rate * weight_decay * p from every parameter p, in place."""
    if parameters:
        # p + (-wd * lr) * p, not p * (1 - wd * lr): the factor next to 1 would lose most digits in float32.
        torch._foreach_add_(parameters, parameters, alpha=-float32(weight_decay) * lr)


def regularize(
    group: Group, parameters: list[Tensor], gradients: list[Tensor]
) -> list[Tensor]:
    """Return gradient + l1 * sign(p) + 2 * l2 * p for the parameters that have factors."""
    factors = dict(zip(map(id, group["params"]), group["regularization"], strict=True))
    result = []
    for parameter, gradient in zip(parameters, gradients, strict=True):
        l1, l2 = factors[id(parameter)]
        added = gradient + 2 * l2 * parameter if l2 else gradient
        result.append(added + l1 * parameter.sign() if l1 else added)
    return result


def clip_gradients(group: Group, gradients: list[Tensor]) -> list[Tensor]:
    """Return the gradients clipped as the group's options say."""
    if group["clipnorm"]:
        return clip_each_norm(gradients, group["clipnorm"])
    if group["global_clipnorm"]:
        return clip_global_norm(gradients, group["global_clipnorm"])
    if group["clipvalue"]:
        return clip_each_value(gradients, group["clipvalue"])
    return gradients


def split_learning_rate(group: Group) -> None:
    """Replace `learning_rate`, a number or a schedule, by `lr` and `schedule`."""
    rate = group.pop("learning_rate")
    if isinstance(rate, Mapping):
        group["schedule"] = plain_schedule(rate)
        group["lr"] = learning_rate_at(group["schedule"], group["iterations"])
    else:
        group["schedule"], group["lr"] = None, float(rate)


def check_group(group: Group) -> None:
    """Raise ValueError where the options of a group contradict each other or its parameters differ in dtype."""
    clips = [
        n for n in ("clipnorm", "global_clipnorm", "clipvalue") if group[n] is not None
    ]
    if len(clips) > 1:
        message = f"only one clipping may be set, found {', '.join(clips)}"
        raise ValueError(message)
    if group["learning_rate_dtype"] not in ("float32", "float64"):
        message = f"learning_rate_dtype is {group['learning_rate_dtype']!r}, not 'float32' or 'float64'"
        raise ValueError(message)
    dtypes = {parameter.dtype for parameter in group["params"]}
    if len(dtypes) > 1:
        message = f"the parameters of one group have dtypes {sorted(map(str, dtypes))}; make one group for each"
        raise ValueError(message)
