"""Zip archives that lie as bytes inside of another file."""

from __future__ import annotations

import io
from typing import cast

from converters.readers.files.archive import Archive
from converters.readers.files.source import Source


class _Bytes:
    """Bytes with the two methods of `OpenFile` that an archive needs."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def view(self) -> io.BytesIO:
        return io.BytesIO(self._data)

    def read(self, offset: int, count: int) -> bytes:
        return self._data[offset : offset + count]


class _BytesSource:
    """Bytes in the place of an input file."""

    def __init__(self, data: bytes, name: str) -> None:
        self.name = name
        self.file = _Bytes(data)
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
