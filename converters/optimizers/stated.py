"""Optimizers that a file does not name: what its numbers tell against a guess, and what the user says it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from converters.checkpoint import ArrayInfo, Checkpoint
from converters.errors import MismatchError, UnsupportedError
from converters.optimizers.options import SHARED
from converters.optimizers.rules import find_rule

OPTIMIZER = "optimizer"
"""The setting that names it: --set optimizer=Ftrl."""
HINT = (
    "name it: --set optimizer=Ftrl, or what it was; its other settings likewise: --set beta_1=0.8"
)
MAX_COMPARED = 2**16
"""Numbers of an array that are looked at; one of some thousand is enough to tell squares from others."""
ENOUGH = 32
"""Averages of gradients that are all of one sign: as likely as as many coins with the same side up."""


def with_stated_optimizer(checkpoint: Checkpoint, settings: Mapping[str, object]) -> Checkpoint:
    """Return a checkpoint whose optimizer is the one that the user names, with its settings.

    Args:
        checkpoint: with optimizer state.
        settings: `optimizer`, and arguments of its class.

    Raises:
        UnsupportedError: There is no such optimizer, or it has no such setting.
        MismatchError: The file has no state of an optimizer, or names another one.
    """
    state, stated = checkpoint.optimizer, settings[OPTIMIZER]
    file = checkpoint.provenance.file
    if state is None:
        msg = f"{file}: holds no state of an optimizer, which --set optimizer={stated} is for"
        raise MismatchError(msg, hint="leave it out")
    rule = find_rule(str(stated))
    if state.kind is not None and find_rule(state.kind) != rule:
        msg = f"{file}: names its optimizer, {state.kind}; stated is {rule.kind}"
        raise MismatchError(msg, hint="leave --set optimizer out")
    config = {name: value for name, value in settings.items() if name != OPTIMIZER}
    known = ("learning_rate", *rule.options, *SHARED)
    unknown = sorted(set(config) - set(known))
    if unknown:
        msg = f"{rule.kind} has no setting {', '.join(unknown)}; known: {', '.join(known)}"
        raise UnsupportedError(msg)
    config = {**state.config, **config}
    return replace(checkpoint, optimizer=replace(state, kind=rule.kind, config=config))


def not_of_adam(slots: Mapping[str, tuple[ArrayInfo, ...]]) -> str | None:
    """Return what speaks against two slots a weight being Adam's averages of gradients and of their squares, if anything."""
    first = _numbers(slots.get("exp_avg", ()))
    second = _numbers(slots.get("exp_avg_sq", ()))
    if (second < 0).any():
        return "the second of a weight has negative numbers, which averages of squares have not"
    moved = first[first != 0]
    if moved.size >= ENOUGH and (moved > 0).all():
        return "the first of a weight has no negative numbers, which averages of gradients have"
    return None


def _numbers(arrays: tuple[ArrayInfo, ...]) -> np.ndarray[tuple[int], np.dtype[np.floating]]:
    found = [array.read().reshape(-1)[:MAX_COMPARED] for array in arrays]
    return np.concatenate(found) if found else np.zeros(0)
