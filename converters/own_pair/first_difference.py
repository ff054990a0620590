"""Where two modules begin to differ: the first call of the user's that nothing of ours agrees with, nor what follows it.

Values are compared whatever the order of channels and however the axes are merged, so a user's module may turn images
round where ours does not. A call without a counterpart is no difference as long as something made of it has one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from converters.own_pair.tracing import Call

AGREEMENT = {torch.float64: 1e-9, torch.float32: 1e-5}
"""Largest difference of values on the way, relative to the largest. In float64 rounding stays below 1e-12 for the
deepest networks here, and the smallest fault looked for, an epsilon of 1e-5 for 1e-6, gives more than 1e-7."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The first call that departs.

    Attributes:
        number: of the call; that of calls, where each has a counterpart, but something is missing after them.
        calls: of the user's module.
        worst: difference of the calls before it, relative to the largest value.
    """

    number: int
    calls: Sequence[Call]
    worst: float

    def describe(self) -> str:
        """Return "after layer 3 of 5, 'fc2' (layers 1-2 agree to 2e-07)"."""
        count = len(self.calls)
        much = f"to {self.worst:.0e}" if self.worst else "exactly"
        if self.number == count:
            last = f", '{self.calls[-1].name}'" if count else ""
            return f"after the last of {count} layers{last} (all agree {much})"
        text = f"after layer {self.number + 1} of {count}, '{self.calls[self.number].name}'"
        if self.number == 0:
            return f"{text} (the first)"
        agreed = "layer 1 agrees" if self.number == 1 else f"layers 1-{self.number} agree"
        return f"{text} ({agreed} {much})"


def find_first_difference(calls: Sequence[Call], known: Sequence[Tensor]) -> Difference:
    """Return the first call without a counterpart.

    Args:
        calls: of the user's module.
        known: the values of ours: inputs, and results of all its calls.
    """
    forms = [form for value in known for form in _forms(value)]
    found = [_nearest(call.output, forms) for call in calls]
    followed = [agrees is not None for agrees in found]
    for number in reversed(range(len(calls))):
        for source in calls[number].sources if followed[number] else ():
            if source >= 0:
                followed[source] = True
    first = next((n for n, is_followed in enumerate(followed) if not is_followed), len(calls))
    return Difference(first, calls, max((x for x in found[:first] if x is not None), default=0.0))


def relative_difference(found: Tensor, wanted: Tensor) -> float:
    """Return the largest difference relative to the largest value that is wanted; infinite for other shapes."""
    if found.shape != wanted.shape:
        return float("inf")
    if wanted.numel() == 0:
        return 0.0
    scale = float(wanted.abs().max())
    return float((found - wanted).abs().max()) / (scale or 1.0)


def _forms(value: Tensor) -> list[Tensor]:
    """Return the elements of a value in the orders in which a module may have them."""
    value = value.to(torch.float64)
    forms = [value.reshape(-1)]
    if value.ndim > 2:
        forms += [value.movedim(1, -1).reshape(-1), value.movedim(-1, 1).reshape(-1)]
    return forms


def _nearest(value: Tensor, forms: Sequence[Tensor]) -> float | None:
    """Return how far the nearest form is, None if none agrees."""
    limit = AGREEMENT.get(value.dtype, 0.0)
    flat = value.to(torch.float64).reshape(-1)
    nearest = min((relative_difference(flat, form) for form in forms), default=float("inf"))
    return nearest if nearest <= limit else None
