"""The child process that parses HDF5: one request a line on standard input, one index a line on standard output.

It runs as a script in an isolated interpreter and imports nothing of this project, so that its memory holds only
the HDF5 library and the file. What it answers is checked again by the parent (`client.py`): a library that was
broken by a file can send anything. Everything in here that is not a number in a dataset or a name is refused.
"""

from __future__ import annotations

import io
import json
import math
import os
import re
import struct
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO, NoReturn

import h5py
import numpy as np

MAX_DEPTH = 100
"""Nesting of groups; Keras' deepest containers stay under 20."""
MAX_NAME_CHARACTERS = 1024
MAX_CHUNK_BYTES = 128 * 1024**2
"""One chunk is decoded in memory; HDF5's default chunks are under 1 MiB."""
SLAB_BYTES = 16 * 1024**2
"""Decoded rows that travel to the parent at once."""
ADDRESS_SPACE_BYTES = 1024**3
KNOWN_FILTERS = {1: "deflate", 2: "shuffle", 3: "fletcher32", 32000: "lzf"}
"""Filters inside the HDF5 library or h5py; all others would be plugins."""
UNSAFE, UNREADABLE = "unsafe", "unreadable"
TEXT_ATTRIBUTES = ("keras_version", "backend", "model_config", "training_config", "name")
LIST_ATTRIBUTES = ("layer_names", "weight_names")
FRAME = struct.Struct("<q")
"""Length before each piece of decoded data; -1: a refusal follows."""

H5Object = Any  # h5py has no types
Json = dict[str, Any]  # JSON of mixed values


class RefusedError(Exception):
    """A file that is not read; `kind` is "unsafe" or "unreadable"."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def unsafe(message: str) -> NoReturn:
    """Refuse a file that asks for what is never done."""
    raise RefusedError(UNSAFE, f"{message}; refused.")


def unreadable(message: str) -> NoReturn:
    """Refuse a damaged file."""
    raise RefusedError(UNREADABLE, f"{message}.")


class _Window(io.RawIOBase):
    """Part of a file for HDF5's file-object driver: a member that lies uncompressed in an archive."""

    def __init__(self, file: BinaryIO, offset: int, size: int) -> None:
        super().__init__()
        self._file, self._offset, self._size, self._position = file, offset, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = start + offset
        return self._position

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        view = memoryview(buffer).cast("B")
        # Short reads would leave old memory in HDF5's buffer, so reading past the end is an error.
        if self._position < 0 or self._position + len(view) > self._size:
            message = f"reads {len(view)} bytes at {self._position}, the file has {self._size}"
            raise OSError(message)
        self._file.seek(self._offset + self._position)
        done = 0
        while done < len(view):
            count = self._file.readinto(view[done:])  # type: ignore[attr-defined]
            if not count:
                message = "file became shorter"
                raise OSError(message)
            done += count
        self._position += done
        return done


class Walk:
    """One pass over a file; `groups`, `attributes` and `datasets` are what the answer holds.

    Attributes:
        pending: dataset and its place in `datasets`, for those that must be decoded.
    """

    def __init__(self, root: H5Object, size: int, bounds: dict[str, int]) -> None:
        self._root, self._size, self._bounds = root, size, bounds
        self.groups: list[str] = []
        self.attributes: dict[str, dict[str, str | list[str]]] = {}
        self.datasets: list[Json] = []
        self.pending: list[tuple[Any, int]] = []
        self._seen: dict[tuple[int, int], str] = {}
        self._names = self._text = self._stored = self._decoded = 0

    def run(self) -> None:
        """Visit every object once, without recursion. Raises RefusedError."""
        stack = [("", self._root, 0)]
        self._visit("", self._root)
        while stack:
            path, group, depth = stack.pop()
            self.groups.append(path)
            self._read_attributes(path, group)
            for raw in self._member_names(path, group):
                name = decode_name(raw)
                child = f"{path}/{name}" if path else name
                self._count(child, name)
                entry = open_member(group, raw, child)
                self._visit(child, entry)
                if isinstance(entry, h5py.h5g.GroupID):
                    if depth >= MAX_DEPTH:
                        unsafe(f"groups are nested deeper than {MAX_DEPTH} levels")
                    stack.append((child, entry, depth + 1))
                elif isinstance(entry, h5py.h5d.DatasetID):
                    self._add_dataset(child, entry)
                else:
                    unreadable(f"{quote(child)} is neither a group nor a dataset")

    def _member_names(self, path: str, group: H5Object) -> list[bytes]:
        if group.get_num_objs() > self._bounds["max_names"]:
            unsafe(f"group {quote(path)} has over {self._bounds['max_names']:,} members")
        return list(group)

    def _count(self, path: str, name: str) -> None:
        self._names += 1
        self._text += len(path)
        if self._names > self._bounds["max_names"]:
            unsafe(f"holds over {self._bounds['max_names']:,} names")
        if len(name) > MAX_NAME_CHARACTERS or self._text > self._bounds["max_text_bytes"]:
            unsafe(f"names are too long, at {quote(path)}")

    def _visit(self, path: str, entry: H5Object) -> None:
        information = h5py.h5o.get_info(entry)
        address = (information.fileno, information.addr)
        if address in self._seen:
            first = quote(self._seen[address])
            unsafe(f"{quote(path)} is the same object as {first}, under a second name")
        self._seen[address] = path

    def _read_attributes(self, path: str, group: H5Object) -> None:
        found: dict[str, str | list[str]] = {}
        for name in TEXT_ATTRIBUTES:
            if h5py.h5a.exists(group, name.encode()):
                found[name] = self._read_text(path, group, name)
        for name in LIST_ATTRIBUTES:
            values = self._read_list(path, group, name)
            if values is not None:
                found[name] = values
        if found:
            self.attributes[path] = found

    def _read_list(self, path: str, group: H5Object, name: str) -> list[str] | None:
        """Read a list of names, also one that is split over `name0`, `name1`, ... (above 64 KiB)."""
        if h5py.h5a.exists(group, name.encode()):
            return self._read_strings(path, group, name)
        values: list[str] | None = None
        part = 0
        while h5py.h5a.exists(group, f"{name}{part}".encode()):
            values = (values or []) + self._read_strings(path, group, f"{name}{part}")
            part += 1
        return values

    def _read_text(self, path: str, group: H5Object, name: str) -> str:
        values = self._read_strings(path, group, name)
        if len(values) != 1:
            unreadable(f"attribute {name!r} of {quote(path)} holds {len(values)} texts, not one")
        return values[0]

    def _read_strings(self, path: str, group: H5Object, name: str) -> list[str]:
        where = f"attribute {name!r} of {quote(path or '/')}"
        attribute = h5py.h5a.open(group, name.encode())
        shape = attribute.shape or ()
        count = math.prod(shape) if attribute.shape is not None else 0
        size = count * attribute.get_type().get_size()
        if count > self._bounds["max_names"] or size > self._bounds["max_text_bytes"]:
            unsafe(f"{where} declares {count:,} texts, {size:,} bytes")
        if count == 0:
            return []  # h5py stores an empty list as an array of float64
        if attribute.get_type().get_class() != h5py.h5t.STRING:
            unreadable(f"{where} does not hold text")
        value = h5py.AttributeManager(h5py.Group(group))[name]
        texts = [decode_name(item) for item in np.asarray(value, dtype=object).reshape(-1)]
        self._text += sum(map(len, texts))
        if self._text > self._bounds["max_text_bytes"]:
            unsafe(f"names and configuration exceed {self._bounds['max_text_bytes']:,} bytes")
        return texts

    def _add_dataset(self, path: str, dataset: H5Object) -> None:
        where = f"dataset {quote(path)}"
        properties = dataset.get_create_plist()
        layout = properties.get_layout()
        refuse_outside_storage(where, properties, layout)
        dtype = number_type(where, dataset)
        shape = dataset.shape
        if shape is None:
            unreadable(f"{where} has no shape")
        size = math.prod(shape) * dtype.itemsize
        if math.prod(max(1, length) for length in shape) >= 2**60:
            unsafe(f"{where} has the shape {shape}, which no array can have")
        if size > self._bounds["max_array_bytes"]:
            limit = self._bounds["max_array_bytes"]
            unsafe(f"{where} declares {size:,} bytes, at most {limit:,} are read")
        entry: Json = {
            "path": path,
            "shape": list(shape),
            "dtype": dtype.str,
            "offset": None,
        }
        if size:
            in_place = layout == h5py.h5d.CONTIGUOUS and same_layout(dataset, dtype)
            if layout == h5py.h5d.CONTIGUOUS:
                offset = self._check_contiguous(where, dataset, size)
                entry["offset"] = offset if in_place else None
            elif layout == h5py.h5d.CHUNKED:
                self._check_chunks(where, dataset, properties, dtype)
            if not in_place:
                self._decoded += size
                if self._decoded > self._bounds["max_array_bytes"]:
                    unsafe(
                        f"compressed arrays decode to over {self._bounds['max_array_bytes']:,} bytes"
                    )
                self.pending.append((dataset, len(self.datasets)))
        self.datasets.append(entry)

    def _check_contiguous(self, where: str, dataset: H5Object, size: int) -> int:
        stored = dataset.get_storage_size()
        offset = dataset.get_offset()
        if offset is None or stored != size:
            stored = 0 if offset is None else stored
            unsafe(f"{where} declares {size:,} bytes, the file stores {stored:,}")
        if offset + size > self._size:
            unreadable(f"{where} ends at byte {offset + size:,}, the file has {self._size:,}")
        self._stored += size
        if self._stored > self._size:
            unsafe(f"arrays declare over {self._size:,} bytes, more than the file has")
        return int(offset)

    def _check_chunks(
        self, where: str, dataset: H5Object, properties: H5Object, dtype: np.dtype
    ) -> None:
        for index in range(properties.get_nfilters()):
            code = properties.get_filter(index)[0]
            if code not in KNOWN_FILTERS:
                known = ", ".join(KNOWN_FILTERS.values())
                unsafe(f"{where} is packed with filter {code}; only {known} are read")
        chunk = properties.get_chunk()
        if math.prod(chunk) * dtype.itemsize > MAX_CHUNK_BYTES:
            unsafe(f"{where} has chunks of {math.prod(chunk) * dtype.itemsize:,} bytes")
        # Chunks that were never written read as zeros: a shape can then declare what nothing stands for.
        needed = math.prod(
            -(-length // step) for length, step in zip(dataset.shape, chunk, strict=True)
        )
        if needed > self._size or dataset.get_num_chunks() != needed:
            unsafe(f"{where} declares {needed:,} chunks, the file stores fewer")
        self._stored += dataset.get_storage_size()
        if self._stored > self._size:
            unsafe(f"arrays declare over {self._size:,} bytes, more than the file has")


def quote(text: str) -> str:
    """Return a name for a message: quoted, control characters escaped, at most 200 characters."""
    return repr(text if len(text) <= 200 else text[:197] + "...")


def decode_name(value: str | bytes) -> str:
    """Return a stored name as text. Raises RefusedError when it is not UTF-8."""
    try:
        text = value.decode() if isinstance(value, bytes) else value
        text.encode()  # h5py hides undecodable bytes in surrogates
    except UnicodeError:
        unreadable(f"a name is not UTF-8 text ({value[:80]!a})")
    return text


def open_member(group: H5Object, raw: bytes, path: str) -> H5Object:
    """Open a member that really lies in this file. Raises RefusedError for every kind of link."""
    kind = group.links.get_info(raw).type
    if kind == h5py.h5l.TYPE_EXTERNAL:
        target = group.links.get_val(raw)[0].decode(errors="replace")
        unsafe(f"dataset {quote(path)} is an external link (to {quote(target)})")
    if kind == h5py.h5l.TYPE_SOFT:
        target = group.links.get_val(raw).decode(errors="replace")
        unsafe(f"dataset {quote(path)} is a soft link (to {quote(target)})")
    if kind != h5py.h5l.TYPE_HARD:
        unsafe(f"dataset {quote(path)} is a link of kind {kind}")
    return h5py.h5o.open(group, raw)


def refuse_outside_storage(where: str, properties: H5Object, layout: int) -> None:
    """Raise RefusedError when the values lie in other files."""
    if layout == h5py.h5d.VIRTUAL:
        target = properties.get_virtual_filename(0) if properties.get_virtual_count() else ""
        unsafe(f"{where} is a virtual dataset (of {quote(target)})")
    if properties.get_external_count():
        target = properties.get_external(0)[0].decode(errors="replace")
        unsafe(f"{where} is stored in another file ({quote(target)})")


BFLOAT16 = np.dtype("V2")
"""numpy has no such numbers; Keras stores them as pairs of bytes that HDF5 knows nothing of (keras 3.15.1)."""


def number_type(where: str, dataset: H5Object) -> np.dtype:
    """Return the numpy type of a dataset of plain numbers. Raises RefusedError."""
    kind = dataset.get_type().get_class()
    names = {h5py.h5t.STRING: "text", h5py.h5t.COMPOUND: "records", h5py.h5t.REFERENCE: "references",
             h5py.h5t.VLEN: "lists", h5py.h5t.OPAQUE: "opaque data", h5py.h5t.ARRAY: "arrays"}  # fmt: skip
    if kind == h5py.h5t.OPAQUE and dataset.get_type().get_size() == BFLOAT16.itemsize:
        return BFLOAT16
    if kind in names:
        unreadable(f"{where} holds {names[kind]}, not numbers")
    try:
        dtype: np.dtype = np.dtype(dataset.dtype)
    except (TypeError, ValueError):
        unreadable(f"{where} has a number type without a numpy counterpart")
    if not re.fullmatch(r"[<>|][fiub]\d+", dtype.str) or dtype.itemsize > 8:
        unreadable(f"{where} has the type {dtype.str!r}; only real numbers are read")
    return dtype


def same_layout(dataset: H5Object, dtype: np.dtype) -> bool:
    """Tell whether the stored bytes are the numpy array itself (no odd precision, no boolean enumeration)."""
    if dtype == BFLOAT16:
        return True
    return dtype.kind != "b" and bool(dataset.get_type().equal(h5py.h5t.py_create(dtype)))


def decode_slabs(dataset: H5Object) -> Iterator[bytes]:
    """Yield the values of a dataset in C order, some rows at a time."""
    high_level = h5py.Dataset(dataset)
    if dataset.shape == ():
        yield np.asarray(high_level[()]).tobytes()
        return
    row_bytes = math.prod(dataset.shape[1:]) * dataset.dtype.itemsize
    rows = max(1, SLAB_BYTES // row_bytes)
    if high_level.chunks:
        # Whole chunks where they fit, so that none is unpacked twice.
        rows = max(rows - rows % high_level.chunks[0], min(rows, high_level.chunks[0]))
    for start in range(0, dataset.shape[0], rows):
        yield np.ascontiguousarray(high_level[start : start + rows]).tobytes()


def read_index(file: BinaryIO, request: Json) -> Iterator[Json | bytes]:
    """Yield the index of an HDF5 file, then the bytes of what had to be decoded, in the order of the index. Raises RefusedError.

    Errors of the library come out as RefusedError too, so that a caller sees one kind.
    """
    window = _Window(file, request["offset"], request["size"])
    try:
        with h5py.File(window, "r") as handle:
            walk = Walk(h5py.h5g.open(handle.id, b"/"), request["size"], request["bounds"])
            walk.run()
            yield {
                "groups": walk.groups,
                "attributes": walk.attributes,
                "datasets": walk.datasets,
                "decoded": [index for _, index in walk.pending],
            }
            for dataset, _ in walk.pending:
                yield from decode_slabs(dataset)
    except (RefusedError, GeneratorExit):
        raise
    except MemoryError:
        unsafe("asks for more memory than a file of its kind needs")
    except Exception as error:  # h5py has no base class for its errors
        reason = " ".join(str(error).split())[:200]
        unreadable(f"the HDF5 structure is damaged ({reason})")


def limit_resources() -> None:
    """Bound what this process may take: memory, files, no output to disk, no core dump."""
    try:
        import resource
    except ImportError:  # not a POSIX system
        return
    bounds = {
        "RLIMIT_AS": ADDRESS_SPACE_BYTES,
        "RLIMIT_NOFILE": 32,
        "RLIMIT_FSIZE": 0,
        "RLIMIT_CORE": 0,
    }
    for name, value in bounds.items():
        try:
            kind = getattr(resource, name)
            hard = resource.getrlimit(kind)[1]
            limit = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(kind, (limit, limit))
        except (AttributeError, ValueError, OSError):
            continue  # the system does not know this bound; the others still hold


def limit_time(seconds: int) -> None:
    """Let the process live for that much more processor time."""
    try:
        import resource
    except ImportError:
        return
    usage = resource.getrusage(resource.RUSAGE_SELF)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    limit = math.ceil(usage.ru_utime + usage.ru_stime) + seconds
    if hard == resource.RLIM_INFINITY or limit <= hard:
        resource.setrlimit(resource.RLIMIT_CPU, (limit, hard))


def answer(request: Json, output: BinaryIO) -> None:
    """Read one file and write index and decoded data, or the reason why not."""
    header_sent = False
    try:
        with open(request["path"], "rb", buffering=0) as file:  # noqa: PTH123  no imports beyond need
            status = os.fstat(file.fileno())
            if [status.st_dev, status.st_ino] != request["identity"]:
                unreadable("the file was replaced while it was read")
            for part in read_index(file, request):
                if isinstance(part, dict):
                    output.write(json.dumps({"index": part}).encode() + b"\n")
                    header_sent = True
                else:
                    output.write(FRAME.pack(len(part)) + part)
    except (RefusedError, OSError) as error:
        kind = error.kind if isinstance(error, RefusedError) else UNREADABLE
        if header_sent:
            output.write(FRAME.pack(-1))
        output.write(json.dumps({"error": kind, "message": str(error)}).encode() + b"\n")
    output.flush()


def serve() -> None:
    """Answer requests until standard input ends."""
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a library that prints must not end up in the answers
    limit_resources()
    for line in sys.stdin.buffer:
        request = json.loads(line)
        limit_time(request["seconds"])
        answer(request, output)


if __name__ == "__main__":
    serve()
