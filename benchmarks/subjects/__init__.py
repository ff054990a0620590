"""What is measured: one class a kind of agent, built inside a measuring process and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from benchmarks.measure import Operation


class MissingExtraError(RuntimeError):
    """Something that the variant needs is not on this machine; the message says what to do."""


class NotApplicableError(RuntimeError):
    """The variant or the task means nothing for this agent; the message says why."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A task that is ready to be timed.

    Attributes:
        operation: runs the task `count` times.
        multiple: counts are multiples of this (updates in one call).
        details: figures of the preparation by name, as they are shown: {"first call": 12.3}.
    """

    operation: Operation
    multiple: int = 1
    details: Mapping[str, str | float | int] = field(default_factory=dict)


class Subject(Protocol):
    """Something that can be measured. The constructor takes the variant's options and imports the framework."""

    def prepare(self, task: str) -> Prepared:
        """Build what the task needs and return it ready. Raises ValueError for a task it cannot do."""
        ...

    def sizes(self, folder: str) -> Iterable[tuple[str, int]]:
        """Write the network in every format into `folder`; return (format, bytes) pairs."""
        ...
