"""Offline updates a second beside d3rlpy's, in turns in one run: `python -m benchmarks.offline_updates --help`.

One process a variant, one thread each, network 128-64-32, batches of 64; the processes are measured one after the other,
round after round, so that a machine that slows down slows all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.subjects.offline_updates import VARIANTS

ALGORITHMS = ("DQN", "DiscreteCQL")
NEEDED = 5.0
"""Compiled updates a second over d3rlpy's, as promised."""
D3RLPY_SUBJECT = Path(__file__).with_name("subjects") / "d3rlpy_updates.py"
_THREADS = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}


@dataclass(frozen=True, slots=True)
class Measured:
    """One variant of one algorithm.

    Attributes:
        rates: updates a second of every round; empty if it could not run.
        versions: of what it used.
        missing: why it could not run, "" if it did.
        peak: largest resident memory of its process, in bytes; compilers that it starts are processes of their own.
    """

    algorithm: str
    variant: str
    rates: tuple[float, ...]
    versions: Mapping[str, str]
    missing: str = ""
    peak: int = 0

    @property
    def rate(self) -> float:
        """Median of the rounds."""
        return median(self.rates) if self.rates else float("nan")


def measure(
    algorithm: str,
    variants: Sequence[str],
    *,
    d3rlpy_python: str | None,
    rounds: int,
    seconds: float,
) -> list[Measured]:
    """Return the rates of all variants of an algorithm, measured in turns.

    Args:
        algorithm: d3rlpy's name.
        variants: of ours; d3rlpy itself is always added.
        d3rlpy_python: an interpreter that has d3rlpy; None: it counts as not installed.
        rounds: measurements of each.
        seconds: of one measurement.
    """
    commands = {
        name: [sys.executable, "-m", "benchmarks.subjects.offline_updates", name, algorithm]
        for name in variants
    }
    if d3rlpy_python is not None:
        commands["d3rlpy"] = [d3rlpy_python, str(D3RLPY_SUBJECT), algorithm]
    processes = {name: _start(command) for name, command in commands.items()}
    try:
        versions = {name: _read(process) for name, process in processes.items()}
        rates: dict[str, list[float]] = {name: [] for name in processes}
        peaks = dict.fromkeys(processes, 0)
        for _ in range(rounds):
            for name, process in processes.items():
                if versions[name] is None:
                    continue
                answer = _ask(process, seconds)
                if answer is not None:
                    rates[name].append(answer["updates"] / answer["seconds"])
                    peaks[name] = answer["peak_bytes"]
    finally:
        for process in processes.values():
            _end(process)
    found = [
        Measured(algorithm, name, tuple(rates[name]), versions[name] or {},
                 "" if rates[name] else "did not run", peaks[name])
        for name in processes
    ]  # fmt: skip
    if d3rlpy_python is None:
        found.append(Measured(algorithm, "d3rlpy", (), {}, "not installed"))
    return found


def format_rows(results: Sequence[Measured]) -> list[str]:
    """Return a Markdown table: updates a second, and how many times d3rlpy's they are."""
    lines = ["| algorithm | variant | updates/s | of d3rlpy | peak MB |", "|---|---|---|---|---|"]
    for each in results:
        [reference] = [
            r for r in results if r.algorithm == each.algorithm and r.variant == "d3rlpy"
        ]
        ratio = f"{each.rate / reference.rate:.1f}" if reference.rates and each.rates else "-"
        rate = each.missing or f"{each.rate:,.0f}"
        peak = f"{each.peak / 1e6:,.0f}" if each.peak else "-"
        lines.append(f"| {each.algorithm} | {each.variant} | {rate} | {ratio} | {peak} |")
    return lines


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table, and return 1 if compiled updates are less than `NEEDED` times d3rlpy's."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.offline_updates")
    parser.add_argument("--d3rlpy-python", metavar="PATH", help="interpreter that has d3rlpy")
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of one measurement")
    parser.add_argument("--output", type=Path, metavar="FILE.json", help="also write the figures")
    arguments = parser.parse_args(argv)
    results = [
        each
        for algorithm in ALGORITHMS
        for each in measure(
            algorithm,
            arguments.variants,
            d3rlpy_python=arguments.d3rlpy_python,
            rounds=arguments.rounds,
            seconds=arguments.seconds,
        )
    ]
    sys.stdout.write("\n".join(format_rows(results)) + "\n")
    if arguments.output is not None:
        content = [
            {"algorithm": r.algorithm, "variant": r.variant, "rates": r.rates,
             "versions": dict(r.versions), "missing": r.missing, "peak_bytes": r.peak}
            for r in results
        ]  # fmt: skip
        arguments.output.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    rates = {(r.algorithm, r.variant): r.rate for r in results if r.rates}
    short = [
        algorithm
        for algorithm in ALGORITHMS
        if {(algorithm, "d3rlpy"), (algorithm, "torch-compiled")} <= set(rates)
        and rates[algorithm, "torch-compiled"] < NEEDED * rates[algorithm, "d3rlpy"]
    ]
    return 1 if short else 0


def _start(command: list[str]) -> subprocess.Popen[str]:
    environment = {**os.environ, **_THREADS, "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
        env=environment,
    )


def _read(process: subprocess.Popen[str]) -> dict[str, Any] | None:  # Any: numbers and texts
    """Return the next line that is JSON, None at the end."""
    for line in process.stdout or ():
        if line.startswith("{"):
            answer: dict[str, Any] = json.loads(line)
            return answer
    return None


def _ask(process: subprocess.Popen[str], seconds: float) -> dict[str, Any] | None:
    if process.stdin is None:
        return None
    process.stdin.write(f"{seconds}\n")
    process.stdin.flush()
    return _read(process)


def _end(process: subprocess.Popen[str]) -> None:
    if process.stdin is not None:
        process.stdin.close()
    process.terminate()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


if __name__ == "__main__":
    sys.exit(main())
