"""Checkpoints of TensorFlow that lie in an archive, in memory: what baselines' deepq pickled before it had files of its own."""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray

from converters.errors import UnreadableFileError
from converters.limits import Limits
from converters.readers.files.archive import Archive
from converters.readers.files.inner import Bytes
from converters.readers.files.source import OpenFile, Source, quote
from converters.readers.tensorflow.bundle import Bundle, read_bundle

INDEX = ".index"


class _File(Bytes):
    """A member with what is used of `OpenFile` beside its bytes."""

    def read_array(
        self, offset: int, shape: tuple[int, ...], dtype: np.dtype[np.generic]
    ) -> NDArray[np.generic]:
        """Return the array stored at `offset` in C order, in native byte order."""
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        array = np.frombuffer(self.read(offset, size), dtype).reshape(shape)
        return array.astype(dtype.newbyteorder("="), copy=False)


class _Members:
    """An archive in the place of an input file and those beside it."""

    def __init__(self, archive: Archive, limits: Limits) -> None:
        self.name = archive.file_name
        self._archive, self._limits = archive, limits

    def companion(self, relative: str) -> _File:
        """Return the bytes of a member. Raises UnreadableFileError where there is none of that name."""
        if relative not in self._archive.names:
            msg = f"the checkpoint in it lacks {quote(relative)}"
            raise UnreadableFileError(msg)
        return _File(self._archive.read(relative, self._limits.max_array_bytes))


def read_packed_bundle(archive: Archive, limits: Limits) -> Bundle | None:
    """Return the tensors of the only checkpoint in an archive; None: there is none, or several.

    Raises:
        UnreadableFileError: It is damaged.
    """
    found = [name for name in archive.names if name.endswith(INDEX)]
    if len(found) != 1:
        return None
    members = _Members(archive, limits)
    index = cast("OpenFile", members.companion(found[0]))
    return read_bundle(cast("Source", members), index, found[0].removesuffix(INDEX), limits)
