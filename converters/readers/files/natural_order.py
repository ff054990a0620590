"""Sorting of numbered names: `dense_2` before `dense_10`, `9` before `10`."""

from __future__ import annotations

import re

_PARTS = re.compile(r"(\d{1,18})")


def natural_key(path: str) -> list[list[tuple[int, int, str]]]:
    """Return a sort key for a path: component by component, numbers by value."""
    return [
        [
            (1, int(part), "") if part.isdecimal() else (0, 0, part)
            for part in _PARTS.split(component)
            if part
        ]
        for component in path.split("/")
    ]
