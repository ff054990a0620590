"""A move: one stored array on its way to one place of the torch state."""

from __future__ import annotations

from dataclasses import dataclass

from converters.checkpoint import ArrayInfo
from converters.layouts import Layout


@dataclass(frozen=True, slots=True)
class Move:
    """One array on its way: read `source`, apply `layout`, store as `target`."""

    source: ArrayInfo
    target: str  # key of the state dict: "fc1.weight"
    layout: Layout

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape at the target."""
        return self.layout.shape(self.source.shape)
