"""Words become their bytes, zeros behind their end."""

from __future__ import annotations

import numpy as np
import pytest

from torch_impl.keras_compat.lookups import lookup_text
from torch_impl.text_bytes import is_text, text_bytes


@pytest.mark.parametrize(
    "words",
    [
        [["a", "größer"], ["", "bc"]],
        np.array([["a", "größer"], ["", "bc"]]),
        np.array([["a", "größer"], ["", "bc"]], dtype=object),
        [[b"a", "größer".encode()], [b"", b"bc"]],
    ],
    ids=["lists", "array", "objects", "bytes"],
)
def test_words_are_utf8_of_one_length(words: object) -> None:
    found = text_bytes(words)

    assert found.shape == (2, 2, 8)
    assert bytes(found[0, 1].tolist()) == "größer".encode()
    assert bytes(found[1, 1].tolist()) == b"bc\0\0\0\0\0\0"


@pytest.mark.parametrize("value", [1, [1, "a"], [], np.zeros(2), None])
def test_other_values_are_no_words(value: object) -> None:
    assert not is_text(value)
    with pytest.raises(TypeError, match="words are needed"):
        text_bytes(value)


def test_a_zero_in_a_word_is_refused() -> None:
    with pytest.raises(ValueError, match="zero byte"):
        text_bytes(["a\0b"])


def test_a_word_is_found_whole_only() -> None:
    words = text_bytes(["up", "upper", "u", "down"])

    found = lookup_text(words, vocabulary=("upper", "up"), start=1, unknown=0)

    assert found.tolist() == [2, 1, 0, 0]
