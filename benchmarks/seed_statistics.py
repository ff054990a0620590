"""What can be said of a few runs with different seeds: intervals of their mean, and whether two sets of them differ.

Numpy only. Every random number comes from a fixed seed, so the same runs give the same figures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000
MAX_SPLITS = 200_000
"""Up to here every split of the permutation test is looked at: 9 seeds against 9 have 48,620."""

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """Ends of an interval, both in it."""

    low: float
    high: float

    def is_within(self, bound: float) -> bool:
        """Return whether it lies between -bound and +bound."""
        return -bound < self.low and self.high < bound


def bootstrap_interval(
    values: NDArray[Any] | Sequence[Any],  # Any: a number a seed, or a row of numbers
    *,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[Array, Array]:
    """Return the percentile bootstrap interval of the mean over the first axis: seeds are drawn with replacement.

    With five seeds it is narrower than it should be (its ends are at most the means of 3,125 draws); it shows the
    spread, `permutation_p_value` and `welch_interval` judge.

    Args:
        values: (seeds, ...).
        confidence: in (0, 1).
        seed: of the draws.

    Returns:
        Lower and upper ends, (...).

    Raises:
        ValueError: There is no seed.
    """
    array = np.asarray(values, np.float64)
    if array.ndim == 0 or not len(array):
        msg = "needed the values of at least one seed"
        raise ValueError(msg)
    drawn = np.random.default_rng(seed).integers(len(array), size=(RESAMPLES, len(array)))
    # How often each seed was drawn: the means are then one product, without a copy for every resample.
    counts = np.stack([(drawn == place).sum(axis=1) for place in range(len(array))], axis=1)
    means = np.tensordot(counts / len(array), array, axes=1)
    tail = 50 * (1 - confidence)
    low, high = np.percentile(means, [tail, 100 - tail], axis=0)
    return low, high


def permutation_p_value(legacy: Sequence[float], torch: Sequence[float]) -> float:
    """Return the p-value of the two-sided permutation test of equal means: exact, over all splits of the values.

    Args:
        legacy: one value a seed.
        torch: one value a seed, seeds need not be the same.

    Raises:
        ValueError: A side is empty, or there are more splits than are looked at.
    """
    values = np.asarray([*legacy, *torch], np.float64)
    _check_sides(legacy, torch, at_least=1)
    splits = math.comb(len(values), len(legacy))
    if splits > MAX_SPLITS:
        msg = f"{splits:,} splits of {len(legacy)} and {len(torch)} values; at most {MAX_SPLITS:,}"
        raise ValueError(msg)
    chosen = np.array(list(combinations(range(len(values)), len(legacy))))
    sums = values[chosen].sum(axis=1)
    differences = np.abs(sums / len(legacy) - (values.sum() - sums) / len(torch))
    # The split that was observed has to count although its sum was added up in another order.
    slack = 1e-9 * max(1.0, float(np.abs(values).max()))
    observed = abs(float(np.mean(torch)) - float(np.mean(legacy)))
    return float(np.mean(differences >= observed - slack))


def welch_interval(
    legacy: Sequence[float], torch: Sequence[float], *, confidence: float = 0.9
) -> Interval:
    """Return the interval of mean(torch) - mean(legacy) for unequal variances (Welch 1947).

    Two one-sided tests at 5 % find the means equivalent within a bound exactly if the 90 % interval lies within it.

    Raises:
        ValueError: A side has fewer than two values.
    """
    _check_sides(legacy, torch, at_least=2)
    difference = float(np.mean(torch) - np.mean(legacy))
    parts = [float(np.var(side, ddof=1)) / len(side) for side in (legacy, torch)]
    error = sum(parts)
    if error == 0.0:
        return Interval(difference, difference)
    degrees = error**2 / sum(
        part**2 / (len(side) - 1) for part, side in zip(parts, (legacy, torch), strict=True)
    )
    reach = student_quantile((1 + confidence) / 2, degrees) * math.sqrt(error)
    return Interval(difference - reach, difference + reach)


def student_quantile(probability: float, degrees: float) -> float:
    """Return the quantile of Student's t distribution, to about 1e-8.

    Args:
        probability: in [0.5, 1).
        degrees: of freedom, at least 1; need not be whole.
    """
    low, high = 0.0, 1.0
    while _student_tail(high, degrees) > 1 - probability:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (
            (middle, high) if _student_tail(middle, degrees) > 1 - probability else (low, middle)
        )
    return (low + high) / 2


def _student_tail(value: float, degrees: float) -> float:
    """Return P(t > value) for value >= 0.

    With t = sqrt(degrees) tan(angle) the density becomes c cos(angle)**(degrees - 1), smooth on a bounded range.
    """
    log_factor = math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2) - 0.5 * math.log(math.pi)
    start = math.atan(value / math.sqrt(degrees))
    points, weights = np.polynomial.legendre.leggauss(80)
    half = (math.pi / 2 - start) / 2
    angles = start + half * (points + 1)
    return float(half * (weights * np.cos(angles) ** (degrees - 1)).sum() * math.exp(log_factor))


def _check_sides(legacy: Sequence[float], torch: Sequence[float], *, at_least: int) -> None:
    if min(len(legacy), len(torch)) < at_least:
        msg = f"{len(legacy)} and {len(torch)} values; needed at least {at_least} on each side"
        raise ValueError(msg)
