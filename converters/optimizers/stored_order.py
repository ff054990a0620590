"""Splits the stored variables of an optimizer into counter, learning rate, averages and slots.

The table of a rule says in which order the slots lie; their number says which optional ones are there; shapes and, where
they tell something, names must agree. Nothing is left over: a variable is used or ignored with a reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product

from converters.checkpoint import ArrayInfo
from converters.errors import MismatchError
from converters.optimizers.rules import OptimizerRule
from converters.optimizers.slots import Slot
from converters.optimizers.stored_names import Dialect, mentions, weight_order

Weights = Sequence[tuple[str, tuple[int, ...]]]
Blocks = tuple[tuple[Slot, ...], ...]

AVERAGE = Slot("average", ("average",), when="use_ema")
ACCUMULATOR = Slot(
    "gradient_accumulator", ("gradient_accumulator",), when="gradient_accumulation_steps"
)
LEADING = (AVERAGE, ACCUMULATOR)
"""Slots of every optimizer, stored before its own."""
PLACEHOLDER_SHAPE = (1,)
"""Standalone Keras 2.2 and 2.3 store one zero for each vhat that is not used."""
MAX_LISTED = 8
"""Lines of a message that lists arrays."""


@dataclass(slots=True)
class Split:
    """The stored variables, sorted by purpose; slots are in the order of the weights."""

    iterations: ArrayInfo | None = None
    learning_rate: ArrayInfo | None = None
    number: ArrayInfo | None = None
    slots: dict[str, tuple[ArrayInfo, ...]] = field(default_factory=dict)
    rest: list[ArrayInfo] = field(default_factory=list)  # slots of a rule that has no blocks
    ignored: list[tuple[ArrayInfo, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def split_variables(
    rule: OptimizerRule,
    dialect: Dialect,
    variables: Sequence[ArrayInfo],
    weights: Weights,
    *,
    used: frozenset[str],
    scheduled: bool = False,
) -> Split:
    """Return the variables sorted by purpose.

    Args:
        rule: of the optimizer.
        dialect: who wrote the file.
        variables: in stored order.
        weights: stored name and shape of the trainable weights, in model order.
        used: options that are on ("amsgrad", "momentum", "use_ema"); a slot whose option is off is ignored.
        scheduled: the learning rate is a schedule, so that none is stored.

    Raises:
        MismatchError: Numbers, shapes or names do not agree with the weights; found and needed are listed.
    """
    split = Split()
    body = list(variables)
    _take_numbers(body, dialect, split, scheduled=scheduled)
    if rule.number is not None:
        _take_own_number(body, dialect, weights, split)
    if not body:
        if variables and used_slots(rule, used):
            split.notes.append("the file has no slots: the optimizer had not made its first step")
        return split
    if rule.choose_kind is not None:
        end = len(weights) * len([slot for slot in LEADING if slot.when in used])
        body, split.rest = body[:end], body[end:]
    blocks = _choose_blocks(rule, dialect, len(body), len(weights), used)
    if blocks is None:
        message = _count_message(rule, dialect, body, weights)
        raise MismatchError(message)
    start = 0
    for block in blocks:
        end = start + len(block) * len(weights)
        for slot, found in _by_slot(block, body[start:end], len(weights)):
            _assign(slot, found, weights, used, split)
        start = end
    _check_names(rule, split)
    return split


def used_slots(rule: OptimizerRule, used: frozenset[str]) -> tuple[Slot, ...]:
    """Return the slots that the options in `used` need."""
    slots = (slot for block in rule.blocks for slot in block)
    return tuple(slot for slot in slots if slot.when is None or slot.when in used)


def _take_numbers(
    body: list[ArrayInfo], dialect: Dialect, split: Split, *, scheduled: bool
) -> None:
    """Move the iteration counter and the learning rate from the front of `body` into `split`."""
    # Standalone Keras has no counter for RMSprop and some others, in some versions.
    if body and _is_number(body[0]):
        split.iterations = body.pop(0)
    if dialect != "keras3" or scheduled or not body:
        return
    if _is_number(body[0]) and body[0].dtype.kind == "f":
        split.learning_rate = body.pop(0)


def _take_own_number(
    body: list[ArrayInfo], dialect: Dialect, weights: Weights, split: Split
) -> None:
    """Move the number that this kind of optimizer keeps into `split`.

    Keras 3 appends it, Keras 3.0 has it behind the averages (keras 3.0.5, optimizers/nadam.py, build), others put it first.
    """
    numbers = [place for place, variable in enumerate(body) if _is_number(variable)]
    if len(numbers) == 1 and () not in (shape for _, shape in weights):
        split.number = body.pop(numbers[0])
        return
    position = -1 if dialect == "keras3" else 0
    if body and _is_number(body[position]) and weights[position][1] != ():
        split.number = body.pop(position)


def _is_number(variable: ArrayInfo) -> bool:
    return variable.shape == ()


def _choose_blocks(
    rule: OptimizerRule, dialect: Dialect, stored: int, count: int, used: frozenset[str]
) -> Blocks | None:
    """Return the blocks whose slots add up to `stored`: those in use, and as few of the others as need be."""
    blocks = rule.stored_blocks(legacy=dialect in ("legacy", "standalone"))
    blocks = (*((slot,) for slot in LEADING if slot.when in used), *blocks)
    unused = [block for block in blocks if not (block[0].when is None or block[0].when in used)]
    needed = tuple(block for block in blocks if block not in unused)
    # Slots nobody uses: standalone Keras stores them for every kind, Keras 2.11 to 2.15 for SGD.
    spare = [b for b in unused if dialect == "standalone" or (dialect == "keras2" and not needed)]
    for choice in sorted(product((False, True), repeat=len(spare)), key=sum):
        extra = [block for block, kept in zip(spare, choice, strict=True) if kept]
        chosen = tuple(block for block in blocks if block in needed or block in extra)
        if count * sum(len(block) for block in chosen) == stored:
            return chosen
    return None


def _by_slot(
    block: tuple[Slot, ...], stored: Sequence[ArrayInfo], count: int
) -> list[tuple[Slot, Sequence[ArrayInfo]]]:
    """Return the variables of each slot of a block: weight by weight, or slot after slot where names tell that.

    TensorFlow's checkpoints give each slot of an old optimizer by itself, whatever order its .h5 files have.
    """
    runs = [stored[at * count : (at + 1) * count] for at in range(len(block))]
    if all(mentions(v, slot) for slot, run in zip(block, runs, strict=True) for v in run):
        return list(zip(block, runs, strict=True))
    return [(slot, stored[offset :: len(block)]) for offset, slot in enumerate(block)]


def _assign(
    slot: Slot, found: Sequence[ArrayInfo], weights: Weights, used: frozenset[str], split: Split
) -> None:
    """Give the variables of one slot to the weights, or to the ignored ones where the slot is not used."""
    if slot.when is not None and slot.when not in used:
        placeholder = all(variable.shape == PLACEHOLDER_SHAPE for variable in found)
        reason = f"{'placeholder, ' if placeholder else ''}{slot.when} is off"
        split.ignored.extend((variable, reason) for variable in found)
        return
    order = weight_order(found, slot, weights)
    if order is not None and order != list(range(len(weights))):
        by_weight = dict(zip(order, found, strict=True))
        found = [by_weight[index] for index in range(len(weights))]
        split.notes.append(f"slot {slot.key} is stored in another order than the weights")
    wrong = [
        f"  {variable.name}   found {variable.shape}   needed {shape} for {name}"
        for variable, (name, shape) in zip(found, weights, strict=True)
        if variable.shape != shape
    ]
    if wrong:
        lines = "\n".join(wrong[:MAX_LISTED])
        message = (
            f"{len(wrong)} optimizer arrays of slot {slot.key} do not fit the weights\n{lines}"
        )
        raise MismatchError(message)
    split.slots[slot.key] = tuple(found)


def _check_names(rule: OptimizerRule, split: Split) -> None:
    """Compare the slots with what the stored names say of them.

    Raises:
        MismatchError: A variable carries the name of another slot.
    """
    slots = {slot.key: slot for block in (*rule.blocks, LEADING) for slot in block}
    for key, variables in split.slots.items():
        others = [slot for slot in slots.values() if slot.key != key]
        for variable in variables:
            if mentions(variable, slots[key]):
                continue
            if other := next((slot for slot in others if mentions(variable, slot)), None):
                message = (
                    f"{rule.kind}: {variable.name} lies where {key} was expected, "
                    f"but is named after {other.key}"
                )
                raise MismatchError(message)


def _count_message(
    rule: OptimizerRule, dialect: Dialect, body: Sequence[ArrayInfo], weights: Weights
) -> str:
    """Return what was found and what would have fitted."""
    blocks = rule.stored_blocks(legacy=dialect in ("legacy", "standalone"))
    slots = ", ".join(s.key + (f" (with {s.when})" if s.when else "") for b in blocks for s in b)
    listed = "".join(f"\n  {v.name}   found {v.shape}" for v in body[:MAX_LISTED])
    more = f"\n  and {len(body) - MAX_LISTED} more" if len(body) > MAX_LISTED else ""
    return (
        f"{rule.kind}: found {len(body)} slot arrays, needed {len(weights)} (one for each trainable "
        f"weight) for each of: {slots}{listed}{more}"
    )
