"""Checkpoints of TensorFlow's first format (`Saver(write_version=V1)`, the default before 1.0): one table, no shards.

    ""                          names, shapes, types and slices of all tensors
    encoded name and slice      the numbers of one slice

Source: tensorflow/core/util/saved_tensor_slice.proto, saved_tensor_slice_util.cc.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from converters.checkpoint import ArrayInfo
from converters.errors import UnreadableFileError, placed
from converters.limits import Limits
from converters.readers.files.source import OpenFile, quote
from converters.readers.tensorflow.attributes import (
    AnyArray,
    dtype_name,
    listed_numbers,
    parse_shape,
)
from converters.readers.tensorflow.bundle import Bundle, Piece, extents, place_of, slice_key
from converters.readers.tensorflow.protobuf import content, fields, integer, text
from converters.readers.tensorflow.table import read_table


@dataclass(frozen=True, slots=True)
class _Described:
    """What the table says of one tensor."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    slices: tuple[Piece, ...]


def read_first_format(files: Sequence[OpenFile], name: str, limits: Limits) -> Bundle:
    """Return the tensors of a checkpoint; its tables are in memory, numbers are decoded when they are asked for.

    Args:
        files: one table, or the shards of a sharded checkpoint; parts of one tensor may lie in several.
        name: of the checkpoint, for messages.
        limits: bounds on the tables and on single tensors.

    Raises:
        UnreadableFileError: Damaged, or a slice is missing.
    """
    with placed(name):
        # Numbers lie in the table itself; snappy makes at most some 20 bytes of one.
        size = sum(file.size for file in files)
        budget = min(limits.max_array_bytes, max(limits.max_json_bytes, 32 * size))
        table: dict[bytes, bytes] = {}
        by_name: dict[str, _Described] = {}
        for file in files:
            part = read_table(file, limits, budget=budget)
            budget -= sum(map(len, part.values()))
            for each in _described(part.pop(b"", b"")):
                _add(by_name, each)
            table |= part
        described = list(by_name.values())
        arrays: dict[str, ArrayInfo] = {}
        texts: dict[str, Callable[[], list[bytes]]] = {}
        unread: dict[str, str] = {}
        for each in described:
            if each.dtype == "string":
                texts[each.name] = partial(_texts, name, table, each)
            elif each.dtype:
                arrays[each.name] = _array(name, table, each, limits)
            else:
                unread[each.name] = "a type without numbers"
        return Bundle(arrays, texts, unread)


def _add(by_name: dict[str, _Described], described: _Described) -> None:
    """Add a tensor, or further parts of one."""
    known = by_name.get(described.name)
    if known is None:
        by_name[described.name] = described
        return
    if (known.shape, known.dtype) != (described.shape, described.dtype):
        msg = f"tensor {quote(described.name)} has other shapes or types in other shards"
        raise UnreadableFileError(msg)
    slices = tuple(dict.fromkeys((*known.slices, *described.slices)))
    by_name[described.name] = replace(known, slices=slices)


def is_first_format(file: OpenFile, limits: Limits) -> bool:
    """Tell whether a table is such a checkpoint: its first value describes tensors."""
    try:
        return bool(_described(read_table(file, limits, first_block=True).get(b"", b"")))
    except UnreadableFileError:
        return False


def _described(value: bytes) -> list[_Described]:
    headers = (fields(content(part)) for part in fields(value) if part.number == 1)
    return [
        _description(content(entry)) for header in headers for entry in header if entry.number == 1
    ]


def _description(message: memoryview) -> _Described:
    name, dtype = "", 0
    shape: tuple[int | None, ...] | None = ()
    slices: list[Piece] = []
    for part in fields(message):
        if part.number == 1:
            name = text(part)
        elif part.number == 2:
            shape = parse_shape(content(part))
        elif part.number == 3:
            dtype = integer(part)
        elif part.number == 4:
            slices.append(extents(part))
    if shape is None or None in shape:
        msg = f"tensor {quote(name)} has an open shape"
        raise UnreadableFileError(msg)
    return _Described(name, tuple(size or 0 for size in shape), dtype_name(dtype), tuple(slices))


def _array(
    file: str, table: Mapping[bytes, bytes], described: _Described, limits: Limits
) -> ArrayInfo:
    stored = np.dtype("<u2" if described.dtype == "bfloat16" else described.dtype)
    if math.prod(described.shape) * stored.itemsize > limits.max_array_bytes:
        msg = (
            f"tensor {quote(described.name)} of shape {described.shape} is larger than the limit of "
            f"{limits.max_array_bytes:,} bytes"
        )
        raise UnreadableFileError(msg, hint="raise the limit with --max-size")
    pieces = []
    total = 0
    for piece in described.slices:
        key = slice_key(described.name, piece)
        if key not in table:
            msg = f"a slice of tensor {quote(described.name)} is missing: {piece}"
            raise UnreadableFileError(msg)
        sizes = tuple(
            size if length < 0 else length
            for (_, length), size in zip(piece, described.shape, strict=False)
        )
        pieces.append((place_of(described.name, described.shape, piece, sizes), key))
        total += math.prod(sizes)
    if total != math.prod(described.shape):
        msg = f"the slices of tensor {quote(described.name)} do not add up to {described.shape}"
        raise UnreadableFileError(msg)
    dtype = np.dtype("float32" if described.dtype == "bfloat16" else described.dtype)
    read = partial(_read, file, table, described, pieces, dtype)
    return ArrayInfo(described.name, described.shape, dtype, read)


def _read(
    file: str,
    table: Mapping[bytes, bytes],
    described: _Described,
    pieces: Sequence[tuple[tuple[slice, ...], bytes]],
    dtype: np.dtype[np.generic],
) -> AnyArray:
    with placed(file):
        whole: AnyArray = np.zeros(described.shape, dtype)
        for place, key in pieces:
            target = whole[place]
            numbers = listed_numbers(_data(table[key]), described.dtype)
            if numbers.size != target.size:
                msg = f"a slice of tensor {quote(described.name)} has {numbers.size:,} numbers, needed {target.size:,}"
                raise UnreadableFileError(msg)
            whole[place] = numbers.reshape(target.shape)
        return whole


def _data(value: bytes) -> memoryview:
    """Return the numbers of a slice, as a TensorProto without type and shape."""
    for part in fields(value):
        if part.number == 2:
            for each in fields(content(part)):
                if each.number == 3:
                    return content(each)
    return memoryview(b"")


def _texts(file: str, table: Mapping[bytes, bytes], described: _Described) -> list[bytes]:
    with placed(file):
        return [
            bytes(content(part))
            for piece in described.slices
            for part in fields(_data(table.get(slice_key(described.name, piece), b"")))
            if part.number == 8
        ]
