"""Timing whole commands from outside, in turns: conversions, readers, `cp`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.measure import interleave
from benchmarks.processes import WorkerError, clean_environment
from benchmarks.results import Measurement

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


def measure_commands(
    commands: Mapping[str, Sequence[str]],
    labels: Mapping[str, tuple[str, str]],
    case: str,
    rounds: int,
    folder: Path,
    *,
    threads: int,
    new_files: Mapping[str, Path] | None = None,
) -> list[Measurement]:
    """Return the seconds of every command, run in turns; half of the rounds go through them backwards.

    Args:
        commands: by the name of the variant.
        labels: framework and label by the name of the variant.
        case: what the measurements are called.
        rounds: runs of each command that count.
        folder: for logs.
        threads: of every pool in the commands.
        new_files: by the name of the variant, a file that is removed before each of its runs.
    """
    environment = clean_environment(threads)
    peaks: dict[str, int] = {}
    problems: dict[str, str] = {}

    def run(name: str) -> float:
        if name in problems:
            return float("nan")
        if new_files and name in new_files:
            new_files[name].unlink(missing_ok=True)
            os.sync()  # what the command before left for the disk is not this one's to wait for
        try:
            found = run_command(commands[name], environment, folder / f"{name}.log")
        except (WorkerError, OSError) as error:
            problems[name] = f"failed: {error}"
            return float("nan")
        peaks[name] = max(peaks.get(name, 0), found.peak_bytes or 0)
        return found.seconds

    for name in commands:
        run(name)  # reads the files once, so that no round pays for a cold disk
    calls = {name: partial(run, name) for name in commands}
    values = interleave(calls, rounds - rounds // 2)
    # What a command leaves behind in the caches meets every other one.
    backwards = interleave(dict(reversed(calls.items())), rounds // 2)
    return [
        Measurement(
            variant=name,
            framework=labels[name][0],
            label=labels[name][1],
            case=case,
            values=() if name in problems else (*values[name], *backwards[name]),
            details={"peak memory": f"{peaks[name] / 1e6:.0f} MB"} if peaks.get(name) else {},
            problem=problems.get(name),
        )
        for name in commands
    ]


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
