"""SHA-256 of input files, beside everything else: hashing a large file takes as long as all the rest of a conversion.

Light on purpose: a command begins here before it imports numpy and everything that reads and plans.
"""

from __future__ import annotations

import hashlib
import mmap
import os
from functools import partial
from pathlib import Path

from converters.background import Background
from converters.errors import UnreadableFileError

WINDOW_BYTES = 64 * 1024**2
"""Mapped and hashed at once. After each call the thread may wait 5 ms for the interpreter, so that beside imports small
windows would hardly get on; a window counts as memory while it is mapped."""

Identity = tuple[int, int, int, int]

_ahead: dict[Identity, Background[str]] = {}


def hash_ahead(path: Path) -> None:
    """Begin to hash a file that `digest_of` will be asked about. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    identity = _identity(descriptor)
    if identity in _ahead:
        os.close(descriptor)
        return
    _ahead[identity] = Background(partial(_hash, descriptor, path.name))


def digest_of(descriptor: int, name: str) -> Background[str]:
    """Return the hexadecimal SHA-256 of an open file as a running calculation, that of `hash_ahead` if there is one.

    Args:
        descriptor: of the file; it may be closed at any time.
        name: file name for messages.
    """
    begun = _ahead.pop(_identity(descriptor), None)
    return begun or Background(partial(_hash, os.dup(descriptor), name))


def _identity(descriptor: int) -> Identity:
    """Return what tells whether a file is the same and holds the same."""
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _hash(descriptor: int, name: str) -> str:
    digest = hashlib.sha256()
    try:
        size = os.fstat(descriptor).st_size
        for offset in range(0, size, WINDOW_BYTES):
            length = min(WINDOW_BYTES, size - offset)
            with mmap.mmap(descriptor, length, access=mmap.ACCESS_READ, offset=offset) as window:
                digest.update(window)
    except (OSError, ValueError) as error:  # ValueError: there is less of the file than before
        message = f"{name}: cannot be read to its end, or became shorter while it was read."
        raise UnreadableFileError(message) from error
    finally:
        os.close(descriptor)
    return digest.hexdigest()
