from __future__ import annotations

import io

import pytest
from rich.console import Console

from benchmarks.compare import judge
from benchmarks.measure import Spread
from benchmarks.report import (
    describe_verdict,
    format_factor,
    format_spread,
    format_value,
    render_table,
    table_rows,
)
from benchmarks.results import BenchResult, Measurement, Requirement, WorkloadResult


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (3120.4, "updates/s", "3,120"),
        (8.21, "updates/s", "8.21"),
        (0.0000712, "s/call", "71.2 µs"),
        (0.24, "s/step", "240 ms"),
        (12.34, "s", "12.3 s"),
        (51577, "bytes", "51,577 bytes"),
        (341e6, "bytes", "341 MB"),
    ],
)
def test_numbers_are_shown_in_the_scale_people_read(value: float, unit: str, text: str) -> None:
    assert format_value(value, unit) == text


def test_the_middle_half_uses_the_scale_of_the_median() -> None:
    assert format_spread(Spread(0.0010, 0.0009, 0.0012), "s/call") == "0.90 to 1.20"
    assert format_spread(Spread(5.0, 5.0, 5.0), "s") == ""


@pytest.mark.parametrize(
    ("factor", "text"),
    [(2.44, "2.4x"), (394.2, "394x"), (0.42, "0.42x"), (0.0127, "1/79"), (1.015, "1.0x")],
)
def test_factors_read_well_on_both_sides_of_one(factor: float, text: str) -> None:
    assert format_factor(Spread(factor, factor, factor)) == text


def example(*, compiled: float = 30.0) -> WorkloadResult:
    measurements = (
        Measurement("legacy-fit", "legacy", "TensorFlow, fit + predict", "", (1.0, 1.0)),
        Measurement("legacy-function", "legacy", "TensorFlow, tf.function", "", (6.0, 6.0)),
        Measurement("torch-compile", "torch", "PyTorch, compiled", "", (compiled, compiled)),
        Measurement("sb3", "other", "stable-baselines3 [DQN]", "", (), problem="not measured: x"),
    )
    needed = Requirement(
        "torch-compile", "legacy-function", "", 2.5, "compiled against tf.function"
    )
    return WorkloadResult(
        "updates", "Updates", "What.", "updates/s", "higher", measurements, (needed,)
    )


def test_every_style_is_set_against_the_guide_and_the_best_legacy_one() -> None:
    rows = {row.variant: row for row in table_rows(example(), "")}

    assert (rows["legacy-fit"].against_guide, rows["legacy-fit"].against_best) == ("", "0.17x")
    assert (rows["legacy-function"].against_guide, rows["legacy-function"].against_best) == (
        "6.0x",
        "",
    )
    assert (rows["torch-compile"].against_guide, rows["torch-compile"].against_best) == (
        "30x",
        "5.0x",
    )
    assert [row.variant for row in rows.values() if row.leading] == ["torch-compile"]


@pytest.mark.parametrize(
    ("compiled", "text"),
    [
        (30.0, "compiled against tf.function: 5.00x, at least 2.5x needed, met"),
        (12.0, "compiled against tf.function: 2.00x, at least 2.5x needed, NOT MET"),
    ],
    ids=["met", "missed"],
)
def test_a_promise_is_stated_with_what_was_found(compiled: float, text: str) -> None:
    [verdict] = judge(example(compiled=compiled))

    assert describe_verdict(verdict) == text


def test_a_bound_on_time_is_stated_as_at_most() -> None:
    measurements = (
        Measurement("convert", "torch", "convert", "", (1.5,)),
        Measurement("imports", "other", "imports", "", (1.2,)),
    )
    needed = Requirement("convert", "imports", "", 1 / 1.3, "the command")
    workload = WorkloadResult("convert", "C", "W", "s", "lower", measurements, (needed,))

    [verdict] = judge(workload)

    assert describe_verdict(verdict) == "the command: 1.25x, at most 1.3x needed, met"


def test_the_table_fits_eighty_columns_and_shows_failures() -> None:
    output = io.StringIO()
    console = Console(file=output, width=80, highlight=False)
    result = BenchResult("torchward bench", {"cores": "2"}, {"repeats": 2}, (example(),))

    for part in render_table(result):
        console.print(part)

    text = output.getvalue()
    assert all(len(line) <= 80 for line in text.splitlines())
    assert "not measured: x" in text
    assert "[DQN]" in text
    assert "NOT MET" not in text
