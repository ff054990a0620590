"""The registry of output formats: a decorator on one function per format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from converters.errors import UnsupportedError
from converters.registry import nearest
from converters.writers.content import Content
from converters.writers.output_file import OutputFile

WriteFunction = Callable[[OutputFile, Content], None]


@dataclass(frozen=True, slots=True)
class Writer:
    """A registered output format."""

    format: str
    suffix: str
    write: WriteFunction


WRITERS: dict[str, Writer] = {}
"""Every output format by its name for --format; filled by importing `converters.writers.formats`."""


def writer(name: str, *, suffix: str) -> Callable[[WriteFunction], WriteFunction]:
    """Register the decorated function as the writer of a format.

    Raises:
        ValueError: The format has a writer already.
    """

    def register(write: WriteFunction) -> WriteFunction:
        if name in WRITERS:
            msg = f"output format '{name}' has a writer already"
            raise ValueError(msg)
        WRITERS[name] = Writer(name, suffix, write)
        return write

    return register


def find_writer(name: str) -> Writer:
    """Return the writer of a format.

    Raises:
        UnsupportedError: There is none; the message names the nearest.
    """
    import converters.writers.formats  # noqa: F401  # fills the table on first use

    if name not in WRITERS:
        msg = f"no output format '{name}'{nearest(name, WRITERS)}"
        raise UnsupportedError(msg, hint=f"formats: {', '.join(sorted(WRITERS))}")
    return WRITERS[name]
