"""TensorFlow's hashes of words and numbers. Their source is emitted as it is, each with what it calls.

Computed in int64, which wraps around as unsigned numbers do; only shifts to the right and the remainder need care.
Words are rows of bytes, zeros behind their end.
"""

from __future__ import annotations

import torch
from torch import Tensor


def hash_number(
    x: Tensor,
    *,
    bins: int,
    masked: int | None = None,
    salt: tuple[int, int] | None = None,
) -> Tensor:
    """Return the bin of every number: the hash of its decimal text, modulo `bins`.

    Args:
        x: whole numbers above -2^63, or numbers whose fraction is cut off.
        bins: number of bins.
        masked: a number that alone gets bin 0; the others share the rest. None: there is none.
        salt: for SipHash; None: FarmHash.

    Source: keras 3.15.1, layers/preprocessing/hashing.py.
    """
    value = word_hash(decimal_text(x.long()), salt)
    if masked is None or bins == 1:
        return bin_of_hash(value, bins)
    return torch.where(torch.eq(x, masked), 0, bin_of_hash(value, bins - 1) + 1)


def hash_text(
    x: Tensor,
    *,
    bins: int,
    masked: str | None = None,
    salt: tuple[int, int] | None = None,
) -> Tensor:
    """Return the bin of every word, (...) for (..., bytes); `masked` as for numbers."""
    value = word_hash(x.long(), salt)
    if masked is None or bins == 1:
        return bin_of_hash(value, bins)
    letters = list(masked.encode())
    width = max(len(letters), x.shape[-1])
    word = torch.tensor(letters + [0] * (width - len(letters)), device=x.device)
    equal = torch.nn.functional.pad(x, (0, width - x.shape[-1])) == word
    return torch.where(equal.all(-1), 0, bin_of_hash(value, bins - 1) + 1)


def cross_hashed(*x: Tensor, bins: int, text: tuple[bool, ...]) -> Tensor:
    """Return the bin of every combination: the features' fingerprints joined one after the other.

    Args:
        x: features of one shape; whole numbers, their own fingerprints, or words with an axis of bytes.
        bins: number of bins.
        text: which of them are words.

    Source: tensorflow 2.21.0, sparse_cross_op.cc (HashCrosser) and fingerprint.h (FingerprintCat64).
    """
    mul = -0x395B586CA42E166B
    joined = torch.tensor(0xDECAFCAFFE, device=x[0].device)
    for feature, is_text in zip(x, text, strict=True):
        value = word_hash(feature.long(), None) if is_text else feature.long()
        joined = (joined ^ mul ^ (shift_mixed(value * mul) * mul)) * mul
        joined = shift_mixed(shift_mixed(joined) * mul)
    return bin_of_hash(joined, bins)


def bin_of_hash(value: Tensor, bins: int) -> Tensor:
    """Return an unsigned number modulo `bins`."""
    return (shifted(value, 1) % bins * 2 + (value & 1)) % bins


def decimal_text(x: Tensor) -> Tensor:
    """Return whole numbers as the letters of their decimal text, (..., 20)."""
    powers = 10 ** torch.arange(19, device=x.device)
    sign, size = (x < 0).long().unsqueeze(-1), x.abs().unsqueeze(-1)
    digits = (size >= powers).sum(-1, keepdim=True).clamp(min=1)
    place = torch.arange(20, device=x.device) - sign
    power = powers[(digits - 1 - place).clamp(0, 18)]
    letters = torch.where(place < 0, 45, 48 + size // power % 10)
    return torch.where(place < digits, letters, 0)


def word_hash(letters: Tensor, salt: tuple[int, int] | None) -> Tensor:
    """Return FarmHash's Fingerprint64 of every word, or its SipHash with a salt: (...) for (..., bytes)."""
    padded = torch.nn.functional.pad(letters, (0, 1))
    places = torch.arange(1, padded.shape[-1] + 1, device=letters.device)
    length = torch.where(padded != 0, places, 0).amax(-1)
    return (
        fingerprint(letters, length)
        if salt is None
        else sip_hash(letters, length, salt)
    )


def shifted(value: Tensor, count: int) -> Tensor:
    """Return an unsigned number shifted to the right."""
    return (value >> count) & ((1 << (64 - count)) - 1)


def shift_mixed(value: Tensor) -> Tensor:
    """Return a number with its upper bits mixed into the lower ones."""
    return value ^ shifted(value, 47)


def rotated(value: Tensor, count: int) -> Tensor:
    """Return a number with its bits moved to the right, around the end."""
    return shifted(value, count) | (value << (64 - count))


def fetched(letters: Tensor, start: Tensor | int, count: int = 8) -> Tensor:
    """Return `count` letters from `start` on as one number, the first as its lowest byte; zeros outside."""
    steps = torch.arange(count, device=letters.device)
    places = torch.as_tensor(start, device=letters.device).unsqueeze(-1) + steps
    inside = (places >= 0) & (places < letters.shape[-1])
    places = places.clamp(0, letters.shape[-1] - 1).expand(*letters.shape[:-1], count)
    found = torch.where(inside, letters.gather(-1, places), 0)
    return (found << (8 * steps)).sum(-1)


def mixed(first: Tensor, second: Tensor, mul: Tensor) -> Tensor:
    """Return two numbers made one (HashLen16)."""
    found = shift_mixed((first ^ second) * mul)
    return shift_mixed((second ^ found) * mul) * mul


def fingerprint(letters: Tensor, length: Tensor) -> Tensor:
    """Return FarmHash's Fingerprint64: another formula for every range of lengths.

    Source: FarmHash 1.1, farmhashna::Hash64.
    """
    if letters.shape[-1] == 0:
        letters = torch.nn.functional.pad(letters, (0, 1))
    k0, k1, k2 = -0x3C5A37A36834CED9, -0x4B6D499041670D8D, -0x651E95C4D06FBFB1
    width, mul = letters.shape[-1], k2 + length * 2
    ends = [
        fetched(letters, index, 1) for index in (length * 0, length // 2, length - 1)
    ]
    value = ((ends[0] + (ends[1] << 8)) * k2) ^ ((length + (ends[2] << 2)) * k0)
    value = torch.where(length == 0, k2, shift_mixed(value) * k2)
    if width >= 4:
        first, last = fetched(letters, 0, 4), fetched(letters, length - 4, 4)
        value = torch.where(length < 4, value, mixed(length + (first << 3), last, mul))
    if width >= 8:
        a, b = fetched(letters, 0) + k2, fetched(letters, length - 8)
        first, last = rotated(b, 37) * mul + a, (rotated(a, 25) + b) * mul
        value = torch.where(length < 8, value, mixed(first, last, mul))
    if width > 16:
        a, b = fetched(letters, 0) * k1, fetched(letters, 8)
        c, d = fetched(letters, length - 8) * mul, fetched(letters, length - 16) * k2
        first = rotated(a + b, 43) + rotated(c, 30) + d
        last = a + rotated(b + k2, 18) + c
        value = torch.where(length <= 16, value, mixed(first, last, mul))
    if width > 32:
        value = torch.where(length <= 32, value, middle_fingerprint(letters, length))
    return value if width <= 64 else long_fingerprint(letters, length, value)


def middle_fingerprint(letters: Tensor, length: Tensor) -> Tensor:
    """Return the fingerprint of words of 33 to 64 bytes."""
    k2 = -0x651E95C4D06FBFB1
    mul = k2 + length * 2
    a, b = fetched(letters, 0) * k2, fetched(letters, 8)
    c, d = fetched(letters, length - 8) * mul, fetched(letters, length - 16) * k2
    y = rotated(a + b, 43) + rotated(c, 30) + d
    z = mixed(y, a + rotated(b + k2, 18) + c, mul)
    e, f = fetched(letters, 16) * mul, fetched(letters, 24)
    g = (y + fetched(letters, length - 32)) * mul
    h = (z + fetched(letters, length - 24)) * mul
    return mixed(
        rotated(e + f, 43) + rotated(g, 30) + h, e + rotated(f + a, 18) + g, mul
    )


def weak_pair(
    letters: Tensor, start: Tensor | int, a: Tensor, b: Tensor
) -> tuple[Tensor, Tensor]:
    """Return 32 letters mixed with two numbers (WeakHashLen32WithSeeds)."""
    w, x, y, z = [fetched(letters, start + 8 * step) for step in range(4)]
    a = a + w
    b = rotated(b + a + z, 21)
    total = a + x + y
    return total + z, b + rotated(total, 44) + a


def long_fingerprint(letters: Tensor, length: Tensor, shorter: Tensor) -> Tensor:
    """Return the fingerprint of words above 64 bytes; of others, what is given."""
    k0, k1, k2 = -0x3C5A37A36834CED9, -0x4B6D499041670D8D, -0x651E95C4D06FBFB1
    zero = torch.zeros_like(length)
    y = (zero + 81) * k1 + 113
    z = shift_mixed(y * k2 + 113) * k2
    state = [fetched(letters, 0) + (zero + 81) * k2, y, z, zero, zero, zero, zero]

    def turn(
        start: Tensor | int, mul: Tensor | int, nine: int, old: list[Tensor]
    ) -> list[Tensor]:
        x, y, z, v, v2, w, w2 = old
        x = rotated(x + y + v + fetched(letters, start + 8), 37) * mul ^ w2 * nine
        y = rotated(y + v2 + fetched(letters, start + 48), 42) * mul
        y = y + v * nine + fetched(letters, start + 40)
        z = rotated(z + w, 33) * mul
        v, v2 = weak_pair(letters, start, v2 * mul, x + w)
        w, w2 = weak_pair(letters, start + 32, z + w2, y + fetched(letters, start + 16))
        return [z, y, x, v, v2, w, w2]

    for start in range(0, (letters.shape[-1] - 1) // 64 * 64, 64):
        inside = start < (length - 1) // 64 * 64
        new = turn(start, k1, 1, state)
        state = [torch.where(inside, *pair) for pair in zip(new, state, strict=True)]
    mul, rest = k1 + ((state[2] & 255) << 1), (length - 1) & 63
    w = state[5] + rest
    v = state[3] + w
    x, y, z, v, v2, w, w2 = turn(
        length - 64, mul, 9, [*state[:3], v, state[4], w + v, state[6]]
    )
    first = mixed(v, w, mul) + shift_mixed(y) * k0 + z
    return torch.where(length <= 64, shorter, mixed(first, mixed(v2, w2, mul) + x, mul))


def sip_hash(letters: Tensor, length: Tensor, salt: tuple[int, int]) -> Tensor:
    """Return SipHash-2-4 with a key of two numbers.

    Source: Aumasson and Bernstein 2012, section 2; its key is read as TensorFlow's to_hash_bucket_strong does.
    """
    starts = (
        0x736F6D6570736575,
        0x646F72616E646F6D,
        0x6C7967656E657261,
        0x7465646279746573,
    )
    state = [
        torch.full_like(length, start ^ salt[place % 2])
        for place, start in enumerate(starts)
    ]

    def turn(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> list[Tensor]:
        a, c = a + b, c + d
        b, d = rotated(b, 51) ^ a, rotated(d, 48) ^ c
        a, c = rotated(a, 32) + d, c + b
        b, d = rotated(b, 47) ^ c, rotated(d, 43) ^ a
        return [a, b, rotated(c, 32), d]

    for start in range(0, letters.shape[-1] + 1, 8):
        word = fetched(letters, start)
        word = torch.where(length // 8 * 8 == start, word | (length << 56), word)
        new = turn(*turn(state[0], state[1], state[2], state[3] ^ word))
        new[0] = new[0] ^ word
        inside = start <= length
        state = [torch.where(inside, *pair) for pair in zip(new, state, strict=True)]
    state[2] = state[2] ^ 255
    for _ in range(4):
        state = turn(*state)
    return state[0] ^ state[1] ^ state[2] ^ state[3]
