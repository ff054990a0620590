"""Tables of sorted keys and values, in LevelDB's form: TensorFlow's `.index` files and its oldest checkpoints.

A table is blocks, each with a checksum; the footer names the index block, whose values name the data blocks. Keys
share their beginning with the key before. Source: google/leveldb, doc/table_format.md.
"""

from __future__ import annotations

from collections.abc import Iterator

from converters.errors import UnreadableFileError
from converters.limits import Limits
from converters.readers.files.source import OpenFile
from converters.readers.tensorflow.crc32c import masked_crc32c
from converters.readers.tensorflow.protobuf import read_varint
from converters.readers.tensorflow.snappy import decompress

MAGIC = bytes.fromhex("57fb808b247547db")
_FOOTER = 48
_TRAILER = 5  # kind of compression and checksum behind each block
_PLAIN, _SNAPPY = 0, 1


def is_table(file: OpenFile) -> bool:
    """Tell whether the file ends as tables do."""
    return file.size >= _FOOTER and file.read(file.size - len(MAGIC), len(MAGIC)) == MAGIC


def read_table(
    file: OpenFile, limits: Limits, *, budget: int | None = None, first_block: bool = False
) -> dict[bytes, bytes]:
    """Return every value by its key, in the order of the table.

    Args:
        file: the table.
        limits: bounds on names, and on the bytes of the table where `budget` does not say more.
        budget: bytes that all blocks may have once they are decompressed.
        first_block: whether the first block is enough.

    Raises:
        UnreadableFileError: Damaged: a checksum, a place or a key that cannot be.
    """
    if not is_table(file):
        message = "does not end as an index of a TensorFlow checkpoint does; it may be cut short"
        raise UnreadableFileError(message)
    footer = memoryview(file.read(file.size - _FOOTER, _FOOTER))
    _, position = _handle(footer, 0)
    index, _ = _handle(footer, position)
    result: dict[bytes, bytes] = {}
    budget = limits.max_json_bytes if budget is None else budget
    for _, value in _entries(_block(file, index, budget)):
        place, _ = _handle(memoryview(value), 0)
        block = _block(file, place, budget)
        budget -= len(block)
        for key, stored in _entries(block):
            result[key] = stored
            if len(result) > limits.max_names:
                message = f"has more than {limits.max_names:,} entries"
                raise UnreadableFileError(message)
        if first_block:
            break
    return result


def _handle(data: memoryview, position: int) -> tuple[tuple[int, int], int]:
    offset, position = read_varint(data, position)
    size, position = read_varint(data, position)
    return (offset, size), position


def _block(file: OpenFile, place: tuple[int, int], budget: int) -> bytes:
    """Return the content of a block after its checksum was compared."""
    offset, size = place
    if size > budget or offset + size + _TRAILER > file.size - _FOOTER:
        message = f"names a block of {size:,} bytes at {offset:,}; the file has {file.size:,} bytes"
        raise UnreadableFileError(message)
    data = memoryview(file.read(offset, size + _TRAILER))
    kind, checksum = data[size], int.from_bytes(data[size + 1 :], "little")
    if masked_crc32c(data[: size + 1]) != checksum:
        message = f"the block at byte {offset:,} does not have its checksum"
        raise UnreadableFileError(message)
    if kind == _SNAPPY:
        return decompress(data[:size], budget)
    if kind != _PLAIN:
        message = f"the block at byte {offset:,} is compressed in an unknown way ({kind})"
        raise UnreadableFileError(message)
    return bytes(data[:size])


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield keys and values; the restart points at the end only serve searches."""
    data = memoryview(block)
    restarts = int.from_bytes(data[-4:], "little")
    end = len(data) - 4 * (restarts + 1)
    if end < 0:
        message = f"a block of {len(data):,} bytes claims {restarts:,} restart points"
        raise UnreadableFileError(message)
    position, key = 0, b""
    while position < end:
        shared, position = read_varint(data, position)
        own, position = read_varint(data, position)
        size, position = read_varint(data, position)
        if shared > len(key) or position + own + size > end:
            message = f"an entry at byte {position:,} of a block does not fit it"
            raise UnreadableFileError(message)
        key = key[:shared] + bytes(data[position : position + own])
        position += own
        yield key, bytes(data[position : position + size])
        position += size
