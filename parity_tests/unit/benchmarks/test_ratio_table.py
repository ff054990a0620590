from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.ratio_table import format_ratios, main
from benchmarks.results import BenchResult, Measurement, WorkloadResult

QUIET = "0.4 processes on 2 cores (last minute)"
BUSY = "2.1 processes on 2 cores (last minute)"
CASE = "lstm, batch 1"


def result(
    *,
    ours: tuple[float, ...] = (0.001,),
    by_hand: tuple[float, ...] = (0.001,),
    keras: tuple[float, ...] = (0.002,),
    problem: str | None = None,
    busy: str = QUIET,
) -> BenchResult:
    measurements = (
        Measurement("converted", "torch", "converted", CASE, ours),
        Measurement("by-hand", "torch", "by hand", CASE, by_hand),
        Measurement("keras-torch", "other", "Keras on torch", CASE, keras, problem=problem),
    )
    workload = WorkloadResult("converted", "Converted", "what", "s", "lower", measurements)
    return BenchResult("torchward bench", {"busy at start": busy}, {}, (workload,))


def test_ratio_is_the_median_of_neighbouring_rounds() -> None:
    # The machine is ten times slower in the last round: each ratio of neighbours is still about 1.
    measured = result(
        ours=(0.001, 0.0011, 0.01), by_hand=(0.001, 0.001, 0.0125), keras=(0.02, 0.0264, 0.21)
    )

    head, _, row = format_ratios(measured, "converted")

    assert head.endswith("| converted / written by hand | Keras on torch / converted |")
    assert row.endswith("| 1.00 (0.90 to 1.05) | 21.0 (20.5 to 22.5) |")


def test_times_of_a_quiet_machine_have_their_spread() -> None:
    [row] = format_ratios(result(ours=(0.001, 0.002, 0.003), by_hand=(0.001,) * 3), "converted")[2:]

    assert row.startswith(f"| {CASE} | 2.00 ms (1.50 to 2.50) | 1.00 ms | 2.00 ms | ")


def test_times_of_a_busy_machine_are_left_out() -> None:
    head, _, row = format_ratios(result(busy=BUSY), "converted")

    assert head == "| network | converted / written by hand | Keras on torch / converted |"
    assert row == f"| {CASE} | 1.00 | 2.00 |"


def test_missing_measurement_is_said() -> None:
    with pytest.raises(ValueError, match=f"'by-hand' was not measured in '{CASE}'"):
        format_ratios(result(by_hand=()), "converted")
    with pytest.raises(ValueError, match=r"'keras-torch' .*\(not measured: pip install keras\)"):
        format_ratios(result(keras=(), problem="not measured: pip install keras"), "converted")
    with pytest.raises(ValueError, match="no workload 'other'"):
        format_ratios(result(), "other")


def test_stored_result_is_put_into_the_page(tmp_path: Path) -> None:
    stored, page = tmp_path / "converted.json", tmp_path / "page.md"
    stored.write_text(result(busy=BUSY).to_json(), encoding="utf-8")
    page.write_text("<!-- table converted -->\n\n<!-- end of converted -->\n", encoding="utf-8")

    assert main([str(stored), "--update", str(page)]) == 0

    written = page.read_text(encoding="utf-8")
    assert f"| {CASE} | 1.00 | 2.00 |" in written
    assert "Ratios only" in written
