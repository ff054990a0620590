"""What a module of either kind gives, as one list of tensors, and how far two such lists are apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from converters.errors import MismatchError
from converters.own_pair.tracing import tensors_in

MAX_ELEMENTS = 4_000_000
"""Numbers that go in at a time: the images of a thousand observations do not fit into a small machine at once."""

CODE_ERRORS = (RuntimeError, TypeError, ValueError, IndexError, AttributeError)
"""What the user's code may raise for inputs, number types or a watch that it was not written for."""


class Distance(NamedTuple):
    """Largest difference, and the same relative to the largest value, which counts as 1 if it is less."""

    absolute: float
    relative: float


def outputs_of(
    module: nn.Module, inputs: Sequence[Tensor], keys: Sequence[str] = ()
) -> list[Tensor]:
    """Return the outputs of a module in order.

    Args:
        module: called once.
        inputs: (batch, ...) each.
        keys: of the legacy model's outputs: their order, where the module gives them by these names.

    Raises:
        MismatchError: It gives something else than tensors.
    """
    return flat_outputs(module(*inputs), type(module).__name__, keys)


def flat_outputs(result: object, name: str, keys: Sequence[str] = ()) -> list[Tensor]:
    """Return the tensors of a result in order. Raises MismatchError if there are none."""
    if isinstance(result, Mapping) and set(result) == set(keys):
        result = {key: result[key] for key in keys}
    found = list(tensors_in(result))
    if not found:
        msg = f"{name} gives a {type(result).__name__}, needed are tensors"
        raise MismatchError(msg)
    return found


def in_parts(inputs: Sequence[Tensor]) -> list[list[Tensor]]:
    """Return the inputs in batches that are small enough."""
    count = len(inputs[0])
    size = max(1, MAX_ELEMENTS // max(1, sum(x[0].numel() for x in inputs)))
    return [[x[start : start + size] for x in inputs] for start in range(0, count, size)]


def run_in_parts(
    module: nn.Module, inputs: Sequence[Tensor], keys: Sequence[str] = ()
) -> list[Tensor]:
    """Return the outputs for all inputs, without gradients."""
    with torch.no_grad():
        parts = [outputs_of(module, part, keys) for part in in_parts(inputs)]
    return [torch.cat(pieces) for pieces in zip(*parts, strict=True)]


def shape_problem(legacy: Sequence[Tensor], found: Sequence[Tensor]) -> str | None:
    """Return what is wrong with number and shapes of outputs, or None."""
    if len(legacy) != len(found):
        return f"{len(found)} outputs, the legacy model has {len(legacy)}"
    for number, (wanted, got) in enumerate(zip(legacy, found, strict=True)):
        if wanted.shape != got.shape:
            return f"output {number} has shape {tuple(got.shape)}, the legacy model's {tuple(wanted.shape)}"
    return None


def distance(legacy: Sequence[Tensor], found: Sequence[Tensor], *, least: float = 1.0) -> Distance:
    """Return how far lists of tensors of equal shapes are apart; NaN anywhere gives NaN.

    Args:
        legacy: what is right.
        found: what was computed.
        least: scale where all values are smaller.
    """
    absolute = relative = 0.0
    for wanted, got in zip(legacy, found, strict=True):
        if wanted.numel() == 0:
            continue
        difference = float((got.double() - wanted.double()).abs().max())
        scale = max(least, float(wanted.double().abs().max()))
        if difference != difference:  # NaN
            return Distance(difference, difference)
        absolute = max(absolute, difference)
        relative = max(relative, difference / scale if scale else difference)
    return Distance(absolute, relative)
