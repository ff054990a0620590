"""Keras's TextVectorization on bytes: text made plain, cut into words, and joined to n-grams.

Texts are rows of bytes in UTF-8 with zeros behind their end; a row of zeros is a word that is not there. Their source
is emitted as it is, each with what it calls. How many words there are and how long they may be depends on the data.
"""

from __future__ import annotations

import torch
from torch import Tensor


def standardize_text(x: Tensor, *, lower: bool, strip: bool) -> Tensor:
    """Return (..., bytes) with the letters A to Z as small ones, and without the punctuation of ASCII.

    Source: keras 3.15.1, layers/preprocessing/text_vectorization.py; tf.strings.lower leaves other letters.
    """
    if lower:
        x = torch.where((x >= 65) & (x <= 90), x + 32, x)
    if not strip:
        return x
    signs = ((33, 47), (58, 64), (91, 96), (123, 126))
    found = [(x >= first) & (x <= last) for first, last in signs]
    return packed_left(torch.where(torch.stack(found).any(0), 0, x))


def split_text(x: Tensor, *, characters: bool = False) -> Tensor:
    """Return the words of every text, or its characters: (batch, words, bytes) for (batch, bytes) or (batch, 1, bytes).

    There are as many words as the longest text has, and as many bytes as the longest word has.
    Words stand between what ASCII has of white space, as in tf.strings.split.
    """
    text = x if x.dim() == 2 else x[:, 0]
    before = torch.nn.functional.pad(text, (1, 0))[:, :-1]
    if characters:
        inside = text != 0
        first = inside & (
            (text < 128) | (text >= 192)
        )  # the others continue a character
    else:
        inside = (text > 32) | ((text > 0) & (text < 9)) | ((text > 13) & (text < 32))
        first = inside & (
            (before == 0) | (before == 32) | ((before > 8) & (before < 14))
        )
    word = first.cumsum(-1) - 1
    places = torch.arange(text.shape[-1], device=x.device).expand_as(text)
    letter = places - torch.where(first, places, -1).cummax(-1).values
    letter = torch.where(inside, letter, 0)
    count, length = int(first.sum(-1).max()), int(letter.max()) + 1
    words = text.new_zeros((text.shape[0], (count + 1) * length))
    # What is in no word goes behind the last one.
    places = torch.where(inside, word * length + letter, count * length)
    words = words.scatter(1, places, text)
    return words.reshape(-1, count + 1, length)[:, :count]


def join_ngrams(x: Tensor, *, widths: tuple[int, ...], dense: bool = False) -> Tensor:
    """Return neighbouring words joined by spaces, those of the first width before those of the next.

    Args:
        x: (..., words, bytes).
        widths: how many words are joined.
        dense: rows of zeros are words as well; otherwise no row has them in between.
    """
    made, there = [], []
    for width in widths:
        count = max(x.shape[-2] - width + 1, 0)
        parts = []
        for step in range(width):
            part = x[..., step : step + count, :]
            parts += [part] if step == 0 else [torch.full_like(part[..., :1], 32), part]
        made.append(packed_left(torch.cat(parts, -1)))
        there.append(x[..., width - 1 : width - 1 + count, :1].squeeze(-1) != 0)
    longest = max([part.shape[-1] for part in made])
    padded = [
        torch.nn.functional.pad(part, (0, longest - part.shape[-1])) for part in made
    ]
    joined = torch.cat(padded, -2)
    if dense:
        return joined
    present = torch.cat(there, -1)
    order = (~present).to(torch.uint8).argsort(dim=-1, stable=True)
    joined = torch.where(present.unsqueeze(-1), joined, 0)
    joined = joined.gather(-2, order.unsqueeze(-1).expand_as(joined))
    return joined[..., : int(present.sum(-1).max()) if present.numel() else 0, :]


def fit_length(x: Tensor, *, length: int) -> Tensor:
    """Return (..., words) cut or filled with zeros to `length` words."""
    return torch.nn.functional.pad(x[..., :length], (0, max(length - x.shape[-1], 0)))


def find_words(
    x: Tensor,
    *,
    vocabulary: tuple[str, ...],
    start: int,
    unknown: str,
    masked: str | None = None,
) -> Tensor:
    """Return the word at every place of the vocabulary, counted from `start`: (..., bytes) for (...).

    Elsewhere `unknown`, and `masked` at 0. As many bytes as the longest of them has.
    Source: keras 3.15.1, layers/preprocessing/index_lookup.py, invert=True.
    """
    words = [unknown, unknown if masked is None else masked, *vocabulary]
    rows = [list(word.encode()) for word in words]
    width = max(1, *map(len, rows))
    padded = [row + [0] * (width - len(row)) for row in rows]
    table = torch.tensor(padded, dtype=torch.uint8, device=x.device)
    place = x.long()
    inside = (place >= start) & (place < start + len(vocabulary))
    row = torch.where(inside, place - start + 2, 0)
    return table[row if masked is None else torch.where(place == 0, 1, row)]


def read_words(x: Tensor) -> list[object] | str:
    """Return the words of (..., bytes) as nested lists of `str`: torch has no tensors of them."""
    if x.dim() > 1:
        return [read_words(part) for part in x]
    return bytes(x.tolist()).rstrip(b"\0").decode("utf-8", "replace")


def packed_left(x: Tensor) -> Tensor:
    """Return (..., bytes) without the zeros between others."""
    order = torch.eq(x, 0).to(torch.uint8).argsort(dim=-1, stable=True)
    return x.gather(-1, order)
