"""SHA-256 of input files, beside everything else: hashing a large file takes as long as all the rest of a conversion.

Light on purpose: a command begins here before it imports numpy and everything that reads and plans.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from functools import partial
from io import FileIO
from pathlib import Path

from converters.background import Background

BLOCK_BYTES = 16 * 1024**2
"""Read and hashed at once, in 10 ms. Before and after, the thread may wait 5 ms for the interpreter, so that beside imports
it would hardly get on in small blocks. Not mapped: whoever shortens a mapped file ends the process that reads it."""

Identity = tuple[int, int, int, int]
Read = Callable[[memoryview, int], int]
"""Fills a buffer from an offset on and returns how many bytes there were."""

_ahead: dict[Identity, Background[str]] = {}


def hash_ahead(path: Path) -> None:
    """Begin to hash a file that `digest_of` will be asked about. Raises OSError."""
    file = path.open("rb", buffering=0)
    identity = _identity(file.fileno())
    if identity in _ahead:
        file.close()
        return
    _ahead[identity] = Background(partial(_hash_alone, file))


def digest_of(descriptor: int, read: Read) -> Background[str]:
    """Return the hexadecimal SHA-256 of an open file as a running calculation, that of `hash_ahead` if there is one.

    Args:
        descriptor: of the file.
        read: how it is read; may be called at any time from another thread.
    """
    identity = _identity(descriptor)
    return _ahead.pop(identity, None) or Background(partial(_hash, read, identity[2]))


def _identity(descriptor: int) -> Identity:
    """Return what tells whether a file is the same and holds the same."""
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _hash_alone(file: FileIO) -> str:
    with file:
        return _hash(lambda block, _: file.readinto(block), os.fstat(file.fileno()).st_size)


def _hash(read: Read, size: int) -> str:
    digest = hashlib.sha256()
    block = memoryview(bytearray(max(1, min(BLOCK_BYTES, size))))
    offset = 0
    while count := read(block, offset):
        digest.update(block[:count])
        offset += count
    return digest.hexdigest()
