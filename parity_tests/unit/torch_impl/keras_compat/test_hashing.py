from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from torch_impl.keras_compat.hashing import cross_hashed, hash_number, hash_text
from torch_impl.text_bytes import text_bytes


@pytest.fixture(scope="module")
def tensorflow() -> Any:  # TensorFlow has no types
    return pytest.importorskip("tensorflow")


@pytest.mark.tf
@pytest.mark.parametrize("bins", [1, 7, 1000, 2**31 - 1])
def test_bins_are_those_of_tensorflow_for_texts_of_every_length(bins: int, tensorflow: Any) -> None:
    draws = np.random.default_rng(8)
    numbers = np.concatenate([draws.integers(10**n // 10, 10**n, size=9) for n in range(1, 19)])
    numbers = np.concatenate([numbers, -numbers, [0, 2**63 - 1, 1 - 2**63]])

    text = tensorflow.as_string(numbers)
    legacy = tensorflow.strings.to_hash_bucket_fast(text, bins).numpy()

    np.testing.assert_array_equal(hash_number(torch.from_numpy(numbers), bins=bins), legacy)


def test_masked_number_has_bin_0_alone() -> None:
    found = hash_number(torch.arange(50), bins=5, masked=7)

    assert found[7] == 0
    assert (found == 0).sum() == 1


@pytest.mark.tf
@pytest.mark.parametrize("salt", [None, (133, -137)], ids=["farm", "sip"])
def test_bins_of_words_are_those_of_tensorflow_at_every_length(
    salt: tuple[int, int] | None, tensorflow: Any
) -> None:
    draws = np.random.default_rng(3)
    words = [bytes(draws.integers(1, 256, size=size).astype(np.uint8)) for size in range(200)]
    hashed = tensorflow.strings
    if salt is None:
        legacy = hashed.to_hash_bucket_fast(words, 2**61 - 1)
    else:
        legacy = hashed.to_hash_bucket_strong(words, 2**61 - 1, key=list(salt))

    for first in range(0, 200, 8):  # rows as wide as their longest word, and one wider than all
        found = hash_text(text_bytes(words[first : first + 8]), bins=2**61 - 1, salt=salt)
        np.testing.assert_array_equal(found, legacy[first : first + 8])
    np.testing.assert_array_equal(hash_text(text_bytes(words), bins=2**61 - 1, salt=salt), legacy)


@pytest.mark.tf
def test_order_of_crossed_features_matters_as_in_tensorflow(tensorflow: Any) -> None:
    first = np.array([[1], [-(2**62)], [0]])
    second = np.array([["a"], [""], ["größer"]])

    for features in ((first, second, first), (second, first, first)):
        tensors = [torch.from_numpy(x) if x is first else text_bytes(x) for x in features]
        found = cross_hashed(*tensors, bins=10**6, text=tuple(x is second for x in features))
        legacy = tensorflow.sparse.cross_hashed([tensorflow.constant(x) for x in features], 10**6)
        np.testing.assert_array_equal(found, tensorflow.sparse.to_dense(legacy))
