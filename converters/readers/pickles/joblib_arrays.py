"""What joblib adds to pickle: arrays whose bytes follow the opcodes, and compression of the whole file."""

from __future__ import annotations

import bz2
import lzma
import math
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from converters.errors import UnreadableFileError, UnsafeFileError, UnsupportedError
from converters.limits import Limits
from converters.readers.pickles.constructors import ObjectType

WRAPPER = "joblib.numpy_pickle.NumpyArrayWrapper"
_BLOCK_BYTES = 1024 * 1024
_LZMA_MEMORY_BYTES = 256 * 1024**2
"""The highest level that xz has takes 65 MB to unpack; a header may ask for 4 GB."""


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def _zlib() -> _Decompressor:
    return zlib.decompressobj()


def _gzip() -> _Decompressor:
    return zlib.decompressobj(16 + zlib.MAX_WBITS)


def _bzip2() -> _Decompressor:
    return cast("_Decompressor", bz2.BZ2Decompressor())


def _lzma() -> _Decompressor:
    return cast("_Decompressor", lzma.LZMADecompressor(memlimit=_LZMA_MEMORY_BYTES))


MAGICS: Mapping[bytes, Callable[[], _Decompressor]] = {
    b"x\x01": _zlib,
    b"x^": _zlib,
    b"x\x9c": _zlib,
    b"x\xda": _zlib,
    b"\x1f\x8b": _gzip,
    b"BZh": _bzip2,
    b"\xfd7zXZ": _lzma,
    b"]\x00\x00": _lzma,
}
"""How a compressed file starts, to what unpacks it."""
LZ4 = b"\x04\x22\x4d\x18"
OLD_ZLIB = b"ZF0x"


def is_compressed(prefix: bytes) -> bool:
    """Tell whether a file starts like something that joblib compressed."""
    return prefix.startswith((*MAGICS, LZ4, OLD_ZLIB))


def decompress(data: bytes, *, limit: int) -> bytes:
    """Return the content of a compressed file; the bytes themselves where they are not compressed.

    Args:
        data: the whole file.
        limit: how long the content may be.

    Raises:
        UnsupportedError: Compressed with lz4, or by joblib before 0.10.
        UnsafeFileError: The content is longer than `limit`.
        UnreadableFileError: Damaged.
    """
    if data.startswith((LZ4, OLD_ZLIB)):
        kind = "lz4" if data.startswith(LZ4) else "joblib's first format"
        msg = f"is compressed with {kind}, which is not read"
        raise UnsupportedError(msg, hint="joblib.dump(joblib.load(old), new, compress=0)")
    make = next((make for magic, make in MAGICS.items() if data.startswith(magic)), None)
    if make is None:
        return data
    pieces, total = [], 0
    try:
        for piece in _pieces(make(), data):
            total += len(piece)
            if total > limit:
                msg = f"unpacks to more than {limit:,} bytes; refused"
                raise UnsafeFileError(msg, hint="raise the limit with --max-size if you trust it")
            pieces.append(piece)
    except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError) as error:
        msg = f"the compressed content is damaged ({error})"
        raise UnreadableFileError(msg) from error
    return b"".join(pieces)


def first_bytes(prefix: bytes, count: int = 16) -> bytes:
    """Return the first bytes of the content, from the first bytes of a compressed file; b"" if that is not possible."""
    make = next((make for magic, make in MAGICS.items() if prefix.startswith(magic)), None)
    try:
        return b"" if make is None else make().decompress(prefix, count)
    except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError):
        return b""


def _pieces(decompressor: _Decompressor, data: bytes) -> Iterator[bytes]:
    """Yield the content in bounded pieces. Raises EOFError for a content that does not end."""
    for start in range(0, len(data), _BLOCK_BYTES):
        # In blocks: zlib hands back all that it did not need yet, every time.
        pending = data[start : start + _BLOCK_BYTES]
        piece = b"the first"
        while (piece or pending) and not decompressor.eof:
            piece = decompressor.decompress(pending, _BLOCK_BYTES)
            yield piece
            # Others keep what is left themselves.
            pending = getattr(decompressor, "unconsumed_tail", b"")
        if decompressor.eof:
            return
    msg = "it is truncated"
    raise EOFError(msg)


def read_wrapped(
    data: memoryview, position: int, state: object, limits: Limits
) -> tuple[NDArray[np.generic] | None, int]:
    """Return the array whose bytes start at `position`, and where they end.

    Args:
        data: the file.
        position: behind the opcodes of the wrapper.
        state: of the wrapper: shape, order, dtype, and whether its bytes are aligned.
        limits: bounds on one array.

    Returns:
        None and `position` for an array of objects, which is a pickle of its own.

    Raises:
        ValueError: The state has another form, or the bytes are not all there.
    """
    if not isinstance(state, dict):
        msg = "an array of joblib has no description"
        raise ValueError(msg)
    dtype, shape = state.get("dtype"), state.get("shape")
    if isinstance(dtype, ObjectType):
        return None, position
    if not isinstance(dtype, np.dtype) or dtype.hasobject or not isinstance(shape, tuple):
        msg = "an array of joblib has no shape or type of numbers"
        raise ValueError(msg)
    if not all(type(size) is int and 0 <= size < 2**48 for size in shape):
        msg = "an array of joblib has sizes that are no numbers"
        raise ValueError(msg)
    size = math.prod(shape) * dtype.itemsize
    if size > limits.max_array_bytes:
        msg = (
            f"an array of {size:,} bytes is announced, at most {limits.max_array_bytes:,} are read"
        )
        raise UnsafeFileError(msg, hint="raise the limit with --max-size if you trust the file")
    if type(state.get("numpy_array_alignment_bytes")) is int:
        position += 1 + data[position]  # the padding says its own length
    if position + size > len(data):
        msg = f"an array of {size:,} bytes is announced, {len(data) - position:,} are left"
        raise ValueError(msg)
    values = np.frombuffer(data[position : position + size], dtype)
    fortran = state.get("order") == "F"
    return values.reshape(shape, order="F" if fortran else "C"), position + size
