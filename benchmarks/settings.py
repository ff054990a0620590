"""How a run of benchmarks measures, as plain data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.variants import Variant
from benchmarks.workloads import GUIDE_PAIR, is_guides

FULL_TRAINING_STEPS = 2000
"""The guide's 100 episodes of 20 words."""
Progress = Callable[[str], None]
"""Told what is being done, one short line at a time."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a run measures.

    Attributes:
        repeats: rounds over all variants.
        turn_s: seconds one variant is measured for in one round.
        shared: variants of one framework share a process (quicker to start; memory and startup never do).
        full_training: measure the guide's 100 episodes in full instead of steps for `turn_s` seconds.
        pair: name of the agent pair.
        pairs: "module:NAME" of the user's own pairs, None: ours.
        command: another program in place of `benchmarks.worker` (tests).
    """

    repeats: int = 7
    threads: int = 1
    turn_s: float = 1.0
    shared: bool = False
    full_training: bool = False
    large: bool = False
    pair: str = GUIDE_PAIR
    pairs: str | None = None
    command: tuple[str, ...] | None = None

    def options(self, variant: Variant) -> dict[str, object]:
        """Return the constructor arguments of the variant's subject."""
        options: dict[str, object] = {**variant.options, "threads": self.threads}
        if variant.agent:
            options |= {"pair": self.pair, "pairs": self.pairs}
        return options

    def left_out(self, variant: Variant) -> str | None:
        """Return why the variant means nothing for this pair, as far as that is known without its agents."""
        if variant.agent or is_guides(self.pair, self.pairs):
            return None
        return f"it does the work of the guide's pair {GUIDE_PAIR!r} only"
