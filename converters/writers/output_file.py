"""An output file that is written front to back, and read back and brought to the disk by other threads while it grows.

Hashing what is on its way out would only prove what was meant; this hashes what another reader of the file gets, and costs no
time of its own while a core is free.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import queue
import shlex
import threading
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Self

from converters.background import Background
from converters.errors import OutputError

_WAITING = 8  # blocks that may be ahead of the reader
_WRITE_BYTES = 1024**2
"""One call of the system. The cache gets larger pages from larger ones, which a virtual machine has to ask its host for:
16 MB at once took twice the processor time (Linux 6.18, ext4, memory that other programs had freed)."""
_BLOCK_BYTES = 8 * 1024**2
"""Read back at once: after each call a thread may have to wait for the interpreter, which the other one has."""
_FLUSH_BYTES = 64 * 1024**2
"""Brought to the disk at once while more is written; left to `finish`, the whole file would have to be waited for."""


class OutputFile:
    """A file written beside its target under a passing name; `commit` renames it. As a context it cleans up after itself.

    It has `write` and `tell`, but no `seek`: what is written is final. Use it as a context manager.

    Attributes:
        sha256: of the bytes that were read back, after `finish`.
        size: their number.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.sha256, self.size = "", 0
        self._temporary = target.with_name(f".{target.name}.{os.urandom(4).hex()}.tmp")
        try:
            self._file = self._temporary.open("xb", buffering=0)
        except OSError as error:
            raise self._failure(error) from error
        self._written = self._flush_from = self._announced = 0
        self._flush: Background[None] | None = None
        self._lengths: queue.Queue[int] = queue.Queue(_WAITING)
        self._digest = hashlib.sha256()
        self._reader = threading.Thread(target=self._read_back, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        self._temporary.unlink(missing_ok=True)

    def write(self, data: bytes | memoryview) -> int:
        """Write all of `data`. Raises OutputError."""
        view = memoryview(data)
        if not view.nbytes:  # an empty array has no bytes that could be cast
            return 0
        rest = view = view.cast("B")
        try:
            while rest.nbytes:
                rest = rest[self._file.write(rest[:_WRITE_BYTES]) or 0 :]
            self._written += view.nbytes
            self._flush_behind()
        except OSError as error:
            raise self._failure(error) from error
        if self._written - self._announced >= _BLOCK_BYTES:
            self._announce()
        return view.nbytes

    def with_text(self, text: str) -> Self:
        """Return the file, finished, with an ASCII text. Raises OutputError."""
        self.write(text.encode("ascii"))
        self.finish()
        return self

    def tell(self) -> int:
        """Return the number of bytes written."""
        return self._written

    def flush(self) -> None:
        """Do nothing: no byte waits in a buffer."""

    def finish(self) -> None:
        """Bring the bytes to the disk and take the checksum of what is read back.

        Raises:
            OutputError: The disk refused, or other bytes came back than were written.
        """
        try:
            self._wait_for_flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._failure(error) from error
        self._stop()
        if self.size != self._written:
            msg = f"{self.target}: wrote {self._written:,} bytes, {self.size:,} came back"
            raise OutputError(msg)
        self.sha256 = self._digest.hexdigest()

    def commit(self) -> None:
        """Give the file its name, replacing an older one. Raises OutputError."""
        try:
            self._temporary.replace(self.target)
        except OSError as error:
            raise self._failure(error) from error

    def _announce(self) -> None:
        """Let the reader read what has been written; one that died has read too little, which `finish` finds."""
        while self._reader.is_alive():
            with contextlib.suppress(queue.Full):
                self._lengths.put(self._written - self._announced, timeout=1.0)
                self._announced = self._written
                break

    def _stop(self) -> None:
        self._announce()
        if self._reader.is_alive():
            self._lengths.put(-1)
            self._reader.join()
        with contextlib.suppress(OSError):  # raised by `finish`, unless the file is given up anyway
            self._wait_for_flush()
        self._file.close()

    def _flush_behind(self) -> None:
        """Start bringing to the disk what has been written, when it is enough and the last time has ended."""
        enough = self._written - self._flush_from >= _FLUSH_BYTES
        if enough and (self._flush is None or self._flush.is_done()):
            self._wait_for_flush()
            self._flush = Background(partial(os.fsync, self._file.fileno()))
            self._flush_from = self._written

    def _wait_for_flush(self) -> None:
        """Raise what the last flush raised: a failed write is reported by one call of fsync only, and not again."""
        if self._flush is not None:
            self._flush.result()

    def _read_back(self) -> None:
        block = memoryview(bytearray(_BLOCK_BYTES))
        with self._temporary.open("rb", buffering=0) as file:
            while (length := self._lengths.get()) >= 0:
                while length and (count := file.readinto(block[:length])):
                    self._digest.update(block[:count])
                    self.size += count
                    length -= count

    def _failure(self, error: OSError) -> OutputError:
        return OutputError(f"{self.target}: cannot be written: {error.strerror or error}")


def check_outputs(targets: Iterable[Path], source: Path, *, force: bool) -> None:
    """Raise OutputError for outputs that exist, cannot exist or would replace the source or each other."""
    places: set[Path] = set()
    for target in targets:
        if target.absolute() in places:
            msg = f"{target}: is named for two outputs"
            raise OutputError(msg, hint="choose another name for one of them")
        places.add(target.absolute())
        if not target.parent.is_dir():
            msg = f"{target}: the folder {target.parent} does not exist"
            raise OutputError(msg, hint=f"mkdir -p {shlex.quote(str(target.parent))}")
        if target.is_symlink():  # neither what it points to nor the link itself is ours to replace
            msg = f"{target}: is a link to {target.readlink()}; nothing is written through a link"
            raise OutputError(msg, hint=f"-o {shlex.quote(str(target.resolve()))}")
        if target.exists() and source.exists() and target.samefile(source):
            msg = f"{target}: the output would replace the input"
            raise OutputError(msg, hint="choose another name with -o")
        if target.exists() and not target.is_file():
            msg = f"{target}: exists and is not a file"
            raise OutputError(msg, hint="choose another name with -o")
        if target.exists() and not force:
            msg = f"{target}: exists already"
            raise OutputError(msg, hint="add --force to replace it, or choose another name with -o")
