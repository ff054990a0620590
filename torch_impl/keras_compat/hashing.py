"""TensorFlow's hash of whole numbers. Its source is emitted as it is."""

from __future__ import annotations

import torch
from torch import Tensor


def hash_number(x: Tensor, *, bins: int, masked: int | None = None) -> Tensor:
    """Return the bin of every number: FarmHash's Fingerprint64 of its decimal text, modulo `bins`.

    Computed in int64, which wraps around as unsigned numbers do; only shifts to the right and the remainder need care.

    Args:
        x: whole numbers above -2^63, or numbers whose fraction is cut off.
        bins: number of bins.
        masked: a number that alone gets bin 0; the others share the rest. None: there is none.

    Source: tensorflow 2.21.0, string_to_hash_bucket_op.h; FarmHash 1.1, farmhashna::Hash64, up to 32 bytes.
    """
    k0, k1, k2 = -0x3C5A37A36834CED9, -0x4B6D499041670D8D, -0x651E95C4D06FBFB1

    def after(value: Tensor, count: int) -> Tensor:
        return (value >> count) & ((1 << (64 - count)) - 1)

    def turned(value: Tensor, count: int) -> Tensor:
        return after(value, count) | (value << (64 - count))

    def mixed(u: Tensor, v: Tensor, mul: Tensor) -> Tensor:
        a = (u ^ v) * mul
        b = (v ^ (a ^ after(a, 47))) * mul
        return (b ^ after(b, 47)) * mul

    number = x.long()
    powers = 10 ** torch.arange(19, device=x.device)
    sign, size = (number < 0).long().unsqueeze(-1), number.abs().unsqueeze(-1)
    digits = (size >= powers).sum(-1, keepdim=True).clamp(min=1)
    place = torch.arange(20, device=x.device) - sign
    power = powers[(digits - 1 - place).clamp(0, 18)]
    letters = torch.where(place < 0, 45, 48 + size // power % 10)
    length = digits + sign

    def fetched(start: Tensor, count: int) -> Tensor:
        steps = torch.arange(count, device=x.device)
        found = letters.gather(-1, (start + steps).clamp(0, 19))
        return (found << (8 * steps)).sum(-1, keepdim=True)

    zero, mul = torch.zeros_like(length), k2 + length * 2
    ends = [letters.gather(-1, index) for index in (zero, length // 2, length - 1)]
    short = ((ends[0] + (ends[1] << 8)) * k2) ^ ((length + (ends[2] << 2)) * k0)
    short = (short ^ after(short, 47)) * k2
    middle = mixed(length + (fetched(zero, 4) << 3), fetched(length - 4, 4), mul)
    a, b = fetched(zero, 8) + k2, fetched(length - 8, 8)
    long = mixed(turned(b, 37) * mul + a, (turned(a, 25) + b) * mul, mul)
    a, b = fetched(zero, 8) * k1, fetched(zero + 8, 8)
    c, d = fetched(length - 8, 8) * mul, fetched(length - 16, 8) * k2
    longest = mixed(
        turned(a + b, 43) + turned(c, 30) + d, a + turned(b + k2, 18) + c, mul
    )
    value = torch.where(length < 4, short, torch.where(length < 8, middle, long))
    value = torch.where(length > 16, longest, value).squeeze(-1)
    if masked is None or bins == 1:
        return (after(value, 1) % bins * 2 + (value & 1)) % bins
    found = (after(value, 1) % (bins - 1) * 2 + (value & 1)) % (bins - 1)
    return torch.where(torch.eq(number, masked), 0, found + 1)
