"""What the names of stored optimizer variables tell: who wrote them, which slot and which weight they belong to.

training/Adam/Variable_3:0              standalone Keras: nothing but the order
training/Adam/m_0_1:0                   standalone Keras 2.3: the slot
training/Adam/dense/kernel/m:0          Keras <= 2.10 in TensorFlow: weight and slot
Adam/m/dense/kernel:0                   Keras 2.11 to 2.15: slot and weight
adam/sequential_dense_kernel_momentum   Keras 3, .h5
optimizer/vars/7                        .weights.h5 and .keras: nothing but the order
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from converters.checkpoint import ArrayInfo, OptimizerState
from converters.optimizers.slots import Slot

Dialect = Literal["standalone", "legacy", "keras2", "keras3"]
"""standalone: Keras without TensorFlow's name, to 2.3; legacy: Keras <= 2.10; keras2: 2.11 to 2.15; keras3."""


def _last(name: str) -> str:
    """Return the last component without the output number: "m" for "Adam/dense/kernel/m:0"."""
    return name.rsplit("/", 1)[-1].split(":", 1)[0]


def _tokens(name: str) -> tuple[str, ...]:
    """Return the words of a name: Keras 3 joins paths with underscores, so these divide words as well."""
    return tuple(re.split(r"[/_]+", name.split(":", 1)[0]))


def dialect_of(state: OptimizerState) -> Dialect:
    """Return who wrote the variables, by their names first, since class names stayed the same."""
    if state.generation == 3:
        return "keras3"
    last = {_last(variable.name) for variable in state.variables}
    if "iter" in last:
        return "legacy"
    if state.generation == 1 or "iterations" in last:
        return "standalone"
    if any(re.fullmatch(r"Variable(_\d+)?", name) for name in last):
        return "standalone"
    return "legacy" if state.legacy else "keras2"


def are_numbered(variables: Sequence[ArrayInfo]) -> bool:
    """Return whether the names are numbers only, so that nothing but the order is known."""
    return all(_last(variable.name).isdigit() for variable in variables)


def mentions(variable: ArrayInfo, slot: Slot) -> bool:
    """Return whether the variable's name carries one of the slot's names."""
    tokens = _tokens(variable.name)
    for name in slot.names:
        words = tuple(name.split("_"))
        if tokens[-len(words) :] == words or name in variable.name.split("/"):
            return True
        # Standalone Keras 2.3 counts: m_0_1 is the slot m of weight 0.
        if re.fullmatch(rf"{name}_\d+(_\d+)?", _last(variable.name)):
            return True
    return False


def _without_slot(variable: ArrayInfo, slot: Slot) -> tuple[str, ...]:
    """Return the words of the name without the slot's own at the end."""
    tokens = _tokens(variable.name)
    for name in slot.names:
        words = tuple(name.split("_"))
        if tokens[-len(words) :] == words:
            return tokens[: -len(words)]
    return tokens


def weight_order(
    variables: Sequence[ArrayInfo], slot: Slot, weights: Sequence[tuple[str, tuple[int, ...]]]
) -> list[int] | None:
    """Return which weight each variable of a slot belongs to, or None where the names do not settle it.

    A variable belongs to the weight whose stored name ends in most of the same words ("dense_1/kernel" is
    three). It is settled only if every variable finds one weight, no two the same, with equal shapes.

    Args:
        variables: of one slot, in stored order, as many as weights.
        slot: the slot they hold.
        weights: stored name and shape, in model order.
    """
    endings: dict[tuple[str, ...], list[int]] = {}
    for index, (name, _) in enumerate(weights):
        tokens = _tokens(name)
        for start in range(len(tokens) - 1):
            endings.setdefault(tokens[start:], []).append(index)
    order: list[int] = []
    for variable in variables:
        tokens = _without_slot(variable, slot)
        found = next((endings[tokens[s:]] for s in range(len(tokens)) if tokens[s:] in endings), [])
        if len(found) != 1 or weights[found[0]][1] != variable.shape:
            return None
        order.append(found[0])
    return order if len(set(order)) == len(weights) else None
