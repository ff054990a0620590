from __future__ import annotations

import numpy as np
import pytest
import torch

from torch_impl.keras_compat.operations import round_as
from torch_impl.keras_compat.series import (
    correlate,
    correlation_coefficients,
    cross_product,
    evenly_spaced,
    mesh_grid,
    saturate_cast,
    spread_like,
)

ROWS = np.random.default_rng(7).normal(size=(2, 5, 3))


@pytest.mark.parametrize("endpoint", [True, False], ids=["with the end", "without"])
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("num", [1, 4])
def test_rows_are_those_of_numpy(num: int, axis: int, endpoint: bool) -> None:
    start, stop = torch.from_numpy(ROWS[0]), torch.from_numpy(ROWS[1])

    found = evenly_spaced(start, stop, num=num, endpoint=endpoint, axis=axis)

    wanted = np.linspace(ROWS[0], ROWS[1], num, endpoint=endpoint, axis=axis)
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-14)


@pytest.mark.parametrize("mode", ["valid", "same", "full"])
@pytest.mark.parametrize("size", [3, 4], ids=["odd", "even"])
def test_correlations_are_those_of_numpy(size: int, mode: str) -> None:
    x, y = np.arange(7.0) ** 2, ROWS[0].reshape(-1)[:size]

    found = correlate(torch.from_numpy(x), torch.from_numpy(y), mode=mode)

    np.testing.assert_allclose(found.numpy(), np.correlate(x, y, mode), rtol=1e-12)  # type: ignore[call-overload]


def test_correlation_coefficients_are_those_of_numpy() -> None:
    found = correlation_coefficients(torch.from_numpy(ROWS[0]))

    np.testing.assert_allclose(found.numpy(), np.corrcoef(ROWS[0]), atol=1e-14)


@pytest.mark.parametrize("indexing", ["xy", "ij"])
def test_grids_are_those_of_numpy(indexing: str) -> None:
    rows = [np.arange(3.0), np.arange(4.0), np.arange(2.0)]

    found = mesh_grid(*map(torch.from_numpy, rows), indexing=indexing)

    for grid, wanted in zip(found, np.meshgrid(*rows, indexing=indexing), strict=True):  # type: ignore[call-overload]
        np.testing.assert_array_equal(grid.numpy(), wanted)


def test_a_missing_third_element_of_a_vector_is_zero() -> None:
    x, y = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 5.0, 7.0]])

    assert cross_product(x, y).tolist() == [[14.0, -7.0, -1.0]]
    assert cross_product(x, y[:, :2]).tolist() == [-1.0]
    assert cross_product(x.T, y.T, axes=(0, 0, 0)).tolist() == [[14.0], [-7.0], [-1.0]]


@pytest.mark.parametrize("values", [(-3.7, 300.0, 2.6), (-3, 300, 2)], ids=["floats", "whole"])
def test_numbers_out_of_a_type_are_at_its_bounds(values: tuple[float, ...]) -> None:
    assert saturate_cast(torch.tensor(values), dtype="uint8").tolist() == [0, 255, 2]


def test_the_upper_bound_of_a_type_is_one_that_floats_have() -> None:
    assert saturate_cast(torch.tensor([1e12, -1e12]), dtype="int32").tolist() == [
        2**31 - 128,
        -(2**31),
    ]


def test_images_are_rounded_to_the_even_and_kept_within_their_type() -> None:
    like = torch.zeros(5, dtype=torch.uint8)

    found = round_as(torch.tensor([-1.0, 0.5, 1.5, 254.6, 300.0]), like)

    assert found.dtype == torch.uint8
    assert found.tolist() == [0, 0, 2, 255, 255]


def test_a_number_is_spread_in_the_type_of_what_it_lies_along() -> None:
    found = spread_like(torch.tensor(2.5), torch.zeros(2, 3, dtype=torch.int64))

    assert found.tolist() == [[2, 2, 2], [2, 2, 2]]
