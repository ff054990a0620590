from __future__ import annotations

import pytest

from benchmarks.compare import best, compare, guide_style, judge
from benchmarks.results import Measurement, Requirement, WorkloadResult


def measurement(variant: str, framework: str, *values: float, case: str = "") -> Measurement:
    return Measurement(variant, framework, variant, case, values)


def workload(
    *measurements: Measurement, better: str = "higher", at_least: float = 2.0
) -> WorkloadResult:
    requirement = Requirement("fast", "slow", "", at_least, "fast against slow")
    return WorkloadResult(
        "updates", "Updates", "What.", "updates/s", better, measurements, (requirement,)
    )


def test_rates_are_divided_round_by_round() -> None:
    # The machine was twice as slow in the second round, for both: the ratio is 3 in each.
    slow, fast = measurement("slow", "legacy", 10, 5, 8), measurement("fast", "torch", 30, 15, 24)

    spread = compare(slow, fast, better="higher")

    assert spread is not None
    assert (spread.low, spread.median, spread.high) == (3.0, 3.0, 3.0)


def test_less_time_is_a_factor_above_one() -> None:
    spread = compare(
        measurement("slow", "legacy", 8.0), measurement("fast", "torch", 2.0), better="lower"
    )

    assert spread is not None
    assert spread.median == 4.0


def test_different_numbers_of_rounds_compare_medians() -> None:
    slow, fast = measurement("slow", "legacy", 1, 2, 3), measurement("fast", "torch", 10)

    spread = compare(slow, fast, better="higher")

    assert spread is not None
    assert spread.median == 5.0


def test_an_unknown_direction_is_refused() -> None:
    with pytest.raises(ValueError, match="'faster'"):
        compare(measurement("a", "legacy", 1), measurement("b", "torch", 1), better="faster")


@pytest.mark.parametrize(
    ("fast", "met"), [(19.9, False), (20.0, True), (30.0, True)], ids=["below", "exactly", "above"]
)
def test_a_requirement_holds_from_its_bound_on(fast: float, *, met: bool) -> None:
    found = workload(measurement("slow", "other", 10.0), measurement("fast", "torch", fast))

    [verdict] = judge(found)

    assert verdict.met is met


def test_a_requirement_without_its_other_side_is_neither_met_nor_missed() -> None:
    [verdict] = judge(workload(measurement("fast", "torch", 1.0)))

    assert verdict.met is None


@pytest.mark.parametrize(("better", "name"), [("higher", "b"), ("lower", "a")])
def test_the_best_follows_the_direction(better: str, name: str) -> None:
    found = workload(
        measurement("a", "legacy", 1.0),
        measurement("b", "legacy", 2.0),
        measurement("c", "torch", 9.0),
        better=better,
    )

    winner = best(found, "", "legacy")

    assert winner is not None
    assert winner.variant == name


def test_a_variant_that_failed_is_never_the_yardstick() -> None:
    failed = Measurement("legacy-fit", "legacy", "fit", "", (), problem="failed: x")

    assert guide_style(workload(failed), "") is None
    assert best(workload(failed), "", "legacy") is None
