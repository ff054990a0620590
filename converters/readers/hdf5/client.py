"""The parent's side of HDF5: asks a worker for the index of a file and checks the answer.

The library that parses HDF5 is never loaded into this process. A worker serves one file after another, but one
that had to refuse a file is not used again: what a hostile file did to its memory must not reach the next file.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import signal
import struct
import subprocess
import tempfile
import threading
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from converters.checkpoint import ArrayInfo
from converters.errors import ConversionError, UnreadableFileError, UnsafeFileError
from converters.limits import Limits
from converters.readers.files.source import OpenFile, Source
from converters.readers.hdf5 import header, processes

_START_SECONDS = 5
_BYTES_PER_SECOND = 5_000_000
"""Processor time for one file: `_START_SECONDS` and its size at this rate, far below any disk. Damaged heaps can
keep the HDF5 library in a loop for ever (seen with mutated files and HDF5 1.14.6)."""
_WAIT_FACTOR = 10
"""Waiting is bounded by that multiple of the processor time, for machines that do much else."""
_END_SECONDS = 10
"""A process closes its pipes a moment before it is gone, with the signal that ended it; on a busy machine it waits for that
moment."""
_FRAME = struct.Struct("<q")
_NONSENSE = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    RecursionError,
    struct.error,
)
_DTYPE = re.compile(r"[<>|][fiub][1248]|\|V2")


@dataclass(frozen=True, slots=True)
class Hdf5Index:
    """What an HDF5 file holds, by path without a leading slash; the root is "".

    Attributes:
        groups: all group paths.
        attributes: group path to attribute name to text or list of texts, as far as Keras uses them.
        arrays: dataset path to array.
    """

    groups: frozenset[str]
    attributes: Mapping[str, Mapping[str, str | list[str]]]
    arrays: Mapping[str, ArrayInfo]

    def text(self, group: str, name: str) -> str | None:
        """Return an attribute that is one text, or None when there is none."""
        value = self.attributes.get(group, {}).get(name)
        return value if isinstance(value, str) else None

    def texts(self, group: str, name: str) -> list[str] | None:
        """Return an attribute that is a list of texts, or None when there is none."""
        value = self.attributes.get(group, {}).get(name)
        return value if isinstance(value, list) else None


def read_hdf5_index(
    file: OpenFile, name: str, limits: Limits, *, offset: int = 0, size: int | None = None
) -> Hdf5Index:
    """Return the index of the HDF5 data in `file`.

    Args:
        file: the open file; its arrays are read from it later.
        name: file name (and member) for messages.
        limits: bounds on sizes and counts.
        offset: where the HDF5 data starts, in bytes.
        size: bytes of HDF5 data, to the end of the file if not given.

    Raises:
        UnsafeFileError: Links, external or virtual data, plugins, sizes that nothing stands for.
        UnreadableFileError: Truncated or damaged, or the HDF5 library crashed on it.
    """
    size = file.size - offset if size is None else size
    header.check_length(name, file.read(offset, min(size, 64)), size)
    seconds = _START_SECONDS + size // _BYTES_PER_SECOND
    request = {
        "path": str(file.path.absolute()),
        "identity": list(file.identity),
        "offset": offset,
        "size": size,
        "seconds": seconds,
        "bounds": {
            "max_array_bytes": limits.max_array_bytes,
            "max_names": limits.max_names,
            "max_text_bytes": limits.max_json_bytes,
        },
    }
    worker = processes.take_worker()
    timer = threading.Timer(_WAIT_FACTOR * seconds, worker.process.kill)
    timer.daemon = True
    timer.start()
    try:
        index = _Exchange(worker, file, name, offset, size, limits).run(request)
    except BaseException:
        worker.close()
        raise
    finally:
        timer.cancel()
    processes.keep_worker(worker)
    return index


_indices: weakref.WeakKeyDictionary[Source, Hdf5Index] = weakref.WeakKeyDictionary()


def index_of(source: Source, limits: Limits) -> Hdf5Index | None:
    """Return the index of an HDF5 file, read once for each source, or None for another kind of file."""
    if not header.is_hdf5(source.prefix):
        return None
    if source not in _indices:
        _indices[source] = read_hdf5_index(source.file, source.name, limits)
    return _indices[source]


def require_index(source: Source, limits: Limits) -> Hdf5Index:
    """Return the index of an HDF5 file. Raises UnreadableFileError for another kind of file."""
    index = index_of(source, limits)
    if index is None:
        message = f"{source.name}: is not an HDF5 file."
        raise UnreadableFileError(message)
    return index


class _Exchange:
    """One request and its answer."""

    def __init__(
        self,
        worker: processes.Worker,
        file: OpenFile,
        name: str,
        offset: int,
        size: int,
        limits: Limits,
    ) -> None:
        self._process = worker.process
        self._file, self._name, self._offset, self._size, self._limits = (
            file,
            name,
            offset,
            size,
            limits,
        )

    def run(self, request: Mapping[str, object]) -> Hdf5Index:
        try:
            return self._ask(request)
        except _NONSENSE as error:
            # A worker that was killed answers nothing, one that was taken over answers anything.
            raise self._crash() from error

    def _ask(self, request: Mapping[str, object]) -> Hdf5Index:
        if self._process.stdin is None or self._process.stdout is None:
            message = "no pipes"
            raise ValueError(message)
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        answer = self._read_line(self._process.stdout)
        if "error" in answer:
            raise self._refusal(answer)
        index = answer["index"]
        if not isinstance(index, dict):
            message = "no index"
            raise TypeError(message)
        decoded = self._receive(self._process.stdout, index)
        arrays = [
            self._array(entry, decoded.get(place)) for place, entry in enumerate(index["datasets"])
        ]
        if len({array.name for array in arrays}) != len(arrays):
            message = "a path twice"
            raise ValueError(message)
        return Hdf5Index(
            groups=frozenset(_texts(index["groups"])),
            attributes=_attributes(index["attributes"]),
            arrays={array.name: array for array in arrays},
        )

    def _read_line(self, stream: IO[bytes]) -> dict[str, object]:
        # Names and texts are bounded by the worker; escapes can make a character six bytes long.
        line = stream.readline(8 * self._limits.max_json_bytes + 512 * self._limits.max_names)
        answer = json.loads(line)
        if not isinstance(answer, dict):
            message = "no object"
            raise TypeError(message)
        return answer

    def _refusal(self, answer: Mapping[str, object]) -> ConversionError:
        kind = UnsafeFileError if answer["error"] == "unsafe" else UnreadableFileError
        return kind(f"{self._name}: {answer['message']}")

    def _receive(
        self, stream: IO[bytes], index: Mapping[str, object]
    ) -> dict[int, tuple[OpenFile, int]]:
        """Write decoded data to an anonymous file and return where each dataset lies in it."""
        places = index["decoded"]
        datasets = index["datasets"]
        if not isinstance(places, list) or not isinstance(datasets, list):
            message = "no lists"
            raise TypeError(message)
        if not places:
            return {}
        handle, path = tempfile.mkstemp(prefix="torchward-")
        try:
            starts: dict[int, int] = {}
            with os.fdopen(handle, "wb") as spool:
                for place in places:
                    # Aligned, so that large arrays can be mapped.
                    spool.write(bytes(-spool.tell() % 64))
                    starts[place] = spool.tell()
                    self._receive_array(stream, spool, _byte_count(datasets[place]))
            file = OpenFile(Path(path))
        finally:
            with contextlib.suppress(OSError):
                Path(path).unlink()
        return {place: (file, start) for place, start in starts.items()}

    def _receive_array(self, stream: IO[bytes], spool: IO[bytes], size: int) -> None:
        if size > self._limits.max_array_bytes:
            message = "over the limit"
            raise ValueError(message)
        while size:
            (count,) = _FRAME.unpack(stream.read(_FRAME.size))
            if count < 0:
                raise self._refusal(self._read_line(stream))
            if not 0 < count <= size:
                message = "a frame of the wrong size"
                raise ValueError(message)
            size -= count
            while count:
                block = stream.read(min(count, 1024 * 1024))
                if not block:
                    message = "no more data"
                    raise ValueError(message)
                spool.write(block)
                count -= len(block)

    def _array(
        self, entry: Mapping[str, object], decoded: tuple[OpenFile, int] | None
    ) -> ArrayInfo:
        path, shape, dtype_text = entry["path"], _shape(entry), entry["dtype"]
        if (
            not isinstance(path, str)
            or not isinstance(dtype_text, str)
            or not _DTYPE.fullmatch(dtype_text)
        ):
            message = "no path or type"
            raise TypeError(message)
        dtype = np.dtype(dtype_text)
        file, start = decoded or (self._file, self._stored_at(entry))
        if dtype.kind == "V":
            return ArrayInfo(
                path, shape, np.dtype(np.float32), lambda: _read_bfloat16(file, start, shape)
            )
        native = dtype.newbyteorder("=")
        return ArrayInfo(path, shape, native, lambda: file.read_array(start, shape, dtype))

    def _stored_at(self, entry: Mapping[str, object]) -> int:
        """Return where in the file an array that needs no decoding starts, checked against the file's size."""
        size = _byte_count(entry)
        offset = entry["offset"]
        if size == 0:
            return 0
        if not isinstance(offset, int) or offset < 0 or offset + size > self._size:
            message = "outside of the file"
            raise ValueError(message)
        return self._offset + offset

    def _crash(self) -> ConversionError:
        """Say how the worker ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=_END_SECONDS)
        code = self._process.returncode
        if code is not None and code in (
            -getattr(signal, "SIGXCPU", 0),
            -getattr(signal, "SIGKILL", 0),
        ):
            message = (
                f"{self._name}: takes far longer to parse than a file of its size needs; refused."
            )
            return UnsafeFileError(message)
        how = (
            f"signal {-code}" if code is not None and code < 0 else "an answer that makes no sense"
        )
        return UnreadableFileError(f"{self._name}: the HDF5 library broke down on it ({how}).")


def _shape(entry: Mapping[str, object]) -> tuple[int, ...]:
    shape = entry["shape"]
    if (
        not isinstance(shape, list)
        or len(shape) > 32
        or not all(type(n) is int and n >= 0 for n in shape)
    ):
        message = "no shape"
        raise TypeError(message)
    if (
        math.prod(max(1, length) for length in shape) >= 2**60
    ):  # numpy fails on it even if an axis is empty
        message = "a shape no array can have"
        raise ValueError(message)
    return tuple(shape)


def _texts(value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        message = "no list of texts"
        raise TypeError(message)
    return value


def _attributes(value: object) -> dict[str, dict[str, str | list[str]]]:
    if not isinstance(value, dict) or not all(isinstance(item, dict) for item in value.values()):
        message = "no attributes"
        raise TypeError(message)
    return {
        group: {
            name: text if isinstance(text, str) else _texts(text) for name, text in found.items()
        }
        for group, found in value.items()
    }


def _read_bfloat16(file: OpenFile, start: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return numbers of bfloat16 as float32, whose upper half they are."""
    halves = file.read_array(start, shape, np.dtype("<u2"))
    return (halves.astype(np.uint32) << 16).view(np.float32)


def _byte_count(entry: Mapping[str, object]) -> int:
    dtype = entry["dtype"]
    if not isinstance(dtype, str) or not _DTYPE.fullmatch(dtype):
        message = "no type"
        raise TypeError(message)
    return math.prod(_shape(entry)) * np.dtype(dtype).itemsize
