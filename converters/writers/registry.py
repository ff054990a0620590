"""The registry of output formats: a decorator on one function per format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from converters.errors import UnsupportedError, UsageError
from converters.registry import nearest
from converters.writers.content import Content
from converters.writers.output_file import OutputFile

WriteFunction = Callable[[OutputFile, Content], None]


@dataclass(frozen=True, slots=True)
class Writer:
    """A registered output format.

    Attributes:
        trains: False for formats that hold the computation at inference only.
    """

    format: str
    suffix: str
    write: WriteFunction
    trains: bool = True


_NO_OUTPUTS = {
    ".h5": "the way back to Keras is `torchward export`",
    ".hdf5": "the way back to Keras is `torchward export`",
    ".keras": "the way back to Keras is `torchward export`",
    ".tflite": "end the name with .pth, .pt2, .onnx or .safetensors",
    ".py": "--source-code writes the module as source; end the name of the weights with .pth",
}
"""Endings that say another format than any that is written, and what to do instead."""
WRITERS: dict[str, Writer] = {}
"""Every output format by its name for --format; filled by importing `converters.writers.formats`."""


def writer(
    name: str, *, suffix: str, trains: bool = True
) -> Callable[[WriteFunction], WriteFunction]:
    """Register the decorated function as the writer of a format.

    Raises:
        ValueError: The format has a writer already.
    """

    def register(write: WriteFunction) -> WriteFunction:
        if name in WRITERS:
            msg = f"output format '{name}' has a writer already"
            raise ValueError(msg)
        WRITERS[name] = Writer(name, suffix, write, trains)
        return write

    return register


def find_writer(name: str) -> Writer:
    """Return the writer of a format.

    Raises:
        UsageError: There is none; the message names the nearest.
    """
    _fill()
    if name not in WRITERS:
        msg = f"no output format '{name}'{nearest(name, WRITERS)}"
        raise UsageError(msg, hint=f"formats: {', '.join(sorted(WRITERS))}")
    return WRITERS[name]


def writer_for(output: Path | None) -> Writer:
    """Return the writer whose suffix the output's name has; .pth for a folder, another suffix or no name.

    Raises:
        UnsupportedError: The name would promise another format than that of the file.
    """
    _fill()
    suffix = "" if output is None or output.is_dir() else output.suffix.lower()
    if suffix in _NO_OUTPUTS:
        msg = f"{output}: nothing is converted to {suffix}"
        raise UnsupportedError(msg, hint=_NO_OUTPUTS[suffix])
    return next((each for each in WRITERS.values() if each.suffix == suffix), WRITERS["pth"])


def _fill() -> None:
    import converters.writers.formats  # noqa: F401  # registers on first import
