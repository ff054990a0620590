"""Attributes of nodes, and the tensors in them, read when they are asked for.

Source: tensorflow/core/framework/{attr_value,tensor,tensor_shape,types}.proto.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from converters.errors import UnreadableFileError
from converters.limits import MAX_ARRAY_BYTES
from converters.readers.tensorflow.dtypes import DTYPES, MAX_DIMENSIONS, STRING
from converters.readers.tensorflow.protobuf import (
    BYTES,
    VARINT,
    Field,
    content,
    fields,
    integer,
    read_varint,
    signed,
)

AnyArray = NDArray[np.generic]
Shape = tuple[int | None, ...] | None
"""None as a size: open; None as a whole: the number of axes is open."""
_REFERENCE = 100
"""Added to the number of a type for references to variables of TensorFlow 1."""
_MAX_REPEATED_BYTES = 64 * 1024**2
"""A constant that is written as one number and a shape: more of it than this is no constant of a network."""


@dataclass(frozen=True, slots=True)
class Attributes:
    """The attributes of a node by name; each method gives `default` where there is none of that kind."""

    raw: Mapping[str, memoryview] = field(default_factory=dict)

    def __contains__(self, key: str) -> bool:
        return key in self.raw

    def _last(self, key: str, number: int) -> Field | None:
        found = [part for part in fields(self.raw.get(key, b"")) if part.number == number]
        return found[-1] if found else None

    def integer(self, key: str, default: int = 0) -> int:
        """Return a whole number."""
        found = self._last(key, 3)
        return default if found is None else signed(found)

    def flag(self, key: str, *, default: bool = False) -> bool:
        """Return true or false."""
        found = self._last(key, 5)
        return default if found is None else bool(integer(found))

    def number(self, key: str, default: float = 0.0) -> float:
        """Return a float."""
        found = self._last(key, 4)
        if found is None:
            return default
        return float(struct.unpack("<f", integer(found).to_bytes(4, "little"))[0])

    def bytes_(self, key: str, default: bytes = b"") -> bytes:
        """Return a string's bytes."""
        found = self._last(key, 2)
        return default if found is None else bytes(content(found))

    def text(self, key: str, default: str = "") -> str:
        """Return a string, escaped where it is no ASCII."""
        return self.bytes_(key, default.encode()).decode("ascii", "backslashreplace")

    def dtype(self, key: str, default: str = "") -> str:
        """Return the name of a type: "float32", "string", or "" for types without numbers."""
        found = self._last(key, 6)
        return default if found is None else dtype_name(integer(found))

    def shape(self, key: str) -> Shape:
        """Return a shape; where there is none, the number of axes is open."""
        found = self._last(key, 7)
        return None if found is None else parse_shape(content(found))

    def tensor(self, key: str) -> AnyArray | list[bytes] | None:
        """Return the array of a tensor, or its strings; None if there is none or its type holds no numbers."""
        found = self._last(key, 8)
        return None if found is None else parse_tensor(content(found))

    def function(self, key: str) -> str | None:
        """Return the name of a function."""
        found = self._last(key, 10)
        names = (
            [] if found is None else [part for part in fields(content(found)) if part.number == 1]
        )
        return bytes(content(names[-1])).decode("utf-8", "replace") if names else None

    def integers(self, key: str) -> tuple[int, ...]:
        """Return a list of whole numbers, empty where there is none."""
        return tuple(_signed(each) for each in self._items(key, 3))

    def shapes(self, key: str) -> tuple[Shape, ...]:
        """Return a list of shapes, empty where there is none."""
        found = self._last(key, 1)
        parts = () if found is None else fields(content(found))
        return tuple(parse_shape(content(part)) for part in parts if part.number == 7)

    def functions(self, key: str) -> tuple[str, ...]:
        """Return a list of names of functions."""
        found = self._last(key, 1)
        parts = () if found is None else fields(content(found))
        named = (list(fields(content(part))) for part in parts if part.number == 9)
        return tuple(
            bytes(content(each)).decode("utf-8", "replace")
            for attributes in named
            for each in attributes
            if each.number == 1
        )

    def _items(self, key: str, number: int) -> Iterator[int]:
        found = self._last(key, 1)
        for part in () if found is None else fields(content(found)):
            if part.number == number:
                yield from varints(part)


def varints(part: Field) -> Iterator[int]:
    """Yield the numbers of a repeated field, written one by one or packed."""
    if part.wire == BYTES:
        data, position = content(part), 0
        while position < len(data):
            value, position = read_varint(data, position)
            yield value
    else:
        yield integer(part)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def dtype_name(number: int) -> str:
    """Return the name of a type by TensorFlow's number; "" for what holds no numbers."""
    number -= _REFERENCE if number > _REFERENCE else 0
    return "string" if number == STRING else DTYPES.get(number, "")


def parse_shape(message: memoryview) -> Shape:
    """Return a TensorShapeProto. Raises UnreadableFileError for sizes that cannot be."""
    sizes: list[int | None] = []
    for axis in fields(message):
        if axis.number == 3 and integer(axis):
            return None
        if axis.number == 2:
            stated = [signed(each) for each in fields(content(axis)) if each.number == 1]
            size = stated[-1] if stated else 0
            sizes.append(None if size < 0 else size)
    if len(sizes) > MAX_DIMENSIONS or any((size or 0) >= 1 << 48 for size in sizes):
        text_ = f"a tensor of shape {tuple(sizes[:MAX_DIMENSIONS])} cannot be"
        raise UnreadableFileError(text_)
    return tuple(sizes)


_VALUES = {
    "float32": (5, "<f4"), "float64": (6, "<f8"), "int32": (7, ""), "int16": (7, ""), "int8": (7, ""),
    "uint8": (7, ""), "uint16": (7, ""), "int64": (10, ""), "bool": (11, ""), "float16": (13, ""),
    "bfloat16": (13, ""), "uint32": (16, ""), "uint64": (17, ""), "complex64": (9, "<f4"), "complex128": (12, "<f8"),
}  # fmt: skip
"""Type to the field with its numbers one by one, and their form where they are not varints."""


def parse_tensor(message: memoryview) -> AnyArray | list[bytes] | None:
    """Return a TensorProto: an array of its shape, a list of strings, or None for other types.

    bfloat16 becomes float32, which holds each of its numbers exactly.

    Raises:
        UnreadableFileError: The numbers do not fit the shape, or the shape asks for more than a constant may have.
    """
    parts: dict[int, list[Field]] = {}
    for part in fields(message):
        parts.setdefault(part.number, []).append(part)
    name = dtype_name(integer(parts[1][-1])) if 1 in parts else ""
    shape = parse_shape(content(parts[2][-1])) if 2 in parts else ()
    if shape is None or None in shape:
        text_ = "a constant of open shape cannot be"
        raise UnreadableFileError(text_)
    if name == "string":
        return [bytes(content(part)) for part in parts.get(8, [])]
    if name not in _VALUES:
        return None
    sizes = tuple(size or 0 for size in shape)
    stored = np.dtype("<u2" if name == "bfloat16" else name)
    count = math.prod(sizes)
    if count * stored.itemsize > MAX_ARRAY_BYTES:
        text_ = f"a constant of shape {sizes} is larger than the limit of {MAX_ARRAY_BYTES:,} bytes"
        raise UnreadableFileError(text_)
    raw = b"".join(bytes(content(part)) for part in parts.get(4, []))
    values = (
        np.frombuffer(raw, stored.newbyteorder("<"))
        if raw and len(raw) % stored.itemsize == 0
        else None
    )
    if raw and (values is None or values.size != count):
        text_ = f"a constant of shape {sizes} has {len(raw):,} bytes, needed {count * stored.itemsize:,}"
        raise UnreadableFileError(text_)
    if values is None:
        values = _filled(_numbers(name, parts, stored), count, sizes)
    array: AnyArray = values.reshape(sizes)
    if name == "bfloat16":
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(stored.newbyteorder("="), copy=False)


def _numbers(name: str, parts: Mapping[int, list[Field]], stored: np.dtype[np.generic]) -> AnyArray:
    """Return the numbers that are written one by one."""
    number, form = _VALUES[name]
    found = parts.get(number, [])
    if form:
        size = int(form[-1])
        data = b"".join(
            bytes(content(part)) if part.wire == BYTES else integer(part).to_bytes(size, "little")
            for part in found
        )
        if len(data) % stored.itemsize:
            text_ = f"the numbers of a {name} constant end in the middle of one"
            raise UnreadableFileError(text_)
        return np.frombuffer(data, stored.newbyteorder("<"))
    whole = [each for part in found if part.wire in (VARINT, BYTES) for each in varints(part)]
    if name in ("float16", "bfloat16"):
        bits = np.array([value & 0xFFFF for value in whole], np.uint16)
        return bits.view(stored) if name == "float16" else bits
    wide = np.array(whole, np.uint64)
    return wide.astype(bool) if name == "bool" else wide.view(np.int64).astype(stored)


def _filled(values: AnyArray, count: int, shape: tuple[int, ...]) -> AnyArray:
    """Return `count` numbers: the last one that is written stands for those that are not."""
    if values.size > count:
        text_ = f"a constant of shape {shape} has {values.size:,} numbers"
        raise UnreadableFileError(text_)
    if values.size == count:
        return values
    if count * values.itemsize > _MAX_REPEATED_BYTES:
        text_ = f"a constant of shape {shape} is written as {values.size:,} numbers"
        raise UnreadableFileError(text_)
    if values.size <= 1:  # a view: thousands of such constants are a small file
        one = values[0] if values.size else np.zeros((), values.dtype)
        return np.broadcast_to(one, (count,))
    result: AnyArray = np.zeros(count, values.dtype)
    if values.size:
        result[: values.size] = values
        result[values.size :] = values[-1]
    return result


def listed_numbers(message: memoryview, name: str) -> AnyArray:
    """Return the numbers of a TensorProto that does not say its type and shape, as the first checkpoints have it.

    Raises:
        UnreadableFileError: There is no such type, or the numbers end in the middle of one.
    """
    if name not in _VALUES:
        text_ = f"numbers of type {name[:40]!r} are not known"
        raise UnreadableFileError(text_)
    parts: dict[int, list[Field]] = {}
    for part in fields(message):
        parts.setdefault(part.number, []).append(part)
    numbers = _numbers(name, parts, np.dtype("<u2" if name == "bfloat16" else name))
    if name == "bfloat16":
        return (numbers.astype(np.uint32) << 16).view(np.float32)
    return numbers
