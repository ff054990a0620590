"""The spaces of a data set: as a line of text from the JSON of its metadata, or made from its episodes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gymnasium import Space

    from experience.offline_data import Episode


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


def _parse(text: object) -> dict[str, object]:
    if not isinstance(text, str):
        return {}
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def infer_spaces(episodes: Sequence[Episode]) -> tuple[Space[Any], Space[Any]]:
    """Return spaces that hold everything in the episodes: (observations, actions).

    Integer actions become Discrete with as many as the largest says, others a Box of what occurs; images become a Box of
    bytes, other observations one without bounds.

    Raises:
        ValueError: There is no episode, or an integer action is negative.
        ImportError: Gymnasium is not installed.
    """
    import numpy as np
    from gymnasium import spaces

    if not episodes:
        msg = "no episode to take spaces from"
        raise ValueError(msg)
    first = episodes[0]
    shape = first.observations.shape[1:]
    images = first.observations.dtype == np.uint8
    observations = (
        spaces.Box(0, 255, shape, np.uint8) if images else spaces.Box(-np.inf, np.inf, shape)
    )
    low = np.min([episode.actions.min(axis=0) for episode in episodes], axis=0)
    high = np.max([episode.actions.max(axis=0) for episode in episodes], axis=0)
    if first.actions.dtype.kind != "i":
        return observations, spaces.Box(low, high, dtype=np.float32)
    if np.ndim(low) or low < 0:
        msg = f"integer actions from {low} to {high}; needed one number a step, from 0 on"
        raise ValueError(msg)
    return observations, spaces.Discrete(int(high) + 1)
