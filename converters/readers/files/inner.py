"""Zip archives that lie as bytes inside of another file."""

from __future__ import annotations

import io
from typing import cast

from converters.readers.files.archive import Archive
from converters.readers.files.source import Source


class Bytes:
    """Bytes with what an archive needs of `OpenFile`."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)

    def view(self) -> io.BytesIO:
        """Return the bytes as a file object with a position of its own."""
        return io.BytesIO(self._data)

    def read(self, offset: int, count: int) -> bytes:
        """Return `count` bytes from `offset` on, fewer at the end."""
        return self._data[offset : offset + count]


class _BytesSource:
    """Bytes in the place of an input file."""

    def __init__(self, data: bytes, name: str) -> None:
        self.name = name
        self.file = Bytes(data)
        self.size = len(data)


def archive_of(data: bytes, name: str) -> Archive:
    """Return the archive that `data` is.

    Args:
        data: the whole archive.
        name: how messages call it.

    Raises:
        ConversionError: It is damaged or refused, as one in a file would be.
    """
    return Archive(cast("Source", _BytesSource(data, name)))
