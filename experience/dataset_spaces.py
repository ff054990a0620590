"""The spaces of a data set, as Minari's metadata describes them in JSON, as a line of text."""

from __future__ import annotations

import json


def describe_space(text: object) -> str:
    """Return "Box(4,) float32" or "Discrete(2)" for the JSON of a space; "unknown" for what is none.

    Args:
        text: JSON as in metadata.json.
    """
    content = _parse(text)
    kind = content.get("type")
    if kind == "Box":
        shape = content.get("shape")
        numbers = ", ".join(str(size) for size in shape) if isinstance(shape, list) else "?"
        comma = "," if isinstance(shape, list) and len(shape) == 1 else ""
        return f"Box({numbers}{comma}) {content.get('dtype', '')}".rstrip()
    if kind == "Discrete":
        start = content.get("start", 0)
        return f"Discrete({content.get('n')}{f', start={start}' if start else ''})"
    return kind if isinstance(kind, str) else "unknown"


def describe_environment(text: object) -> str | None:
    """Return the Gymnasium id in the JSON of an environment's specification; None if there is none."""
    name = _parse(text).get("id")
    return name if isinstance(name, str) else None


def count_actions(text: object) -> int | None:
    """Return how many actions the JSON of a Discrete space counted from 0 has; None for other spaces."""
    content = _parse(text)
    count = content.get("n")
    usual = content.get("type") == "Discrete" and not content.get("start", 0)
    return count if usual and isinstance(count, int) else None


def _parse(text: object) -> dict[str, object]:
    if not isinstance(text, str):
        return {}
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
