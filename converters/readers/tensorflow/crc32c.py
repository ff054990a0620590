"""CRC-32C (Castagnoli), the checksum of TensorFlow's tables and tensors, in numpy.

The checksum is linear over GF(2): the state after `a + b` is the state after `a`, moved past `len(b)` zero bytes,
xor the state of `b` from zero. So a buffer is cut into lanes of equal length that advance side by side, eight bytes
a step, and are joined in pairs. Zeros before a message change nothing when the state starts at zero, which pads
any length to whole lanes.

Long buffers are made short first: 64-bit words in front are added to words behind, where they count the same. That
takes three additions without any table, at the speed of memory.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

_POLYNOMIAL = 0x82F63B78  # reflected
_ONES = 0xFFFFFFFF
_MASK_DELTA = 0xA282EAD8
_STEP = 8  # bytes that a lane advances at once
_MAX_LANES = 4096
_CHUNK = 8 * 1024 * 1024  # bytes per call of `_advance`, so that copies stay small
_SHORT = 64  # bytes below which a plain loop is quicker
_EXPONENTS = (426, 1362, 5685)
"""The polynomial divides 1 + y**426 + y**1362 + y**5685 for y = x**64, and so the same with all exponents doubled: found
by search, since three of four such numbers below 6,000 are left over by chance. A word counts as much as the three that are
so many words further on."""
_FOLDED = 128 * 1024  # bytes from which on folding pays

Words = NDArray[np.uint32]


def crc32c(data: bytes | bytearray | memoryview | NDArray[np.uint8], state: int = 0) -> int:
    """Return the CRC-32C of bytes that follow those whose checksum is `state`."""
    view = np.frombuffer(data, np.uint8)
    register = state ^ _ONES
    # One copy's memory for all chunks: fresh pages cost more than the checksum.
    space = np.empty(min(len(view), _CHUNK) + _STEP * _MAX_LANES, np.uint8)
    for start in range(0, len(view), _CHUNK):
        chunk = view[start : start + _CHUNK]
        register = (
            _advance_bytes(chunk, register)
            if len(chunk) < _SHORT
            else _advance(chunk, register, space)
        )
    return register ^ _ONES


def masked_crc32c(data: bytes | bytearray | memoryview | NDArray[np.uint8]) -> int:
    """Return the checksum as TensorFlow and LevelDB store it, so that a checksum of checksums stays one."""
    return mask(crc32c(data))


def mask(crc: int) -> int:
    """Return a checksum in its stored form."""
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & _ONES


def _advance_bytes(chunk: NDArray[np.uint8], register: int) -> int:
    table = _byte_table()
    for byte in chunk.tolist():
        register = int(table[(register ^ byte) & 0xFF]) ^ (register >> 8)
    return register


def _advance(chunk: NDArray[np.uint8], register: int, space: NDArray[np.uint8]) -> int:
    """Return the register after a chunk of at least four bytes; `space` is written over."""
    lanes = 1 << min(_MAX_LANES.bit_length(), max(1, len(chunk) // _SHORT).bit_length()) - 1
    length = -(-len(chunk) // (_STEP * lanes)) * _STEP
    padded = space[: lanes * length]
    start = len(padded) - len(chunk)
    padded[:start] = 0
    padded[start:] = chunk
    # Starting from a register is the same as starting from zero with its bytes added to the message.
    padded[start : start + 4] ^= np.array([register], "<u4").view(np.uint8)
    if len(padded) >= _FOLDED:
        # Zeros in front change nothing, so that what is left keeps its own checksum.
        rest = _folded(padded.view("<u8")).view(np.uint8)
        return _advance(rest, 0, np.empty(2 * len(rest), np.uint8))
    states = _advance_lanes(padded.view("<u2").reshape(lanes, length // 2))
    while len(states) > 1:
        states = _past_zeros(states[0::2], length) ^ states[1::2]
        length *= 2
    return int(states[0])


def _folded(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return fewer words with the same remainder; `words` are changed."""
    first, second, last = _EXPONENTS
    scale = 1
    while last * scale * 4 <= len(words):
        scale *= 2
    while scale:
        shifts = (last * scale, (last - first) * scale, (last - second) * scale)
        while len(words) > shifts[0]:
            count = min(shifts[2], len(words) - shifts[0])
            front = words[:count]
            for shift in shifts:
                words[shift : shift + count] ^= front
            words = words[count:]
        scale //= 2
    return words


def _advance_lanes(words: NDArray[np.uint16]) -> Words:
    """Return the register of every row of 16-bit words, from zero."""
    first, second, third, fourth = _word_tables()
    states = np.zeros(len(words), np.uint32)
    for column in range(0, words.shape[1], 4):
        low = words[:, column] ^ (states & 0xFFFF).astype(np.uint16)
        high = words[:, column + 1] ^ (states >> 16).astype(np.uint16)
        states = fourth[low] ^ third[high]
        states ^= second[words[:, column + 2]]
        states ^= first[words[:, column + 3]]
    return states


@cache
def _byte_table() -> Words:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(_POLYNOMIAL), table >> 1)
    return table


@cache
def _word_tables() -> tuple[Words, Words, Words, Words]:
    """Return what a 16-bit word adds when it is the last, last but one, ... of a step."""
    table = _byte_table()
    words = np.arange(1 << 16, dtype=np.uint32)
    for _ in range(2):
        words = table[words & 0xFF] ^ (words >> 8)
    tables = [words]
    for _ in range(3):
        tables.append(_past_zeros(tables[-1], 2))
    return tables[0], tables[1], tables[2], tables[3]


def _past_zeros(states: Words, count: int) -> Words:
    """Return registers after `count` more zero bytes."""
    tables = _shift_tables(count)
    result: Words = tables[0][states & 0xFF]
    for index in range(1, 4):
        result = result ^ tables[index][(states >> (8 * index)) & 0xFF]
    return result


@cache
def _shift_tables(count: int) -> tuple[Words, Words, Words, Words]:
    """Return what each byte of a register becomes after `count` zero bytes, by squaring."""
    if count == 1:
        places = [np.arange(256, dtype=np.uint32) << (8 * index) for index in range(4)]
        table = _byte_table()
        one, two, three, four = (table[place & 0xFF] ^ (place >> 8) for place in places)
        return one, two, three, four
    half = _shift_tables(count // 2)
    one, two, three, four = (_past_zeros(table, count // 2) for table in half)
    if count % 2:
        one, two, three, four = (_past_zeros(table, 1) for table in (one, two, three, four))
    return one, two, three, four
