"""Optimizers whose slots are known weight by weight: the graphs of TensorFlow name them, nothing has to be sorted out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from converters.checkpoint import ArrayInfo, NamedOptimizer
from converters.errors import UnsupportedError
from converters.optimizers.options import plan_options, used_options
from converters.optimizers.plan import OptimizerGroup, OptimizerPlan
from converters.optimizers.rules import find_rule
from converters.optimizers.stored_order import used_slots

AnyArray = NDArray[np.generic]
MIXED = frozenset({"Adadelta", "Adagrad", "Adam", "Adamax", "Ftrl", "RMSprop", "SGD"})
"""Kinds that may be in one object; torch_impl/keras_compat/several_optimizers.py has the classes."""
SEVERAL = "keras_compat.SeveralOptimizers"
"""Key of the class for optimizers of different kinds."""


def plan_named(optimizers: Sequence[NamedOptimizer], weights: Sequence[ArrayInfo]) -> OptimizerPlan:
    """Return one optimizer for all weights, with a parameter group for each of `optimizers` if there are several.

    Args:
        optimizers: the first is the main one; of different kinds they become one with a kind for each group.
        weights: that train, in the model's order.

    Raises:
        UnsupportedError: A weight has no slots, or slots of another size; kinds that are not combined.
    """
    rules = [find_rule(optimizer.kind) for optimizer in optimizers]
    owners = [_owner(optimizers, weight) for weight in weights]
    mixed = len({rules[owner].kind for owner in owners}) > 1
    if mixed and not MIXED.issuperset(rules[owner].kind for owner in owners):
        kinds = ", ".join(sorted({rules[owner].kind for owner in owners}))
        msg = (
            f"optimizers of kinds that are not combined: {kinds}; known: {', '.join(sorted(MIXED))}"
        )
        raise UnsupportedError(msg)
    groups = []
    notes: list[str] = []
    slots: dict[str, dict[int, ArrayInfo]] = {}
    for number, (optimizer, rule) in enumerate(zip(optimizers, rules, strict=True)):
        rate, options = plan_options(
            rule, "keras3", {**optimizer.config, "learning_rate": optimizer.learning_rate}, notes
        )
        places = tuple(place for place, owner in enumerate(owners) if owner == number)
        if not places:
            continue
        if mixed:
            options = {"kind": rule.kind, **options}
        number_or_none = rate if isinstance(rate, float) else None
        groups.append(OptimizerGroup(options, number_or_none, optimizer.iterations, places))
        for slot in used_slots(rule, used_options(options)):
            find = partial(_slot, optimizer, slot.key)
            slots.setdefault(slot.key, {}).update(
                {place: moved_slot(find, weights[place], slot.key) for place in places}
            )
    first = groups[0]
    everyone = [key for key, found in slots.items() if len(found) == len(weights)]
    return OptimizerPlan(
        target=SEVERAL if mixed else rules[owners[0]].target,
        options=first.options,
        learning_rate=first.learning_rate,
        iterations=first.iterations,
        slots={key: tuple(slots[key][place] for place in range(len(weights))) for key in everyone},
        partial={key: found for key, found in slots.items() if key not in everyone},
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
    slot = optimizer.slots.get(weight.name, {}).get(key)
    if slot is None:
        msg = f"the file holds no '{key}' of {weight.name!r:.200}"
        raise UnsupportedError(msg)
    return slot


def selected_weights(
    plan: OptimizerPlan, places: Mapping[str, int], weights: Sequence[ArrayInfo]
) -> OptimizerPlan:
    """Return a plan for weights in another order, or for some of them.

    Args:
        plan: for stored weights.
        places: of the stored weights in the plan, by name.
        weights: that a model has, made of stored ones.

    Raises:
        UnsupportedError: The optimizer does not train one of them, or cannot train it in its form.
    """

    def found(slot: Sequence[ArrayInfo], stored: ArrayInfo) -> ArrayInfo:
        return slot[_place(stored)]

    def _place(stored: ArrayInfo) -> int:
        if stored.name not in places:
            msg = f"the optimizer does not train {stored.name!r:.200}"
            raise UnsupportedError(msg)
        return places[stored.name]

    first = [_place(weight) for weight in weights]
    slots = {
        key: tuple(moved_slot(partial(found, slot), weight, key) for weight in weights)
        for key, slot in plan.slots.items()
    }
    own = {key: tuple(entries[at] for at in first) for key, entries in plan.for_weights.items()}
    return replace(plan, slots=slots, for_weights=own)


def moved_slot(find: Callable[[ArrayInfo], ArrayInfo], weight: ArrayInfo, key: str) -> ArrayInfo:
    """Return the slot of a weight, brought to its places as the weight was.

    Args:
        find: the stored slot of a stored array.
        weight: as the model has it.
        key: name of the slot, for messages.

    Raises:
        UnsupportedError: Numbers of the weight are repeated, or the slot is of another size.
    """
    if weight.moved is not None:
        move = weight.moved.move
        if move is None:
            msg = f"numbers of {weight.name!r:.200} are used in several places of one weight"
            raise UnsupportedError(msg)
        parts = [moved_slot(find, source, key) for source in weight.moved.sources]
        read = partial(_moved, move, parts)
        return ArrayInfo(parts[0].name, weight.shape, parts[0].dtype, read)
    slot = find(weight)
    if slot.shape == weight.shape:
        return slot
    if [size for size in slot.shape if size != 1] != [size for size in weight.shape if size != 1]:
        msg = f"'{key}' of {weight.name!r:.200} has shape {slot.shape}, the weight {weight.shape}"
        raise UnsupportedError(msg)
    # Biases of shape (1, n) become (n,): so do their slots.
    return ArrayInfo(slot.name, weight.shape, slot.dtype, partial(_reshaped, slot, weight.shape))


def _moved(move: Callable[[Sequence[AnyArray]], AnyArray], parts: Sequence[ArrayInfo]) -> AnyArray:
    return move([np.asarray(each.read()) for each in parts])


def _reshaped(slot: ArrayInfo, shape: tuple[int, ...]) -> AnyArray:
    return np.asarray(slot.read()).reshape(shape)
