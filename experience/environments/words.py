"""The sample vocabulary of the language-learning environment: 25 English words with their Turkish meaning."""

# ruff: noqa: RUF001  Turkish has a letter i without a dot

from __future__ import annotations

from typing import NamedTuple


class Word(NamedTuple):
    """A word to learn."""

    english: str
    turkish: str
    difficulty: int  # 1 (beginner) to 5 (expert)


SAMPLE_WORDS: tuple[Word, ...] = (
    Word("hello", "merhaba", 1),
    Word("water", "su", 1),
    Word("house", "ev", 1),
    Word("friend", "arkadaş", 1),
    Word("bread", "ekmek", 1),
    Word("market", "pazar", 2),
    Word("bridge", "köprü", 2),
    Word("neighbour", "komşu", 2),
    Word("to borrow", "ödünç almak", 2),
    Word("weather", "hava durumu", 2),
    Word("agreement", "anlaşma", 3),
    Word("to improve", "geliştirmek", 3),
    Word("curious", "meraklı", 3),
    Word("experience", "deneyim", 3),
    Word("to hesitate", "tereddüt etmek", 3),
    Word("reluctant", "gönülsüz", 4),
    Word("to acknowledge", "kabul etmek", 4),
    Word("profound", "derin", 4),
    Word("inevitable", "kaçınılmaz", 4),
    Word("coherent", "tutarlı", 4),
    Word("quintessential", "en tipik örnek olan", 5),
    Word("ephemeral", "gelip geçici", 5),
    Word("to exacerbate", "şiddetlendirmek", 5),
    Word("ubiquitous", "her yerde bulunan", 5),
    Word("meticulous", "titiz", 5),
)
"""Five words of every difficulty."""
