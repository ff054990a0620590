from __future__ import annotations

import sys
from pathlib import Path

import pytest

import benchmarks.conversion as conversion
from benchmarks.commands import run_command
from benchmarks.processes import WorkerError, clean_environment
from benchmarks.run import Settings
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
