"""Members of a zip archive, never extracted by name: expected names only, sizes bounded, checksums verified."""

from __future__ import annotations

import contextlib
import os
import stat
import struct
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from converters.background import Background
from converters.errors import UnreadableFileError, UnsafeFileError
from converters.readers.files.source import BLOCK_BYTES, OpenFile, Source, quote

MAX_MEMBERS = 10_000
"""A model archive has three members; this bounds what is looked at before that is known."""
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_ENCRYPTED = 0x1
_DEFLATE_RATIO = 1040
"""Deflate cannot shrink data more than 1032 times (two bits for 258 bytes), plus block headers."""
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, struct.error, NotImplementedError, OSError, ValueError,
           RuntimeError)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Member:
    """Where the bytes of a member lie, uncompressed."""

    file: OpenFile
    offset: int
    size: int


def is_archive(source: Source) -> bool:
    """Tell whether the file starts as zip files do."""
    return source.prefix.startswith((b"PK\x03\x04", b"PK\x05\x06"))


class Archive:
    """An open zip archive. Raises UnreadableFileError or UnsafeFileError for a bad directory."""

    def __init__(self, source: Source) -> None:
        self.file_name = source.name
        self._source = source
        try:
            self._zip = zipfile.ZipFile(source.file.view())
        except _DAMAGE as error:
            message = f"{source.name}: the archive is truncated or damaged ({error})."
            raise UnreadableFileError(message, hint="Copy or download the file again.") from error
        self._members: dict[str, zipfile.ZipInfo] = {}
        infos = self._zip.infolist()
        if len(infos) > MAX_MEMBERS:
            message = f"{source.name}: has {len(infos):,} members; refused."
            raise UnsafeFileError(message)
        for info in infos:
            self._check(info)
            self._members[info.filename] = info
        self._unpacked: Counter[int] = Counter()
        if sum(info.compress_size for info in infos) > source.size:
            message = f"{source.name}: its members lie over each other; refused."
            raise UnsafeFileError(message)

    @property
    def names(self) -> Sequence[str]:
        """Member names in stored order."""
        return tuple(self._members)

    def require_only(self, names: Sequence[str]) -> None:
        """Raise when there are other members (UnsafeFileError) or one is missing (UnreadableFileError)."""
        for name in self._members:
            if name not in names:
                message = f"{self.file_name}: member {quote(name)} does not belong into a model archive; refused."
                raise UnsafeFileError(message)
        missing = [name for name in names if name not in self._members]
        if missing:
            message = f"{self.file_name}: has no member {quote(missing[0])}."
            raise UnreadableFileError(message)

    def read(self, name: str, limit: int) -> bytes:
        """Return a whole member of at most `limit` bytes."""
        return b"".join(self._blocks(self._bounded(name, limit)))

    @contextlib.contextmanager
    def open_member(self, name: str, limit: int) -> Iterator[Member]:
        """Give a member's bytes as part of a file, at most `limit` of them when they are compressed.

        A stored member is read where it lies while its checksum is verified beside; leaving the context waits
        for that. A compressed one goes to a temporary file that is deleted on leaving and stays open.
        """
        if self._members[name].compress_type == zipfile.ZIP_STORED:
            info = self._members[name]
            member = Member(self._source.file, self._start_of(info), info.file_size)
            check = Background(lambda: sum(map(len, self._blocks(info))))
            yield member
            check.result()
            return
        info = self._bounded(name, limit)
        handle, path = tempfile.mkstemp(prefix="torchward-")
        try:
            with os.fdopen(handle, "wb") as spool:
                for block in self._blocks(info):
                    spool.write(block)
            yield Member(OpenFile(Path(path)), 0, info.file_size)
        finally:
            with contextlib.suppress(OSError):
                Path(path).unlink()

    def _check(self, info: zipfile.ZipInfo) -> None:
        where = f"{self.file_name}: member {quote(info.filename)}"
        if info.filename in self._members:
            message = f"{where} is there twice; refused."
            raise UnsafeFileError(message)
        if info.flag_bits & _ENCRYPTED:
            message = f"{where} is encrypted; refused."
            raise UnsafeFileError(message)
        if stat.S_ISLNK(info.external_attr >> 16):
            message = f"{where} is a symbolic link; refused."
            raise UnsafeFileError(message)
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            message = f"{where} is packed with method {info.compress_type}; only stored and deflated are read."
            raise UnsafeFileError(message)
        ratio = _DEFLATE_RATIO if info.compress_type == zipfile.ZIP_DEFLATED else 1
        if info.file_size > ratio * info.compress_size + 64 * (ratio > 1):
            message = (
                f"{where} declares {info.file_size:,} bytes, "
                f"the {info.compress_size:,} stored ones cannot hold them; refused."
            )
            raise UnsafeFileError(message)

    def _bounded(self, name: str, limit: int) -> zipfile.ZipInfo:
        """Return a member, if it and the packed ones read under the same limit before have at most that size."""
        info = self._members[name]
        if info.compress_type != zipfile.ZIP_STORED:
            self._unpacked[limit] += info.file_size
        size = max(info.file_size, self._unpacked[limit])
        if size > limit:
            message = (
                f"{self.file_name}: {name} has {info.file_size:,} bytes, at most {limit:,} are read"
            )
            message += (
                "; refused."
                if size == info.file_size
                else f" of all together ({size:,} so far); refused."
            )
            raise UnsafeFileError(
                message, hint="Raise the limit with --max-size if you trust the file."
            )
        return info

    def _blocks(self, info: zipfile.ZipInfo) -> Iterator[bytes]:
        """Yield a member's bytes; `zipfile` compares the checksum at its end and stops at the declared size."""
        where = f"{self.file_name}: member {quote(info.filename)}"
        done = 0
        try:
            with self._zip.open(info) as stream:
                while block := stream.read(BLOCK_BYTES):
                    done += len(block)
                    yield block
        except _DAMAGE as error:
            message = f"{where} is damaged ({error})."
            raise UnreadableFileError(message) from error
        if done != info.file_size:
            message = f"{where} declares {info.file_size:,} bytes and holds {done:,}."
            raise UnreadableFileError(message)

    def _start_of(self, info: zipfile.ZipInfo) -> int:
        """Return where a stored member's bytes start: behind its local header, whose fields vary in length."""
        raw = (
            self._source.file.read(info.header_offset, _LOCAL_HEADER.size)
            if info.header_offset >= 0
            else b""
        )
        where = f"{self.file_name}: member {quote(info.filename)}"
        if len(raw) < _LOCAL_HEADER.size or not raw.startswith(b"PK\x03\x04"):
            message = f"{where} has no header where the directory says."
            raise UnreadableFileError(message)
        _, name_length, extra_length = _LOCAL_HEADER.unpack(raw)
        start = info.header_offset + _LOCAL_HEADER.size + name_length + extra_length
        if start + info.file_size > self._source.size:
            message = f"{where} ends behind the end of the file."
            raise UnreadableFileError(message)
        return int(start)
