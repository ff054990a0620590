"""What became of a case, as plain data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a case: "pass", "fail" or "excluded", and why."""

    case: str
    class_name: str
    group: str
    outcome: str
    reason: str = ""
    worst: float = 0.0  # largest difference relative to the largest value
