"""One tensor that an optimizer keeps for each weight, and what files call it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Slot:
    """One tensor that an optimizer keeps for each weight."""

    key: str  # in the state of the torch class: "exp_avg"
    names: tuple[str, ...]  # what stored names call it, newest first: ("momentum", "m")
    when: str | None = (
        None  # the option without which the slot is not used, though it may be stored
    )
    dropped_axis: int | None = None  # the axis of the weight in Keras that it does not have

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the slot's shape for a weight of `shape`, both as Keras has them."""
        if self.dropped_axis is None:
            return shape
        kept = list(shape)
        del kept[self.dropped_axis]
        return tuple(kept)
