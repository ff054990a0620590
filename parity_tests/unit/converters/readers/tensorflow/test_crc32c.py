"""CRC-32C against published values, and against a bit-by-bit calculation."""

from __future__ import annotations

import numpy as np
import pytest

from converters.readers.tensorflow.crc32c import crc32c, masked_crc32c


def bit_by_bit(data: bytes) -> int:
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = (register >> 1) ^ (0x82F63B78 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


def bit_by_bit_step(register: int) -> int:
    for _ in range(8):
        register = (register >> 1) ^ (0x82F63B78 if register & 1 else 0)
    return register


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),  # this one and the next: RFC 3720, appendix B.4
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_checksum_is_the_published_one(data: bytes, expected: int) -> None:
    assert crc32c(data) == expected


@pytest.mark.parametrize("size", [1, 3, 4, 63, 64, 65, 129, 1000, 5000])
def test_every_length_is_as_bit_by_bit(size: int) -> None:
    data = np.random.default_rng(size).bytes(size)

    assert crc32c(data) == bit_by_bit(data)


@pytest.mark.parametrize("size", [128 * 1024 - 1, 128 * 1024 + 8, 700_003])
def test_folded_buffers_are_as_byte_by_byte(size: int) -> None:
    data = np.random.default_rng(size).bytes(size)
    table = [bit_by_bit_step(byte) for byte in range(256)]
    register = 0xFFFFFFFF
    for byte in data:
        register = table[(register ^ byte) & 0xFF] ^ (register >> 8)

    assert crc32c(data) == register ^ 0xFFFFFFFF


@pytest.mark.parametrize("cut", [1, 100, 4 * 1024 * 1024 + 3])
def test_parts_continue_each_other(cut: int) -> None:
    data = np.random.default_rng(0).bytes(4 * 1024 * 1024 + 100)

    assert crc32c(data[cut:], crc32c(data[:cut])) == crc32c(data)


def test_one_flipped_bit_changes_it() -> None:
    data = bytearray(np.random.default_rng(1).bytes(70_000))
    before = crc32c(data)
    data[40_000] ^= 4

    assert crc32c(data) != before


def test_stored_form_is_rotated_and_moved() -> None:
    # The value TensorFlow stores for these bytes (tensorflow/core/lib/hash/crc32c.h: Mask).
    crc = crc32c(b"123456789")

    assert (
        masked_crc32c(b"123456789") == ((crc >> 15 | crc << 17 & 0xFFFFFFFF) + 0xA282EAD8) % 2**32
    )
