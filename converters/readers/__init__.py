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
        architecture: a configuration (`to_json`, `to_yaml`, `get_config`), or a whole model that has one, needed for
            files with weights only; it wins over a configuration inside the file and is recorded in the provenance.
        limits: bounds on what a file may ask for.

    Raises:
        UnreadableFileError: Missing, truncated, damaged, or of no known format.
        UnsafeFileError: Asks for what is never done: a link, another file, more memory than it holds.
        UnsupportedError: Sound, but of a kind that is not read.
    """
    # Here and not above: `hdf5.processes`, in this package, starts a child before numpy is imported.
    from converters.readers.files.foreign import describe_foreign

    limits = limits or Limits()
    source, reader = _open(path, limits)
    if reader is None:
        raise describe_foreign(source)
    given = _given_architecture(architecture, limits) if architecture else None
    return reader.read(source, given, limits)


def _open(path: Path, limits: Limits) -> tuple[Source, Reader | None]:
    """Return the opened file with the reader of its format; None: it is of no known one."""
    from converters.readers.files.places import main_file
    from converters.readers.files.source import Source

    main = path
    with contextlib.suppress(OSError, ValueError):  # said in one place, when the file is opened
        main = main_file(path)
    source = Source(path, main)
    return source, next((each for each in readers() if each.recognizes(source, limits)), None)


def _given_architecture(path: Path, limits: Limits) -> Architecture:
    """Return the configuration in a file of its own, or of a whole model, whose weights are left where they are.

    Raises:
        UnreadableFileError: It has none.
    """
    from converters.errors import UnreadableFileError
    from converters.readers.files.keras_settings import (
        given_details,
        parse_architecture,
        read_architecture,
    )

    found = None if path.is_dir() else read_architecture(path, limits)
    if found is not None:
        return found
    source, reader = _open(path, limits)
    model = None if reader is None else reader.read(source, None, limits)
    stored = None if model is None else model.stored
    if model is None or stored is None or stored.configuration is None:
        message = f"{source.name}: is not a model configuration in JSON or YAML, nor a Keras file that has one."
        raise UnreadableFileError(
            message, hint="Write one with: open('config.json', 'w').write(model.to_json())"
        )
    return parse_architecture(
        stored.configuration,
        source.name,
        limits,
        generation=model.provenance.generation,
        version=stored.version,
        details=given_details(source.name, model.provenance.sha256),
    )
