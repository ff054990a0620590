from __future__ import annotations

import sys
from pathlib import Path

import pytest

import benchmarks.conversion as conversion
from benchmarks.commands import run_command
from benchmarks.processes import WorkerError, clean_environment
from benchmarks.settings import Settings
from benchmarks.workloads import WORKLOADS

ALLOCATE = "block = bytearray(150_000_000); block[::4096] = b'x' * len(block[::4096])"


def test_peak_memory_is_that_of_the_command(tmp_path: Path) -> None:
    run = run_command([sys.executable, "-c", ALLOCATE], clean_environment(1), tmp_path / "log")

    assert run.seconds > 0
    assert run.peak_bytes is None or run.peak_bytes > 150_000_000


def test_a_failing_command_is_quoted(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('error: no such file')"]

    with pytest.raises(WorkerError, match="ended with 1: error: no such file"):
        run_command(command, clean_environment(1), tmp_path / "log")


def test_a_command_that_hangs_is_ended(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import time; time.sleep(60)"]

    with pytest.raises(WorkerError, match="longer than"):
        run_command(command, clean_environment(1), tmp_path / "log", timeout_s=0.2)


@pytest.mark.slow
def test_both_commands_take_turns_and_are_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = [sys.executable, "-S", "-c"]
    slow = [*python, "import time; time.sleep(0.3)"]
    monkeypatch.setattr(conversion, "convert_command", lambda source, target: slow)
    monkeypatch.setattr(conversion, "imports_command", lambda: [*python, "pass"])

    result = conversion.measure_conversion(
        WORKLOADS["convert"], Settings(repeats=2), tmp_path, lambda _: None
    )

    convert, imports = (
        result.of("convert", conversion.SMALL),
        result.of("imports", conversion.SMALL),
    )
    assert convert is not None
    assert imports is not None
    assert len(convert.values) == len(imports.values) == 2
    assert min(convert.values) > 0.3
    assert result.requirements[0].at_least == pytest.approx(1 / 1.3)


def test_large_file_is_judged_by_three_kinds_of_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = [sys.executable, "-S", "-c"]
    refuse_existing = "import sys; open(sys.argv[1], 'x')"
    monkeypatch.setattr(
        conversion, "convert_command", lambda _, target: [*python, refuse_existing, str(target)]
    )
    monkeypatch.setattr(conversion, "imports_command", lambda: [*python, "pass"])
    monkeypatch.setattr(conversion, "LARGE_SIZES", (4, 3))

    result = conversion.measure_conversion(
        WORKLOADS["convert"], Settings(repeats=1, large=True), tmp_path, lambda _: None
    )

    judged = [each.reference for each in result.requirements if each.case == conversion.LARGE]
    large = [result.of(name, conversion.LARGE) for name in ("convert", *judged)]
    assert judged == ["copy", "copy-over", "copy-sync"]
    assert [each and each.problem for each in large] == [None] * 4  # each run found a new file
    assert [len(each.values) for each in large if each] == [conversion.LARGE_ROUNDS] * 4
