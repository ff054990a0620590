"""Numbers and words looked up in a vocabulary. Each function stands alone: its source is emitted as it is."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class TermWeights(nn.Module):
    """Counts of words, each times how much it says: its inverse document frequency, which does not train.

    Source: keras 3.15.1, layers/preprocessing/index_lookup.py, output_mode="tf_idf".
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight: Tensor
        self.register_buffer("weight", torch.zeros(size))

    def forward(self, x: Tensor) -> Tensor:
        """Return (..., size) for (..., size)."""
        return x.to(self.weight.dtype) * self.weight


def lookup_index(
    x: Tensor,
    hashed: Tensor | None = None,
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
        hashed: bucket of every number that is not in the vocabulary; None: x mod `buckets`.
        vocabulary: each number once.
        start: index of its first number.
        unknown_start: index of the first bucket for other numbers.
        buckets: how many there are. With none, other numbers get -1, where Keras stops.
        masked: a number that gets `masked_index`; None: there is none.
        masked_index: beyond every vector's size where places become vectors.

    Source: keras 3.15.1, layers/preprocessing/index_lookup.py.
    """
    numbers = x.long()
    words, order = torch.tensor(vocabulary, dtype=torch.int64, device=x.device).sort()
    place = torch.searchsorted(words, numbers).clamp(max=len(vocabulary) - 1)
    unknown = torch.full_like(numbers, -1)
    if buckets:
        unknown = unknown_start + (numbers % buckets if hashed is None else hashed)
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
    unknown_index: Tensor | None = None,
    *,
    vocabulary: tuple[str, ...],
    start: int,
    unknown: int,
    masked: str | None = None,
    masked_index: int = 0,
) -> Tensor:
    """Return the place of every word in the vocabulary, counted from `start`.

    Args:
        x: (..., bytes) words in UTF-8, zeros behind their end, uint8.
        unknown_index: (...) what is added to `unknown` for words that are not in it: the bin of their hash.
        vocabulary: each word once.
        start: index of its first word.
        unknown: index of other words.
        masked: a word that gets `masked_index`; None: there is none.
        masked_index: beyond every vector's size where places become vectors.

    Source: keras 3.15.1, layers/preprocessing/index_lookup.py.
    """
    place = place_of_words(x, vocabulary)
    other = unknown if unknown_index is None else unknown_index + unknown
    index = torch.where(place < 0, other, place + start)
    if masked is None:
        return index
    return torch.where(place_of_words(x, (masked,)) == 0, masked_index, index)


def place_of_words(x: Tensor, vocabulary: tuple[str, ...]) -> Tensor:
    """Return the place of every word in the vocabulary, -1 for others: (...) for (..., bytes).

    Four bytes at a time: what begins alike has one number, and with the next four bytes it is looked up in the sorted
    beginnings of the vocabulary.
    """
    rows = [list(word.encode()) for word in vocabulary]
    width = max(4, *map(len, rows))
    table = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    table = torch.nn.functional.pad(table, (0, -width % 4)).to(x.device)
    width = table.shape[-1]
    words = torch.nn.functional.pad(
        x[..., :width], (0, max(width - x.shape[-1], 0))
    ).long()
    equal = torch.eq(x[..., width:], 0).all(-1)
    known, found = torch.zeros_like(table[:, 0]), torch.zeros_like(words[..., 0])
    scale, order = 256 ** torch.arange(4, device=x.device), known
    for begin in range(0, width, 4):
        own = (known << 32) + (table[:, begin : begin + 4] * scale).sum(-1)
        asked = (found << 32) + (words[..., begin : begin + 4] * scale).sum(-1)
        keys, order = own.sort()
        known = torch.searchsorted(keys, own)
        found = torch.searchsorted(keys, asked).clamp(max=len(rows) - 1)
        equal = equal & (keys[found] == asked)
    return torch.where(equal, order[found], -1)
