"""Checkpoints of TensorFlow written without TensorFlow: what the benchmark of reading them reads.

One shard and one block of index without compression, as `tf.train.Saver` writes a small checkpoint, so that the benchmark
can ask for any size. Sources: tensorflow/core/protobuf/tensor_bundle.proto, google/leveldb, doc/table_format.md.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.keras_file import GUIDE_SIZES, weight_shapes
from converters.readers.tensorflow.crc32c import masked_crc32c
from converters.readers.tensorflow.table import MAGIC

FLOAT32 = 1
"""Number of the type in tensorflow/core/framework/types.proto."""
FOOTER_BYTES = 48
_DATA_SUFFIX = ".data-00000-of-00001"

Floats = NDArray[np.float32]


def write_bundle(prefix: Path, sizes: Sequence[int] = GUIDE_SIZES) -> list[Path]:
    """Write the kernels and biases of dense layers with random numbers, and return the index and the data file.

    Args:
        prefix: path of the checkpoint without its endings; files of that name are replaced.
        sizes: width of the input and of each layer.
    """
    index, data = Path(f"{prefix}.index"), Path(f"{prefix}{_DATA_SUFFIX}")
    entries: dict[str, bytes] = {}
    offset = 0
    with data.open("wb") as file:
        for name, array in _arrays(sizes):
            stored = array.tobytes()
            file.write(stored)
            entries[name] = _entry(array.shape, offset, len(stored), masked_crc32c(stored))
            offset += len(stored)
    index.write_bytes(_table({"": _varint_field(1, 1), **entries}))
    return [index, data]


def _arrays(sizes: Sequence[int]) -> Iterator[tuple[str, Floats]]:
    """Yield the arrays one by one, sorted by name as the keys of an index are."""
    rng = np.random.default_rng(0)
    shapes = dict(
        itertools.chain.from_iterable(weight_shapes(sizes, i) for i in range(len(sizes) - 1))
    )
    for name in sorted(shapes):
        values = rng.standard_normal(shapes[name], dtype=np.float32)
        yield name.removesuffix(":0"), values


def _entry(shape: Sequence[int], offset: int, size: int, checksum: int) -> bytes:
    axes = b"".join(_bytes_field(2, _varint_field(1, each)) for each in shape)
    numbers = _varint_field(1, FLOAT32) + _bytes_field(2, axes) + _varint_field(4, offset)
    return numbers + _varint_field(5, size) + _tag(6, 5) + checksum.to_bytes(4, "little")


def _table(values: Mapping[str, bytes]) -> bytes:
    """Return a table of one data block, an index block that names it, and an empty block of further tables."""
    content = bytearray()
    rows = [(key.encode(), value) for key, value in values.items()]
    data, further = _append(content, rows), _append(content, [])
    footer = further + _append(content, [(rows[-1][0], data)])
    return bytes(content) + footer.ljust(FOOTER_BYTES - len(MAGIC), b"\0") + MAGIC


def _append(content: bytearray, rows: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Append a block and return its place. Every key is written whole, and one restart stands for all."""
    block = b"".join(
        b"\0" + _varint(len(key)) + _varint(len(value)) + key + value for key, value in rows
    )
    block += (0).to_bytes(4, "little") + (1).to_bytes(4, "little")
    place = _varint(len(content)) + _varint(len(block))
    kind = b"\0"  # not compressed
    content += block + kind + masked_crc32c(block + kind).to_bytes(4, "little")
    return place


def _tag(number: int, wire: int) -> bytes:
    return _varint(number << 3 | wire)


def _varint_field(number: int, value: int) -> bytes:
    return _tag(number, 0) + _varint(value)


def _bytes_field(number: int, value: bytes) -> bytes:
    return _tag(number, 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    result = bytearray()
    while value > 0x7F:
        result.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*result, value])
