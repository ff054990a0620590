"""Readers turn a legacy file into a `Checkpoint`. A format is recognized by its content, never by its name.

Every module beside this one is one format: it has a `READER` with the two methods of `Reader`, and is found by
being here. What the readers share lies in `files` (opening, JSON, archives, Keras settings) and `hdf5`.
"""

from __future__ import annotations

import contextlib
import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from converters.limits import Limits

if TYPE_CHECKING:
    from converters.checkpoint import Checkpoint
    from converters.readers.files.keras_settings import Architecture
    from converters.readers.files.source import Source


class Reader(Protocol):
    """One file format."""

    def recognizes(self, source: Source, limits: Limits) -> bool:
        """Tell from the content whether the file is of this format; raises ConversionError for a bad file."""
        ...

    def read(self, source: Source, architecture: Architecture | None, limits: Limits) -> Checkpoint:
        """Return the content; `architecture` is the configuration that the user gave and wins over the file's."""
        ...


def readers() -> Iterator[Reader]:
    """Yield all readers, in the order of their module names; no file is of two formats.

    Each is imported when it comes: whoever has found the right one does not wait for the others.
    """
    for name in sorted(
        module.name for module in pkgutil.iter_modules(__path__) if not module.ispkg
    ):
        yield importlib.import_module(f"{__name__}.{name}").READER


def read_checkpoint(
    path: Path, *, architecture: Path | None = None, limits: Limits | None = None
) -> Checkpoint:
    """Return the content of a legacy model file; arrays are loaded when they are asked for.

    Args:
        path: the file, or the folder or prefix of a format of several files. Nothing that a file names is opened.
        architecture: a JSON configuration (`to_json`, `config.json`), needed for files with weights only; it
            wins over a configuration inside the file and is recorded in the provenance.
        limits: bounds on what a file may ask for.

    Raises:
        UnreadableFileError: Missing, truncated, damaged, or of no known format.
        UnsafeFileError: Asks for what is never done: a link, another file, more memory than it holds.
        UnsupportedError: Sound, but of a kind that is not read.
    """
    # Here and not above: `hdf5.processes`, in this package, starts a child before numpy is imported.
    from converters.readers.files.foreign import describe_foreign
    from converters.readers.files.keras_settings import read_architecture
    from converters.readers.files.places import main_file
    from converters.readers.files.source import Source

    limits = limits or Limits()
    main = path
    with contextlib.suppress(OSError, ValueError):  # said in one place, when the file is opened
        main = main_file(path)
    source = Source(path, main)
    for reader in readers():
        if reader.recognizes(source, limits):
            given = read_architecture(architecture, limits) if architecture else None
            return reader.read(source, given, limits)
    raise describe_foreign(source)
