"""Optimizers whose slots are known weight by weight: the graphs of TensorFlow name them, nothing has to be sorted out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from converters.checkpoint import ArrayInfo, NamedOptimizer
from converters.errors import UnsupportedError
from converters.optimizers.options import plan_options, used_options
from converters.optimizers.plan import OptimizerGroup, OptimizerPlan
from converters.optimizers.rules import find_rule
from converters.optimizers.stored_order import used_slots


def plan_named(optimizers: Sequence[NamedOptimizer], weights: Sequence[ArrayInfo]) -> OptimizerPlan:
    """Return one optimizer for all weights, with a parameter group for each of `optimizers` if there are several.

    Args:
        optimizers: of one kind; the first is the main one.
        weights: that train, in the model's order.

    Raises:
        UnsupportedError: A weight has no slots, or slots of another size.
    """
    rule = find_rule(optimizers[0].kind)
    owners = [_owner(optimizers, weight) for weight in weights]
    slots: dict[str, tuple[ArrayInfo, ...]] = {}
    groups = []
    notes: list[str] = []
    for number, optimizer in enumerate(optimizers):
        rate, options = plan_options(
            rule, "keras3", {**optimizer.config, "learning_rate": optimizer.learning_rate}, notes
        )
        places = tuple(place for place, owner in enumerate(owners) if owner == number)
        if places:
            groups.append(
                OptimizerGroup(
                    options, rate if isinstance(rate, float) else None, optimizer.iterations, places
                )
            )
    needed = [slot.key for slot in used_slots(rule, used_options(groups[0].options))]
    for key in needed:
        slots[key] = tuple(
            _slot(optimizers[owner], key, weight)
            for owner, weight in zip(owners, weights, strict=True)
        )
    first = groups[0]
    return OptimizerPlan(
        target=rule.target,
        options=first.options,
        learning_rate=first.learning_rate,
        iterations=first.iterations,
        slots=slots,
        notes=tuple(notes),
        groups=tuple(groups) if len(groups) > 1 else (),
    )


def _owner(optimizers: Sequence[NamedOptimizer], weight: ArrayInfo) -> int:
    for number, optimizer in enumerate(optimizers):
        if weight.name in optimizer.slots:
            return number
    msg = f"no optimizer of the graph trains {weight.name!r:.200}"
    raise UnsupportedError(msg)


def _slot(optimizer: NamedOptimizer, key: str, weight: ArrayInfo) -> ArrayInfo:
    slot = optimizer.slots[weight.name].get(key)
    if slot is None:
        msg = f"the file holds no '{key}' of {weight.name!r:.200}"
        raise UnsupportedError(msg)
    if slot.shape == weight.shape:
        return slot
    if [size for size in slot.shape if size != 1] != [size for size in weight.shape if size != 1]:
        msg = f"'{key}' of {weight.name!r:.200} has shape {slot.shape}, the weight {weight.shape}"
        raise UnsupportedError(msg)
    # Biases of shape (1, n) become (n,): so do their slots.
    return ArrayInfo(slot.name, weight.shape, slot.dtype, partial(_reshaped, slot, weight.shape))


def _reshaped(slot: ArrayInfo, shape: tuple[int, ...]) -> np.ndarray:
    return np.asarray(slot.read()).reshape(shape)
