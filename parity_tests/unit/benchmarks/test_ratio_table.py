from __future__ import annotations

import pytest

from benchmarks.ratio_table import format_ratios
from benchmarks.results import BenchResult, Measurement, WorkloadResult


def result(*, ours: tuple[float, ...], theirs: tuple[float, ...]) -> BenchResult:
    measurements = (
        Measurement("converted", "torch", "converted", "lstm, batch 1", ours),
        Measurement("by-hand", "torch", "by hand", "lstm, batch 1", theirs),
    )
    workload = WorkloadResult("converted", "Converted", "what", "s", "lower", measurements)
    return BenchResult("torchward bench", {}, {}, (workload,))


def test_ratio_is_the_median_of_neighbouring_rounds() -> None:
    # The machine is ten times slower in the last round: each ratio of neighbours is still about 1.
    found = format_ratios(
        result(ours=(0.001, 0.0011, 0.01), theirs=(0.001, 0.001, 0.0125)),
        "converted",
        "converted",
        "by-hand",
    )

    assert found[2:] == ["| lstm, batch 1 | 1.1 ms | 1 ms | 1.00 |"]


def test_missing_measurement_is_said() -> None:
    with pytest.raises(ValueError, match="'by-hand' was not measured in 'lstm, batch 1'"):
        format_ratios(result(ours=(0.1,), theirs=()), "converted", "converted", "by-hand")
    with pytest.raises(ValueError, match="no workload 'other'"):
        format_ratios(result(ours=(0.1,), theirs=(0.1,)), "other", "converted", "by-hand")
