from __future__ import annotations

import pytest

from benchmarks.ur_generation import GenerationRate, format_rates, main, measure_rate


def test_rates_are_samples_by_seconds() -> None:
    rates = [
        GenerationRate("corrected", 3, 1, 9000, wall=3.0, cpu=2.0),
        GenerationRate("corrected", 4, 2, 9000, wall=3.0, cpu=None),
    ]

    assert list(format_rates(rates))[2:] == [
        "| corrected | 3 | 1 | 9,000 | 3,000 | 4,500 | 700 |",
        "| corrected | 4 | 2 | 9,000 | 3,000 |  |  |",
    ]


@pytest.mark.slow
def test_one_process_is_measured_by_the_processor_too() -> None:
    rate = measure_rate("corrected", 1, processes=1, seconds=0.05)

    assert rate.samples > 100
    assert rate.cpu is not None
    assert rate.cpu > 0
    assert rate.wall > 0


@pytest.mark.slow
def test_the_command_prints_a_line_for_every_depth(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(
        ["--depths", "0", "1", "--modes", "corrected", "--processes", "1", "--seconds", "0.01"]
    )

    assert code == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[:3] for line in lines[2:]] == [
        ["| corrected", "0", "1"], ["| corrected", "1", "1"],
    ]  # fmt: skip
