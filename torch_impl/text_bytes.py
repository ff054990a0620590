"""Text as tensors: torch has none of words, so converted models take their bytes."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def is_text(value: object) -> bool:
    """Tell whether a value is a word, an array of words, or nested lists of them."""
    if isinstance(value, (list, tuple)):
        return bool(value) and all(is_text(item) for item in value)
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "US" or (
            value.dtype == object and is_text(value.ravel().tolist())
        )
    return isinstance(value, (str, bytes))


def text_bytes(words: object) -> Tensor:
    """Return the bytes of words in UTF-8, zeros behind their end.

    Args:
        words: an array of words or nested lists of them, of any shape.

    Returns:
        uint8, the shape of `words` and an axis as long as the longest word.

    Raises:
        TypeError: Something is no word.
        ValueError: A word has a zero in it, or lists differ in length.
    """
    if not is_text(words):
        msg = f"words are needed: an array or lists of str, found {type(words).__name__}"
        raise TypeError(msg)
    array = np.asarray(words)
    encoded = [word if isinstance(word, bytes) else str(word).encode() for word in array.ravel()]
    if any(0 in word for word in encoded):
        msg = "a word has a zero byte in it"
        raise ValueError(msg)
    width = max([1, *map(len, encoded)])
    rows = np.array([list(word.ljust(width, b"\0")) for word in encoded], np.uint8)
    return torch.from_numpy(rows.reshape(*array.shape, width))
