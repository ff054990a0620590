from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.ratio_table import format_ratios, main
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


def test_stored_result_is_put_into_the_page(tmp_path: Path) -> None:
    stored, page = tmp_path / "converted.json", tmp_path / "page.md"
    stored.write_text(result(ours=(0.002,), theirs=(0.001,)).to_json(), encoding="utf-8")
    page.write_text("<!-- table converted -->\n\n<!-- end of converted -->\n", encoding="utf-8")

    assert main([str(stored), "--update", str(page)]) == 0

    assert "| lstm, batch 1 | 2 ms | 1 ms | 2.00 |" in page.read_text(encoding="utf-8")
