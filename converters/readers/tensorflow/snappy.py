"""Snappy blocks, as tables hold them: a length, then literals and copies of what came before.

Source: the format description of google/snappy (format_description.txt).
"""

from __future__ import annotations

from converters.errors import UnreadableFileError
from converters.readers.tensorflow.protobuf import read_varint

_LITERAL = 0
_LONG_LITERAL = 60  # literal lengths from here on stand in 1 to 4 bytes of their own


def decompress(data: memoryview, limit: int) -> bytes:
    """Return the content of a block.

    Args:
        data: the whole block.
        limit: bytes that it may have at most; checked before anything is allocated.

    Raises:
        UnreadableFileError: Damaged, or longer than it says or may be.
    """
    size, position = read_varint(data, 0)
    if size > limit:
        message = f"a compressed block claims {size:,} bytes; at most {limit:,} are read"
        raise UnreadableFileError(message)
    output = bytearray()
    while position < len(data) and len(output) <= size:
        tag = data[position]
        position += 1
        if tag & 3 == _LITERAL:
            count, position = _literal_length(data, tag >> 2, position)
            part = bytes(data[position : position + count])
            position += count
            complete = len(part) == count
        else:
            count, offset, position = _copy(data, tag, position)
            complete = 0 < offset <= len(output)
            part = _repeat(output, offset, count) if complete else b""
        if not complete:
            message = f"a compressed block is damaged at byte {position:,}"
            raise UnreadableFileError(message)
        output += part
    if len(output) != size:
        message = f"a compressed block has {len(output):,} bytes where it says {size:,}"
        raise UnreadableFileError(message)
    return bytes(output)


def _literal_length(data: memoryview, code: int, position: int) -> tuple[int, int]:
    if code < _LONG_LITERAL:
        return code + 1, position
    width = code - _LONG_LITERAL + 1
    return int.from_bytes(data[position : position + width], "little") + 1, position + width


def _copy(data: memoryview, tag: int, position: int) -> tuple[int, int, int]:
    """Return length, distance and the position behind a copy; a distance of 0 is damage."""
    if tag & 3 == 1:
        low = data[position] if position < len(data) else 0
        return (tag >> 2 & 7) + 4, (tag >> 5) << 8 | low, position + 1
    width = 2 if tag & 3 == 2 else 4
    offset = int.from_bytes(data[position : position + width], "little")
    return (tag >> 2) + 1, offset, position + width


def _repeat(output: bytearray, offset: int, count: int) -> bytes:
    """Return `count` bytes that start `offset` bytes back; a copy may reach into itself."""
    pattern = bytes(output[-offset:]) if offset <= count else bytes(output[-offset:][:count])
    return (pattern * (count // len(pattern) + 1))[:count]
