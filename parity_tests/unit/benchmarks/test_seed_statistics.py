from __future__ import annotations

import numpy as np
import pytest

from benchmarks.seed_statistics import (
    Interval,
    bootstrap_interval,
    permutation_p_value,
    student_quantile,
    welch_interval,
)


@pytest.mark.parametrize(
    ("probability", "degrees", "quantile"),
    [(0.95, 1, 6.313752), (0.975, 4, 2.776445), (0.95, 8, 1.859548), (0.995, 30, 2.749996)],
)
def test_quantiles_are_those_of_printed_tables(
    probability: float, degrees: float, quantile: float
) -> None:
    assert student_quantile(probability, degrees) == pytest.approx(quantile, abs=1e-6)


def test_two_of_twenty_splits_are_as_far_apart_as_three_low_and_three_high_values() -> None:
    assert permutation_p_value([1, 2, 3], [4, 5, 6]) == pytest.approx(2 / 20)


def test_equal_values_cannot_be_told_apart() -> None:
    assert permutation_p_value([0.1, 0.7], [0.1, 0.7]) == 1.0
    assert permutation_p_value([5.0] * 3, [5.0] * 3) == 1.0


def test_five_seeds_that_are_all_better_differ() -> None:
    assert permutation_p_value([1, 2, 3, 4, 5], [11, 12, 13, 14, 15]) == pytest.approx(2 / 252)


def test_too_many_splits_are_refused() -> None:
    with pytest.raises(ValueError, match="at most 200,000"):
        permutation_p_value([0.0] * 15, [1.0] * 15)


def test_welch_interval_is_as_worked_out_by_hand() -> None:
    # Means 2 and 6, variances 1 and 4, three values each: error^2 = 5/3 and
    # degrees (5/3)^2 / ((1/9 + 16/9) / 2) = 2.941; t(0.95, 2.941) = 2.3778.
    found = welch_interval([1, 2, 3], [4, 6, 8])

    assert (found.low + found.high) / 2 == pytest.approx(4)
    assert (found.high - found.low) / 2 == pytest.approx(
        student_quantile(0.95, 50 / 17) * (5 / 3) ** 0.5
    )
    assert 2.353363 < student_quantile(0.95, 50 / 17) < 2.919986  # t with 3 and with 2 degrees


def test_welch_needs_two_values_on_each_side() -> None:
    with pytest.raises(ValueError, match="1 and 2 values"):
        welch_interval([1], [1, 2])


def test_interval_of_values_without_spread_is_their_difference() -> None:
    assert welch_interval([1, 1], [4, 4]) == Interval(3.0, 3.0)


@pytest.mark.parametrize(("bound", "within"), [(5.1, True), (5.0, False), (1.0, False)])
def test_an_interval_is_within_a_bound_only_as_a_whole(bound: float, within: bool) -> None:
    assert Interval(-2.0, 5.0).is_within(bound) is within


def test_bootstrap_interval_is_that_of_all_resamples_of_two_values() -> None:
    # Means of two draws from {0, 1}: 0, 0.5, 0.5, 1.
    low, high = bootstrap_interval([0.0, 1.0], confidence=0.9)

    assert (float(low), float(high)) == (0.0, 1.0)


def test_bootstrap_interval_of_curves_is_one_a_point() -> None:
    low, high = bootstrap_interval(np.array([[1.0, 7.0], [3.0, 7.0], [5.0, 7.0]]))

    assert low.shape == high.shape == (2,)
    assert low[1] == pytest.approx(7) == high[1]
    assert 1.0 <= low[0] < 3.0 < high[0] <= 5.0


def test_bootstrap_without_seeds_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one seed"):
        bootstrap_interval([])
