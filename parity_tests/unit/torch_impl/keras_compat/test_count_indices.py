from __future__ import annotations

import numpy as np
import torch

from torch_impl.keras_compat.preprocessing import count_indices

INDICES = np.array([[0, 3, 3], [1, 0, 2]])


def test_indices_are_counted_along_the_second_axis() -> None:
    rows = count_indices(torch.from_numpy(INDICES), size=4, dtype="float32")
    columns = count_indices(torch.from_numpy(INDICES.T.copy()[None]), size=4, dtype="float32")

    wanted = [np.bincount(row, minlength=4) for row in INDICES]
    np.testing.assert_array_equal(rows, wanted)
    np.testing.assert_array_equal(columns[0], wanted)


def test_what_has_no_batch_is_one_sample() -> None:
    several = count_indices(torch.tensor([2, 2, 0]), size=3, dtype="int64", once=True)
    single = count_indices(torch.tensor(1), size=3, dtype="int64")

    assert several.tolist() == [1, 0, 1]
    assert single.tolist() == [0, 1, 0]


def test_an_index_counts_its_weight() -> None:
    weights = np.array([[0.5, 2.0, 0.25], [1.0, 4.0, 8.0]])

    found = count_indices(
        torch.from_numpy(INDICES), torch.from_numpy(weights), size=4, dtype="float64"
    )

    wanted = [np.bincount(row, w, minlength=4) for row, w in zip(INDICES, weights, strict=True)]
    np.testing.assert_array_equal(found, wanted)
