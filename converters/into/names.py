"""The table of names, a TOML file: legacy layer or array to module or state key.

"dense" = "fc1"
"dense_1/kernel" = "head.weight"
"dense_1/bias" = { key = "head.bias" }
"attention/matrix" = { key = "mix", layout = "in out -> out in" }
"auxiliary" = ""           # left out
keep = ["extra"]           # modules that stay as they are
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from converters.errors import UnreadableFileError
from converters.layouts import Layout

MAX_TABLE_BYTES = 1_000_000
"""A line for each of some thousand layers; a table is written by people."""
KEEP = "keep"


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a layer or array goes: a module or state key, "" for nowhere; the layout if it is stated."""

    target: str
    layout: str = ""


@dataclass(frozen=True, slots=True)
class NameTable:
    """The entries by legacy name, and the modules that keep what they were made with."""

    entries: Mapping[str, Entry] = field(default_factory=dict)
    keep: tuple[str, ...] = ()
    file: str = "names"

    def keeps(self, path: str) -> bool:
        """Return whether the module, or one around it, is to stay as it is."""
        return any(path == name or path.startswith(f"{name}.") for name in self.keep)


def read_names(path: Path) -> NameTable:
    """Return the table of a file.

    Raises:
        UnreadableFileError: It is not TOML, or has entries of another form.
    """
    try:
        if path.stat().st_size > MAX_TABLE_BYTES:
            msg = f"{path}: larger than {MAX_TABLE_BYTES:,} bytes; this is not a table of names"
            raise UnreadableFileError(msg)
        data = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        msg = f"{path}: not readable as TOML: {error}"
        raise UnreadableFileError(msg) from error
    return parse_names(data, file=str(path))


def parse_names(data: Mapping[str, object], *, file: str = "names") -> NameTable:
    """Return the table of plain data. Raises UnreadableFileError for entries of another form."""
    keep = data.get(KEEP, [])
    if not isinstance(keep, (list, tuple)) or not all(isinstance(name, str) for name in keep):
        msg = f"{file}: 'keep' is {keep!r}, needed is a list of module names"
        raise UnreadableFileError(msg)
    entries = {name: _entry(name, value, file) for name, value in data.items() if name != KEEP}
    return NameTable(entries, tuple(keep), file)


def _entry(name: str, value: object, file: str) -> Entry:
    if isinstance(value, str):
        return Entry(value)
    if isinstance(value, Mapping) and set(value) <= {"key", "layout"}:
        key, layout = value.get("key"), value.get("layout", "")
        if isinstance(key, str) and isinstance(layout, str):
            try:
                return Entry(key, str(Layout.parse(layout)) if layout else "")
            except ValueError as error:
                msg = f"{file}: '{name}': {error}"
                raise UnreadableFileError(msg) from error
    msg = f"{file}: '{name}' is {value!r}, needed is a name or {{ key = ..., layout = ... }}"
    raise UnreadableFileError(msg)


def format_names(
    proposal: Sequence[tuple[str, str, Sequence[str]]], modules: Sequence[str] = ()
) -> str:
    """Return a table to edit: legacy name, the proposed module, and all modules that fit; the modules without a layer."""
    lines = [
        "# Legacy layer = module. Proposed by order; check the lines that name more than one.",
        '# "name" = "" leaves a layer out; keep = ["module"] leaves a module as it is.',
    ]
    for name, chosen, fitting in proposal:
        # JSON strings of ASCII are TOML strings, too.
        line = f"{json.dumps(name)} = {json.dumps(chosen)}"
        if len(fitting) > 1:
            line += f"  # fits: {', '.join(fitting)}"
        elif not fitting:
            line += "  # fits no module"
        lines.append(line)
    proposed = {chosen for _, chosen, _ in proposal}
    empty = [name for name in modules if name not in proposed]
    if empty:  # for the user to decide: what stays as it was made has weights that nobody trained
        lines.append(f"# {KEEP} = {json.dumps(empty)}  # no layer is left for them")
    return "\n".join(lines) + "\n"
