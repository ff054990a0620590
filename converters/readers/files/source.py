"""Opening an input file: regular files only, bounded reads, arrays straight from the file, its SHA-256.

A `Source` is the one place through which a reader touches the disk. Arrays keep their `OpenFile` alive, so that
a checkpoint stays readable after the source is gone, also when the path is replaced meanwhile.
"""

from __future__ import annotations

import hashlib
import io
import mmap
import os
import stat
import threading
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from converters.errors import UnreadableFileError, UnsafeFileError
from converters.readers.files.digest import digest_of

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

PREFIX_BYTES = 4096
"""What recognition looks at; every magic number is far shorter."""
BLOCK_BYTES = 1024 * 1024
"""One read of archive members."""
MAP_BYTES = 1024 * 1024
"""Arrays from this size on are mapped; smaller ones are cheaper to copy, and mappings are a limited resource."""


def quote(text: str) -> str:
    """Return text from a file for a message: quoted, control characters escaped, at most 200 characters."""
    return repr(text if len(text) <= 200 else text[:197] + "...")


class OpenFile:
    """A regular file opened for reading once; reads at any offset, from any thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = io.FileIO(path, "rb", opener=_open_at_once)
        self._lock = threading.Lock()
        weakref.finalize(self, self._file.close)
        status = os.fstat(self._file.fileno())
        self.size = status.st_size
        self.identity = (status.st_dev, status.st_ino)

    @property
    def descriptor(self) -> int:
        """The system's number of the open file."""
        return self._file.fileno()

    def read_into(self, buffer: WriteableBuffer, offset: int) -> int:
        """Fill `buffer` from `offset` on and return how many bytes there were."""
        view = memoryview(buffer).cast("B")
        done = 0
        try:
            with self._lock:
                self._file.seek(offset)
                while done < len(view):
                    count = self._file.readinto(view[done:])
                    if not count:
                        break
                    done += count
        except OSError as error:
            message = f"{quote(self.path.name)[1:-1]}: cannot be read ({error.strerror})."
            raise UnreadableFileError(message) from error
        return done

    def read(self, offset: int, count: int) -> bytes:
        """Return `count` bytes from `offset` on, fewer at the end of the file."""
        buffer = bytearray(max(0, min(count, self.size - offset)))
        return bytes(buffer[: self.read_into(buffer, offset)])

    def view(self, offset: int = 0, size: int | None = None) -> io.BufferedReader:
        """Return a window of the file as a file object with a position of its own."""
        return io.BufferedReader(
            _Window(self, offset, self.size - offset if size is None else size)
        )

    def read_array(self, offset: int, shape: tuple[int, ...], dtype: np.dtype) -> NDArray:  # type: ignore[type-arg]
        """Return the array stored at `offset` in C order, in native byte order.

        A large array is a read-only view of the file and lets go of the memory when it is dropped; in an archive it may
        lie at an odd address, which numpy can read. Others are fresh copies.

        Raises:
            UnreadableFileError: The file no longer holds all bytes.
        """
        count = int(np.prod(shape, dtype=np.int64))
        size = count * dtype.itemsize
        if size >= MAP_BYTES and self._length() >= offset + size:
            start = offset - offset % mmap.ALLOCATIONGRANULARITY
            block = mmap.mmap(
                self._file.fileno(), offset + size - start, access=mmap.ACCESS_READ, offset=start
            )
            array = np.frombuffer(block, dtype, count, offset - start)
        else:
            buffer = np.empty(size, np.uint8)
            if size and self.read_into(buffer.data, offset) != size:
                message = (
                    f"{quote(self.path.name)[1:-1]}: the file became shorter while it was read."
                )
                raise UnreadableFileError(message)
            array = buffer.view(dtype)
        native = array.astype(dtype.newbyteorder("="), copy=False).reshape(shape)
        native.flags.writeable = False
        return native

    def _length(self) -> int:
        return os.fstat(self._file.fileno()).st_size


class _Window(io.RawIOBase):
    """Part of an `OpenFile` as a raw stream."""

    def __init__(self, file: OpenFile, offset: int, size: int) -> None:
        super().__init__()
        self._source = file
        self._offset = offset
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if start + offset < 0:
            message = "seek before the start"  # OSError, as plain files raise: zipfile counts on it
            raise OSError(message)
        self._position = start + offset
        return self._position

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")[: max(0, self._size - self._position)]
        done = self._source.read_into(view, self._offset + self._position) if len(view) else 0
        self._position += done
        return done


class Source:
    """An input: its name for messages, the first bytes of its main file, its hash.

    Most formats are one file. A checkpoint of TensorFlow is several that belong together: the main one, and companions
    in the same folder, whose names are worked out by the reader and never taken from a file.

    Args:
        path: as the user gave it: a file, the prefix of a checkpoint, a folder.
        main: the file to start with, where that is not `path` itself.
    """

    def __init__(self, path: Path, main: Path | None = None) -> None:
        self.path = path
        self.main = main or path
        self.name = quote(path.name)[1:-1]
        if self.main != path:
            self._refuse_links(self.main.name)
        self.file = _open_regular(self.main, self.name)
        if self.file.size == 0:
            message = f"{self.name}: the file is empty."
            raise UnreadableFileError(message)
        self.prefix = self.file.read(0, PREFIX_BYTES)
        self._digests = {self.main.name: digest_of(self.file.descriptor, self.file.read_into)}
        self._companions: dict[str, OpenFile] = {}

    @property
    def size(self) -> int:
        """Bytes of the main file and the companions opened so far."""
        return self.file.size + sum(file.size for file in self._companions.values())

    def companion(self, relative: str) -> OpenFile:
        """Return a file that belongs to the main one, by its path from the main file's folder.

        Raises:
            UnreadableFileError: There is no such file.
            UnsafeFileError: It is a link or no regular file.
        """
        if relative not in self._companions:
            self._refuse_links(relative)
            path = self.main.parent / relative
            file = _open_regular(path, f"{self.name}: {quote(relative)[1:-1]}")
            self._companions[relative] = file
            self._digests[relative] = digest_of(file.descriptor, file.read_into)
        return self._companions[relative]

    def _refuse_links(self, relative: str) -> None:
        """Raise UnsafeFileError if a file that was not named by the user, or a folder on the way to it, is a link."""
        path = self.main.parent
        for part in Path(relative).parts:
            path /= part
            if path.is_symlink():
                message = f"{self.name}: {quote(relative)} is a link; links are not followed."
                raise UnsafeFileError(message, hint="copy the files themselves: cp -rL")

    def sha256(self) -> str:
        """Return the hexadecimal SHA-256, which is calculated while the files are parsed.

        Of several files it is that of the lines `sha256sum` prints for them, in the order of their names.
        """
        if not self._companions:
            return self._digests[self.main.name].result()
        lines = [f"{digest.result()}  {name}\n" for name, digest in sorted(self._digests.items())]
        return hashlib.sha256("".join(lines).encode()).hexdigest()


def _open_at_once(path: str, flags: int) -> int:
    """Open without waiting: what was a file a moment ago may be a pipe now."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _open_regular(path: Path, name: str) -> OpenFile:
    """Open `path` if it is a regular file.

    The kind is looked at before opening: opening a pipe blocks, opening a device may have effects.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            message = f"{name}: is a folder, not a file."
            raise UnreadableFileError(message)
        if not stat.S_ISREG(mode):
            message = f"{name}: is {_kind_of(mode)}, not a regular file; refused."
            raise UnsafeFileError(message)
        file = OpenFile(path)
        if not stat.S_ISREG(os.fstat(file.descriptor).st_mode):
            message = f"{name}: became something else than a file while it was opened; refused."
            raise UnsafeFileError(message)
        return file
    except FileNotFoundError as error:
        message = f"{name}: there is no such file."
        raise UnreadableFileError(message) from error
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        message = f"{name}: cannot be opened ({reason})."
        raise UnreadableFileError(message) from error


def _kind_of(mode: int) -> str:
    kinds = {
        stat.S_ISFIFO: "a pipe",
        stat.S_ISSOCK: "a socket",
        stat.S_ISCHR: "a device",
        stat.S_ISBLK: "a device",
    }
    return next((text for is_kind, text in kinds.items() if is_kind(mode)), "a special file")
