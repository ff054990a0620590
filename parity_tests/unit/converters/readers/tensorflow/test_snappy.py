"""Snappy blocks written by hand after the format description."""

from __future__ import annotations

import pytest

from converters.errors import UnreadableFileError
from converters.readers.tensorflow.snappy import decompress


@pytest.mark.parametrize(
    ("block", "content"),
    [
        pytest.param(b"\x00", b"", id="nothing"),
        pytest.param(b"\x03\x08abc", b"abc", id="a short literal"),
        pytest.param(b"\x46\xf0\x45" + b"x" * 70, b"x" * 70, id="a literal with one length byte"),
        pytest.param(b"\x08\x0cabcd\x01\x04", b"abcdabcd", id="a copy with one offset byte"),
        pytest.param(b"\x08\x0cabcd\x0e\x04\x00", b"abcdabcd", id="a copy with two offset bytes"),
        pytest.param(b"\x08\x0cabcd\x0f\x04\x00\x00\x00", b"abcdabcd", id="with four"),
        pytest.param(b"\x0a\x04ab\x1e\x02\x00", b"ababababab", id="a copy into itself"),
    ],
)
def test_block_is_unpacked(block: bytes, content: bytes) -> None:
    assert decompress(memoryview(block), 1000) == content


@pytest.mark.parametrize(
    ("block", "message"),
    [
        pytest.param(b"\x03\x08ab", "damaged", id="literal beyond the end"),
        pytest.param(b"\x08\x0cabcd\x01\x05", "damaged", id="copy from before the start"),
        pytest.param(b"\x08\x0cabcd\x01\x00", "damaged", id="copy from nowhere"),
        pytest.param(b"\x09\x0cabcd\x01\x04", "has 8 bytes where it says 9", id="too short"),
        pytest.param(b"\x07\x0cabcd\x01\x04", "has 8 bytes where it says 7", id="too long"),
        pytest.param(b"\xff\xff\xff\x7f", "claims 268,435,455 bytes", id="a bomb"),
        pytest.param(b"\x80", "runs past the end", id="no length"),
    ],
)
def test_damage_is_said(block: bytes, message: str) -> None:
    with pytest.raises(UnreadableFileError, match=message):
        decompress(memoryview(block), 1000)
