"""How a file is damaged."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

FRONT_BYTES = 4096
"""Structure is at the front and between the arrays; half of all changes go here."""
_WORD = re.compile(rb"[A-Za-z_][A-Za-z_0-9/]{2,30}")
_NUMBER = re.compile(rb"\d{1,9}")
_TEXT_NUMBERS = (b"0", b"-1", b"1", b"2147483648", b"99999999999999999999", b"1e308", b"NaN", b"[]")

T = TypeVar("T")
Damage = Callable[[bytearray, int, np.random.Generator], bytearray]


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """Return bytes with bits flipped, a part moved, doubled, blanked or cut off, or words or numbers exchanged."""
    end = len(data) if rng.random() < 0.5 else min(FRONT_BYTES, len(data))
    way = _WAYS[int(rng.integers(0, len(_WAYS)))]
    return bytes(way(bytearray(data), end, rng))


def _flip(data: bytearray, end: int, rng: np.random.Generator) -> bytearray:
    for _ in range(int(rng.integers(1, 6))):
        data[int(rng.integers(0, end))] ^= 1 << int(rng.integers(0, 8))
    return data


def _overwrite(data: bytearray, end: int, rng: np.random.Generator) -> bytearray:
    for _ in range(int(rng.integers(1, 6))):
        data[int(rng.integers(0, end))] = int(rng.integers(0, 256))
    return data


def _cut(data: bytearray, end: int, rng: np.random.Generator) -> bytearray:
    return data[: int(rng.integers(0, end))]


def _span(end: int, rng: np.random.Generator) -> slice:
    start = int(rng.integers(0, end))
    return slice(start, min(end, start + int(rng.integers(1, 200))))


def _swap(data: bytearray, end: int, rng: np.random.Generator) -> bytearray:
    first, second = _span(end, rng), _span(end, rng)
    taken = data[first], data[second]
    data[second], data[first] = taken
    return data


def _double(data: bytearray, end: int, rng: np.random.Generator) -> bytearray:
    place, copied = int(rng.integers(0, end)), data[_span(end, rng)]
    data[place:place] = copied * int(rng.integers(1, 4))
    return data


def _blank(data: bytearray, end: int, rng: np.random.Generator) -> bytearray:
    span = _span(end, rng)
    data[span] = (b"\0" if rng.random() < 0.5 else b"\xff") * len(data[span])
    return data


def _exchange(data: bytearray, end: int, rng: np.random.Generator) -> bytearray:
    """Put a name in the place of another one as long: the structure stays sound, what it says does not."""
    words = list(_WORD.finditer(data))
    if not words:
        return _flip(data, end, rng)
    word = _one(words, rng)
    same = [each.group() for each in words if len(each.group()) == len(word.group())]
    data[word.start() : word.end()] = _one(same, rng)
    return data


def _renumber(data: bytearray, end: int, rng: np.random.Generator) -> bytearray:
    """Put another number in the place of one that is written in digits."""
    numbers = list(_NUMBER.finditer(data))
    if not numbers:
        return _overwrite(data, end, rng)
    number = _one(numbers, rng)
    data[number.start() : number.end()] = _one(_TEXT_NUMBERS, rng)
    return data


def _one(choices: Sequence[T], rng: np.random.Generator) -> T:
    return choices[int(rng.integers(0, len(choices)))]


_WAYS: tuple[Damage, ...] = (
    *(_flip, _flip, _overwrite, _cut, _swap, _double, _blank, _exchange, _exchange, _renumber),
)
