from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from torch_impl.keras_compat.hashing import hash_number


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
