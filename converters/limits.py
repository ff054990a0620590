"""What a reader accepts before it allocates or loops: bounds on hostile files.

Each number is far above what any real agent needs and far below what hurts a laptop.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_ARRAY_BYTES = 8 * 1024**3
"""Default of --max-size: the largest single array, decoded. Guards against shape bombs in compressed data."""
MAX_JSON_BYTES = 100 * 1024**2
"""Configuration text; the largest keras.applications configuration is under 1 MB."""
MAX_JSON_DEPTH = 200
"""Nesting of configuration; Python's own parser would otherwise recurse until it fails."""
MAX_NAMES = 1_000_000
"""Arrays, groups and layers in one file."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds handed to every reader."""

    max_array_bytes: int = MAX_ARRAY_BYTES  # one array after decompression
    max_json_bytes: int = MAX_JSON_BYTES  # one configuration text
    max_json_depth: int = MAX_JSON_DEPTH
    max_names: int = MAX_NAMES
