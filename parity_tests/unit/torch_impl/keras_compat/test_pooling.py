"""Worked out by hand: four cells, windows of three with a stride of two pad one cell after the last."""

from __future__ import annotations

import pytest
import torch

from torch_impl.keras_compat.padding import pad_same
from torch_impl.keras_compat.pooling import average_pool_same, max_pool_same


def row(*values: float) -> torch.Tensor:
    return torch.tensor([[values]], dtype=torch.float32)


def test_odd_cell_is_added_after() -> None:
    padded = pad_same(row(1, 2, 3, 4), window=(3,), stride=(2,))

    assert padded.tolist() == [[[1, 2, 3, 4, 0]]]


def test_axes_are_padded_each_by_its_own_window() -> None:
    padded = pad_same(torch.ones(1, 1, 4, 5), window=(3, 4), stride=(2, 1))

    assert padded.shape == (1, 1, 5, 8)
    assert padded[0, 0].nonzero().min(dim=0).values.tolist() == [0, 1]


def test_padding_never_wins() -> None:
    pooled = max_pool_same(row(-1, -2, -3, -4), kernel_size=(3,), stride=(2,))

    assert pooled.tolist() == [[[-1, -3]]]


def test_padding_is_not_counted() -> None:
    pooled = average_pool_same(row(1, 2, 3, 5), kernel_size=(3,), stride=(2,))

    assert pooled.tolist() == [[[2, 4]]]


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_last_window_of_an_odd_size_sees_the_last_cell_only(rank: int) -> None:
    x = torch.arange(2.0 * 3 * 5**rank).reshape(2, 3, *[5] * rank)
    kernel_size = stride = (2,) * rank
    last = (..., *[-1] * rank)

    highest = max_pool_same(x, kernel_size=kernel_size, stride=stride)
    mean = average_pool_same(x, kernel_size=kernel_size, stride=stride)

    assert highest.shape == mean.shape == (2, 3, *[3] * rank)
    assert torch.equal(highest[last], x[last])
    assert torch.equal(mean[last], x[last])
