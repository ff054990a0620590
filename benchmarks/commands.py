"""Timing whole commands from outside: the conversion of a small file, and of a large one beside `cp`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import WorkerError

COMMAND_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class CommandRun:
    """What one run of a command cost."""

    seconds: float
    peak_bytes: int | None  # None where the system does not tell it


def convert_command(source: Path, destination: Path) -> list[str]:
    """Return the command a user types: the console script beside this Python, else the module."""
    script = shutil.which("torchward", path=str(Path(sys.executable).parent))
    start = [script] if script else [sys.executable, "-P", "-m", "torchward"]
    return [*start, "convert", str(source), "-o", str(destination), "--force", "--quiet"]


def imports_command() -> list[str]:
    """Return the yardstick: what any script pays that reads HDF5 and writes with torch."""
    return [sys.executable, "-P", "-c", "import h5py, torch"]


def run_command(
    command: Sequence[str],
    environment: Mapping[str, str],
    log: Path,
    *,
    timeout_s: float = COMMAND_TIMEOUT_S,
) -> CommandRun:
    """Run a command once, output into `log`, and return its wall time and peak memory.

    Raises:
        WorkerError: It failed or took longer than `timeout_s`.
    """
    with log.open("wb") as output:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=output, stderr=output, env=dict(environment))
        try:
            code, peak = _wait(process, timeout_s)
        except subprocess.TimeoutExpired as error:
            process.kill()
            process.wait()
            message = f"took longer than {timeout_s:.0f} s"
            raise WorkerError(message) from error
        seconds = time.perf_counter() - start
    if code != 0:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        message = f"ended with {code}: {lines[0] if lines else 'no message'}"
        raise WorkerError(message)
    return CommandRun(seconds, peak)


def _wait(process: subprocess.Popen[bytes], timeout_s: float) -> tuple[int, int | None]:
    """Return exit code and peak memory in bytes; the latter is never below this process's own (see measure)."""
    if not hasattr(os, "wait4"):
        return process.wait(timeout_s), None
    deadline = time.perf_counter() + timeout_s
    while True:
        found, status, usage = os.wait4(process.pid, os.WNOHANG)
        if found:
            break
        if time.perf_counter() > deadline:
            raise subprocess.TimeoutExpired(process.args, timeout_s)
        time.sleep(0.002)  # two thousandths against commands of a second
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
