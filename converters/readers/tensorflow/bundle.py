"""Tensor bundles: an `.index` table that says where in the `.data-00000-of-00001` shards every tensor lies.

    ""               header: number of shards, byte order
    "dense/kernel"   entry: type, shape, shard, offset, size, CRC-32C

A variable that was partitioned has an entry that lists slices, and one entry for each slice under an encoded key.
Names of shards are made from the prefix and the header's number; no name is taken from the file.
Source: tensorflow/core/protobuf/tensor_bundle.proto, core/util/tensor_bundle.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from converters.checkpoint import ArrayInfo
from converters.errors import UnreadableFileError, UnsafeFileError, placed
from converters.limits import Limits
from converters.readers.files.source import OpenFile, Source, quote
from converters.readers.tensorflow.crc32c import crc32c, mask
from converters.readers.tensorflow.dtypes import DTYPES, MAX_DIMENSIONS, STRING
from converters.readers.tensorflow.protobuf import (
    Field,
    content,
    fields,
    integer,
    read_varint,
    signed,
)
from converters.readers.tensorflow.table import read_table

MAX_SHARDS = 10_000
_UNREAD = {20: "resource", 21: "variant", 11: "qint8", 12: "quint8", 13: "qint32"}

AnyArray = NDArray[np.generic]
Piece = tuple[tuple[int, int], ...]
"""A part of a tensor: (start, length) by axis; length -1: all of it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What the index says of one tensor."""

    kind: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    checksum: int
    slices: tuple[tuple[tuple[int, int], ...], ...]  # (start, length) by axis; length -1: all of it


@dataclass(frozen=True, slots=True)
class Bundle:
    """A checkpoint's tensors.

    Attributes:
        arrays: numbers by stored name, in the order of the index; the checksum is compared when one is read.
        texts: string tensors: a function that returns their strings, flat.
        unread: names of entries of other kinds, with the kind.
    """

    arrays: Mapping[str, ArrayInfo]
    texts: Mapping[str, Callable[[], list[bytes]]]
    unread: Mapping[str, str]


def read_bundle(source: Source, index: OpenFile, prefix: str, limits: Limits) -> Bundle:
    """Return the tensors of a checkpoint; the shards are opened, nothing of them is read yet.

    Args:
        source: opens the shards, which are the companions of its main file.
        index: the `.index` file.
        prefix: path of the shards without `.data-...`, relative to the folder of the source.
        limits: bounds on the index and on single tensors.

    Raises:
        UnreadableFileError: Damaged, or a shard is missing or shorter than the index says.
    """
    with placed(source.name):
        table = read_table(index, limits)
        shards, swapped = _header(table.pop(b"", b""))
        entries = {key: _entry(value) for key, value in table.items()}
        files = {
            number: source.companion(f"{prefix}.data-{number:05d}-of-{shards:05d}")
            for number in sorted({entry.shard for entry in entries.values() if not entry.slices})
            if number < shards
        }
        return _Assembly(source.name, entries, files, swapped, limits).bundle()


class _Assembly:
    """Checks entries and makes readers of them."""

    def __init__(
        self,
        name: str,
        entries: Mapping[bytes, Entry],
        files: Mapping[int, OpenFile],
        swapped: bool,
        limits: Limits,
    ) -> None:
        self._name, self._entries, self._files = name, entries, files
        self._swapped, self._limits = swapped, limits

    def bundle(self) -> Bundle:
        arrays: dict[str, ArrayInfo] = {}
        texts: dict[str, Callable[[], list[bytes]]] = {}
        unread: dict[str, str] = {}
        for key, entry in self._entries.items():
            if key.startswith(b"\0"):
                continue  # a slice, found through the tensor it belongs to
            name = key.decode("utf-8", "backslashreplace")
            if entry.kind in DTYPES:
                arrays[name] = self._array(name, entry)
            elif entry.kind == STRING:
                self._check_place(name, entry)
                texts[name] = partial(self._read_texts, name, entry)
            else:
                unread[name] = _UNREAD.get(entry.kind, f"type {entry.kind}")
        self._check_sum()
        return Bundle(arrays, texts, unread)

    def _check_sum(self) -> None:
        """Refuse tensors that share bytes: a small file could stand for any number of large ones."""
        stored = dict.fromkeys(self._files, 0)
        for entry in self._entries.values():
            if entry.shard in stored and not entry.slices:
                stored[entry.shard] += max(0, entry.size)
        for shard, total in stored.items():
            if total > self._files[shard].size:
                message = f"tensors claim {total:,} bytes of shard {shard}, which has {self._files[shard].size:,}; refused"
                raise UnsafeFileError(message)

    def _array(self, name: str, entry: Entry) -> ArrayInfo:
        dtype = _dtype(entry.kind)
        if math.prod(entry.shape) * dtype.itemsize > self._limits.max_array_bytes:
            message = (
                f"tensor {quote(name)} of shape {entry.shape} is larger than the limit of "
                f"{self._limits.max_array_bytes:,} bytes"
            )
            raise UnreadableFileError(message, hint="raise the limit with --max-size")
        if not entry.slices:
            self._check_place(name, entry)
            return ArrayInfo(name, entry.shape, dtype, partial(self._read, name, entry))
        parts = []
        for piece in entry.slices:
            stored = self._entries.get(slice_key(name, piece))
            if stored is None or stored.slices or stored.kind != entry.kind:
                message = f"a slice of tensor {quote(name)} is missing: {piece}"
                raise UnreadableFileError(message)
            self._check_place(name, stored)
            parts.append((place_of(name, entry.shape, piece, stored.shape), stored))
        if sum(math.prod(stored.shape) for _, stored in parts) != math.prod(entry.shape):
            message = f"the slices of tensor {quote(name)} do not add up to {entry.shape}"
            raise UnreadableFileError(message)
        return ArrayInfo(
            name, entry.shape, dtype, partial(self._read_slices, name, entry.shape, dtype, parts)
        )

    def _check_place(self, name: str, entry: Entry) -> None:
        file = self._files.get(entry.shard)
        if file is None or entry.offset < 0 or entry.offset + entry.size > file.size:
            found = "no such shard" if file is None else f"found {file.size:,} bytes"
            message = (
                f"tensor {quote(name)} should lie in shard {entry.shard} up to byte "
                f"{entry.offset + entry.size:,}; {found}"
            )
            raise UnreadableFileError(message, hint="the data file may be cut short")
        needed = math.prod(entry.shape) * _stored_size(entry.kind)
        if entry.kind != STRING and needed != entry.size:
            message = (
                f"tensor {quote(name)} of shape {entry.shape} has {entry.size:,} bytes, needed "
                f"{needed:,}"
            )
            raise UnreadableFileError(message)

    def _read(self, name: str, entry: Entry) -> AnyArray:
        with placed(self._name):
            stored = np.dtype("<u2" if DTYPES[entry.kind] == "bfloat16" else DTYPES[entry.kind])
            if self._swapped:
                stored = stored.newbyteorder()
            array = self._files[entry.shard].read_array(entry.offset, entry.shape, stored)
            self._compare(name, entry)
        if DTYPES[entry.kind] == "bfloat16":  # the upper half of a float32
            return (array.astype(np.uint32) << 16).view(np.float32)
        return array

    def _compare(self, name: str, entry: Entry) -> None:
        bytes_ = self._files[entry.shard].read_array(
            entry.offset, (entry.size,), np.dtype(np.uint8)
        )
        if mask(crc32c(bytes_)) != entry.checksum:
            message = f"tensor {quote(name)} does not have its checksum"
            raise UnreadableFileError(message, hint="the data file is damaged; copy it again")

    def _read_slices(
        self,
        name: str,
        shape: tuple[int, ...],
        dtype: np.dtype[np.generic],
        parts: Sequence[tuple[tuple[slice, ...], Entry]],
    ) -> AnyArray:
        whole: AnyArray = np.zeros(shape, dtype)
        for place, stored in parts:
            whole[place] = self._read(name, stored)
        return whole

    def _read_texts(self, name: str, entry: Entry) -> list[bytes]:
        """Return strings: their lengths, the checksum of the lengths, then their bytes."""
        with placed(self._name):
            data = memoryview(self._files[entry.shard].read(entry.offset, entry.size))
            lengths, position = [], 0
            for _ in range(math.prod(entry.shape)):
                length, position = read_varint(data, position)
                lengths.append(length)
            if position + 4 + sum(lengths) != len(data):
                message = f"the strings of {quote(name)} do not fit their {len(data):,} bytes"
                raise UnreadableFileError(message)
            # The checksum covers the lengths as whole numbers, not as they are written.
            wide = [(n).to_bytes(4 if n < 1 << 32 else 8, "little") for n in lengths]
            checksum = crc32c(data[position:], crc32c(b"".join(wide)))
            if mask(checksum) != entry.checksum:
                message = f"the strings of {quote(name)} do not have their checksum"
                raise UnreadableFileError(message)
            position += 4
            texts = []
            for length in lengths:
                texts.append(bytes(data[position : position + length]))
                position += length
            return texts


def _dtype(kind: int) -> np.dtype[np.generic]:
    # numpy has no bfloat16; float32 holds each of its numbers exactly.
    return np.dtype("float32" if DTYPES[kind] == "bfloat16" else DTYPES[kind])


def _stored_size(kind: int) -> int:
    if kind == STRING:
        return 0
    return 2 if DTYPES[kind] == "bfloat16" else np.dtype(DTYPES[kind]).itemsize


def _header(value: bytes) -> tuple[int, bool]:
    """Return the number of shards, and whether numbers are stored in the other byte order."""
    shards, big_endian = 0, 0
    for field in fields(value):
        if field.number == 1:
            shards = integer(field)
        elif field.number == 2:
            big_endian = integer(field)
    if not 1 <= shards <= MAX_SHARDS:
        message = f"the index has no header, or one of {shards:,} shards"
        raise UnreadableFileError(message)
    return shards, bool(big_endian)


def _entry(value: bytes) -> Entry:
    numbers = {1: 0, 3: 0, 4: 0, 5: 0}
    shape: tuple[int, ...] = ()
    checksum, slices = 0, []
    for field in fields(value):
        if field.number in numbers:
            numbers[field.number] = signed(field)
        elif field.number == 2:
            shape = _shape(field)
        elif field.number == 6:
            checksum = integer(field)
        elif field.number == 7:
            slices.append(extents(field))
    return Entry(numbers[1], shape, numbers[3], numbers[4], numbers[5], checksum, tuple(slices))


def _shape(field: Field) -> tuple[int, ...]:
    sizes = []
    for dimension in fields(content(field)):
        if dimension.number == 2:
            size = [signed(part) for part in fields(content(dimension)) if part.number == 1]
            sizes.append(size[-1] if size else 0)
    if len(sizes) > MAX_DIMENSIONS or any(not 0 <= size < 1 << 48 for size in sizes):
        message = f"a tensor of shape {tuple(sizes[:MAX_DIMENSIONS])} cannot be"
        raise UnreadableFileError(message)
    return tuple(sizes)


def extents(field: Field) -> Piece:
    """Return the part of a tensor that a slice is: (start, length) by axis, length -1 for all of it."""
    result = []
    for extent in fields(content(field)):
        numbers = {1: 0, 2: -1}  # without a length: all of the axis
        for part in fields(content(extent)):
            numbers[part.number] = signed(part)
        result.append((numbers[1], numbers[2]))
    return tuple(result)


def place_of(
    name: str, shape: tuple[int, ...], piece: tuple[tuple[int, int], ...], stored: tuple[int, ...]
) -> tuple[slice, ...]:
    """Return where in the whole tensor a slice belongs. Raises UnreadableFileError if it does not fit there."""
    place, sizes = [], []
    for (start, length), size in zip(piece, shape, strict=False):
        count = size if length < 0 else length
        place.append(slice(start, start + count))
        sizes.append(count)
    inside = all(s.start >= 0 and s.stop <= size for s, size in zip(place, shape, strict=False))
    if len(piece) != len(shape) or tuple(sizes) != stored or not inside:
        message = f"slice {piece} of tensor {quote(name)} with shape {stored} does not fit {shape}"
        raise UnreadableFileError(message)
    return tuple(place)


def slice_key(name: str, piece: Sequence[tuple[int, int]]) -> bytes:
    """Return the key of a slice: its name and extents in an encoding that sorts as the numbers do.

    Source: tensorflow/core/lib/strings/ordered_code.h, core/util/saved_tensor_slice_util.cc.
    """
    escaped = name.encode().replace(
        b"\0", b"\0\xff"
    )  # UTF-8 has no byte 0xff, the other special one
    parts = [_ordered(0), escaped + b"\0\1", _ordered(len(piece))]
    parts += [_ordered_signed(number) for extent in piece for number in extent]
    return b"".join(parts)


def _ordered(number: int) -> bytes:
    size = (number.bit_length() + 7) // 8
    return bytes([size]) + number.to_bytes(size, "big")


def _ordered_signed(number: int) -> bytes:
    """Return a number of up to 48 bits and a sign: as many leading ones as bytes, then the number."""
    magnitude = number if number >= 0 else ~number
    size = magnitude.bit_length() // 7 + 1
    header = ((1 << size) - 1) << (8 * size - size)
    value = (number & ((1 << 8 * size) - 1)) ^ header
    return value.to_bytes(size, "big")
