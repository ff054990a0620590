"""The wire format of protocol buffers, read without a schema and without trust: every length is checked first.

A message is read as a list of fields; who knows the schema picks numbers. Groups, which TensorFlow does not use,
are refused. Source: protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from converters.errors import UnreadableFileError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_MAX_VARINT_BYTES = 10


class Field(NamedTuple):
    """One field: its number, its wire type, and an integer or the bytes of a text or message."""

    number: int
    wire: int
    value: int | memoryview


def read_varint(data: memoryview, position: int) -> tuple[int, int]:
    """Return an unsigned integer of up to 64 bits, and the position behind it.

    Raises:
        UnreadableFileError: The data ends inside it, or it is longer than 64 bits.
    """
    result = 0
    for count in range(_MAX_VARINT_BYTES):
        if position >= len(data):
            break
        byte = data[position]
        position += 1
        result |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return result & 0xFFFF_FFFF_FFFF_FFFF, position
    message = "a number runs past the end of its message"
    raise UnreadableFileError(message)


def fields(message: bytes | memoryview) -> Iterator[Field]:
    """Yield the fields of a message in stored order.

    Raises:
        UnreadableFileError: The bytes are no message; raised when the place is reached.
    """
    data = memoryview(message)
    position = 0
    while position < len(data):
        key, position = read_varint(data, position)
        number, wire = key >> 3, key & 7
        if number == 0 or wire not in (VARINT, FIXED64, BYTES, FIXED32):
            text = f"byte {position - 1:,} is no field of a message (number {number}, type {wire})"
            raise UnreadableFileError(text)
        if wire == VARINT:
            value, position = read_varint(data, position)
            yield Field(number, wire, value)
            continue
        size = {FIXED64: 8, FIXED32: 4}.get(wire, -1)
        if size < 0:
            size, position = read_varint(data, position)
        if size > len(data) - position:
            text = f"field {number} claims {size:,} bytes, {len(data) - position:,} are left"
            raise UnreadableFileError(text)
        part = data[position : position + size]
        position += size
        yield Field(number, wire, part if wire == BYTES else int.from_bytes(part, "little"))


def integer(field: Field) -> int:
    """Return the value of a whole-number field. Raises UnreadableFileError for bytes."""
    if isinstance(field.value, int):
        return field.value
    message = f"field {field.number} is a message where a number is needed"
    raise UnreadableFileError(message)


def signed(field: Field) -> int:
    """Return the value of an int64 field: two's complement in 64 bits."""
    value = integer(field)
    return value - (1 << 64) if value >= 1 << 63 else value


def content(field: Field) -> memoryview:
    """Return the bytes of a message or text field. Raises UnreadableFileError for numbers."""
    if isinstance(field.value, memoryview):
        return field.value
    message = f"field {field.number} is a number where a message is needed"
    raise UnreadableFileError(message)


def text(field: Field) -> str:
    """Return the value of a text field. Raises UnreadableFileError unless it is UTF-8."""
    try:
        return bytes(content(field)).decode()
    except UnicodeDecodeError as error:
        message = f"field {field.number} is not UTF-8 text"
        raise UnreadableFileError(message) from error
