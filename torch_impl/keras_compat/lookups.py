"""Numbers and words looked up in a vocabulary. Each function stands alone: its source is emitted as it is."""

from __future__ import annotations

import torch
from torch import Tensor


def lookup_index(
    x: Tensor,
    *,
    vocabulary: tuple[int, ...],
    start: int,
    unknown_start: int,
    buckets: int,
    masked: int | None = None,
    masked_index: int = 0,
) -> Tensor:
    """Return the place of every number in the vocabulary, counted from `start`.

    Args:
        x: whole numbers, or numbers whose fraction is cut off.
        vocabulary: each number once.
        start: index of its first number.
        unknown_start: index of the first bucket for other numbers.
        buckets: how many there are; a number goes into bucket x mod `buckets`. With none, other numbers get -1, where
            Keras stops.
        masked: a number that gets `masked_index`; None: there is none.
        masked_index: beyond every vector's size where places become vectors.

    Source: keras 3.15.1, layers/preprocessing/index_lookup.py.
    """
    numbers = x.long()
    words, order = torch.tensor(vocabulary, dtype=torch.int64, device=x.device).sort()
    place = torch.searchsorted(words, numbers).clamp(max=len(vocabulary) - 1)
    unknown = (
        numbers % buckets + unknown_start if buckets else torch.full_like(numbers, -1)
    )
    index = torch.where(words[place] == numbers, order[place] + start, unknown)
    return (
        index if masked is None else torch.where(numbers == masked, masked_index, index)
    )


def lookup_number(
    x: Tensor,
    *,
    vocabulary: tuple[int, ...],
    start: int,
    unknown: int,
    masked: int | None = None,
) -> Tensor:
    """Return the number at every place of the vocabulary, counted from `start`; elsewhere `unknown`, `masked` at 0."""
    place = x.long()
    words = torch.tensor(vocabulary, dtype=torch.int64, device=x.device)
    inside = (place >= start) & (place < start + len(vocabulary))
    found = words[(place - start).clamp(0, len(vocabulary) - 1)]
    number = torch.where(inside, found, unknown)
    return number if masked is None else torch.where(place == 0, masked, number)


def lookup_text(
    x: Tensor,
    *,
    vocabulary: tuple[str, ...],
    start: int,
    unknown: int,
    masked: str | None = None,
    masked_index: int = 0,
) -> Tensor:
    """Return the place of every word in the vocabulary, counted from `start`; other words get `unknown`.

    Args:
        x: (..., bytes) words in UTF-8, zeros behind their end, uint8.
        vocabulary: each word once.
        start: index of its first word.
        unknown: index of words that are not in it.
        masked: a word that gets `masked_index`; None: there is none.
        masked_index: beyond every vector's size where places become vectors.

    Source: keras 3.15.1, layers/preprocessing/index_lookup.py.
    """
    words = [
        word.encode() for word in (*vocabulary, *([] if masked is None else [masked]))
    ]
    width = max([x.shape[-1], *map(len, words)])
    table = torch.tensor(
        [list(word.ljust(width, b"\0")) for word in words], dtype=torch.uint8
    )
    padded = torch.nn.functional.pad(x, (0, width - x.shape[-1]))
    equal = (padded.unsqueeze(-2) == table.to(x.device)).all(-1)
    count = len(vocabulary)
    place = equal[..., :count].to(torch.uint8).argmax(-1) + start
    index = torch.where(equal[..., :count].any(-1), place, unknown)
    return index if masked is None else torch.where(equal[..., -1], masked_index, index)
