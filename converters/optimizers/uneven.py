"""Optimizers that keep other tensors for a matrix than for a bias: Adafactor and Muon.

For each weight in turn the file holds the slots of its kind. Which kind a weight is, its shape says; for Muon also its name,
by the settings `exclude_layers` and `exclude_embeddings`. The patterns come from the file: those that could take
long to search with are refused.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from converters.checkpoint import ArrayInfo
from converters.errors import MismatchError, UnsupportedError
from converters.optimizers.slots import Slot

Config = Mapping[str, object]
MAX_PATTERN_LENGTH = 200
MAX_REPETITIONS = 3
"""Of a pattern: searching with n repetitions takes the length of a name to the power of n + 1."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What an optimizer keeps for one kind of weight: slots in stored order; None is a placeholder, a single number."""

    slots: tuple[Slot | None, ...]

    def shapes(self, shape: tuple[int, ...]) -> list[tuple[int, ...]]:
        """Return the shapes that are stored for a weight of `shape`."""
        return [() if slot is None else slot.shape(shape) for slot in self.slots]


ChooseKind = Callable[[Config, str, tuple[int, ...]], Kind]
"""From an optimizer's configuration, a weight's path in Keras and its shape."""

ROW = Slot("row", ("kernel",), dropped_axis=-1)
COLUMN = Slot("column", ("kernel",), dropped_axis=-2)
VELOCITY = Slot("square_avg", ("velocity",))
FACTORED = Kind((ROW, COLUMN, VELOCITY))
WHOLE = Kind((None, None, VELOCITY))
MUON = Kind((Slot("momentum_buffer", ("momentum",)),))
ADAM = Kind((Slot("exp_avg", ("momentum",)), Slot("exp_avg_sq", ("velocity",))))


def adafactor_kind(config: Config, path: str, shape: tuple[int, ...]) -> Kind:  # a ChooseKind
    """Return what Adafactor keeps: averages over rows and columns of whatever has two axes or more."""
    return FACTORED if len(shape) > 1 else WHOLE


def muon_kind(config: Config, path: str, shape: tuple[int, ...]) -> Kind:
    """Return which of its two formulas Muon uses for a weight.

    Raises:
        UnsupportedError: A pattern of `exclude_layers` is none, or takes too long to search with.
    """
    if len(shape) != 2:
        return ADAM
    if config.get("exclude_embeddings", True) and "embedding" in path.lower():
        return ADAM
    patterns = config.get("exclude_layers") or ()
    for pattern in patterns if isinstance(patterns, Sequence) else (patterns,):
        if safe_pattern(pattern).search(path):
            return ADAM
    return MUON


def safe_pattern(pattern: object) -> re.Pattern[str]:
    """Return a regular expression from a file, compiled.

    Raises:
        UnsupportedError: It is no regular expression, is long, or repeats what itself may repeat.
    """
    text = pattern if isinstance(pattern, str) else ""
    repetitions = sum(text.count(sign) for sign in "*+?")
    # A group could be repeated as a whole, and a counted repetition is as long as it says.
    is_simple = repetitions <= MAX_REPETITIONS and not set(text) & set("({")
    if is_simple and 0 < len(text) <= MAX_PATTERN_LENGTH:
        with contextlib.suppress(re.error):
            return re.compile(text)
    message = (
        f"the pattern {pattern!r:.80} for names of weights is none, or may take long to search with"
    )
    raise UnsupportedError(
        message,
        hint=f"at most {MAX_REPETITIONS} of * + ? and no groups; else convert without the optimizer",
    )


def choose_kinds(
    choose: ChooseKind,
    config: Config,
    paths: Sequence[Sequence[str]],
    weights: Sequence[tuple[str, tuple[int, ...]]],
    stored: Sequence[ArrayInfo],
) -> list[Kind]:
    """Return the kind of every weight: the choice by the first sort of paths that agrees with what is stored.

    Placeholders may be left out: Keras 2 makes them but does not count them among its variables, and Keras 3 does not
    inside of a LossScaleOptimizer (keras 2.15.0 and 3.15.1, optimizers/adafactor.py).

    Args:
        choose: of the optimizer.
        config: of the optimizer.
        paths: the paths of the weights in Keras, in each of the forms they may have had.
        weights: stored name and shape of every weight.
        stored: the slots; empty: nothing to agree with.

    Raises:
        MismatchError: None agrees.
    """
    found = [variable.shape for variable in stored]
    chosen = [
        [choose(config, path, shape) for path, (_, shape) in zip(form, weights, strict=True)]
        for form in paths
    ]
    bare = [[Kind(tuple(s for s in kind.slots if s)) for kind in kinds] for kinds in chosen]
    for kinds in (*chosen, *bare):
        needed = [
            shape
            for kind, (_, whole) in zip(kinds, weights, strict=True)
            for shape in kind.shapes(whole)
        ]
        if not found or needed == found:
            return kinds
    message = (
        f"found {len(found)} optimizer arrays, needed {len(needed)} for {len(weights)} weights, "
        f"of other shapes: {found[:4]} and {needed[:4]} ..."
    )
    raise MismatchError(message)


def split_uneven(
    kinds: Sequence[Kind], stored: Sequence[ArrayInfo]
) -> tuple[dict[str, dict[int, ArrayInfo]], list[tuple[ArrayInfo, str]]]:
    """Return the arrays of every slot by place of the weight, and the placeholders with the reason to ignore them."""
    slots: dict[str, dict[int, ArrayInfo]] = {}
    ignored = []
    rest = iter(stored)
    for place, kind in enumerate(kinds):
        for slot in kind.slots:
            variable = next(rest)
            if slot is None:
                ignored.append((variable, "placeholder: only matrices have rows and columns"))
            else:
                slots.setdefault(slot.key, {})[place] = variable
    return slots, ignored
