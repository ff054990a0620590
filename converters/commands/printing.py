"""How commands print: sizes, shapes, lines that cannot do anything to a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

_KILO = 1000
_UNITS = ("KB", "MB", "GB", "TB")


def format_size(count: int) -> str:
    """Return bytes as people read them: 840 bytes, 52 KB, 1.2 MB (powers of 1000)."""
    if count < _KILO:
        return f"{count} bytes"
    power = min((len(str(count)) - 1) // 3, len(_UNITS))
    size, unit = count / _KILO**power, _UNITS[power - 1]
    return f"{size:.0f} {unit}" if unit == "KB" else f"{size:.1f} {unit}"


def format_shape(shape: Sequence[int | None] | None) -> str:
    """Return a shape as text, its first axis as the batch where it is free."""
    if shape is None:
        return "(unknown)"
    sizes = [
        "batch" if index == 0 and size is None else str(size) for index, size in enumerate(shape)
    ]
    return f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"


def folder_written_to(source: Path, output: Path | None) -> Path:
    """Return the folder of an output that was asked for by file, by folder or not at all."""
    if output is None:
        return source.parent
    return output if output.is_dir() else output.parent


def print_lines(lines: Iterable[str]) -> None:
    """Write to standard output; names from files may hold control characters, which must not move the cursor."""
    for line in lines:
        safe = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
        sys.stdout.write(f"{safe}\n")
