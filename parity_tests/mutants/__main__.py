"""`python -m parity_tests.mutants`: read damaged files of every kind and print what became of them."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from parity_tests.mutants.kinds import KINDS
from parity_tests.mutants.run import MAX_FAILURES, REAL_WORKER, Outcome

MUTANTS = 10_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for; return 0 if every mutant was read or refused."""
    parser = argparse.ArgumentParser(prog="python -m parity_tests.mutants", description=__doc__)
    parser.add_argument("kinds", nargs="*", help="of files, all without: " + ", ".join(KINDS))
    parser.add_argument("--mutants", type=int, default=MUTANTS, help="of every kind")
    parser.add_argument("--first", type=int, default=0, help="number of the first mutant")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    chosen = parser.parse_args(arguments)
    unknown = set(chosen.kinds) - set(KINDS)
    if unknown:
        parser.error(f"no such kind: {', '.join(sorted(unknown))}; there are {', '.join(KINDS)}")
    kinds = chosen.kinds or list(KINDS)
    with ThreadPoolExecutor(chosen.processes) as threads:
        outcomes = threads.map(lambda kind: run_kind(kind, chosen.first, chosen.mutants), kinds)
        return report(zip(kinds, outcomes, strict=True))


def run_kind(kind: str, first: int, count: int) -> Outcome:
    """Read mutants in processes of their own: another one from the next mutant on, wherever one ends early."""
    total, end = Outcome(), first + count
    while first < end and len(total.failures) < MAX_FAILURES:
        outcome, ended = _run_process(kind, first, end - first)
        total.add(outcome)
        if ended is None:
            break
        total.add(_ended(kind, ended))
        first = ended + 1
    return total


def _ended(kind: str, number: int) -> Outcome:
    """Return what a mutant counts as that ended the process: HDF5's library does so in a child, which is refused."""
    if KINDS[kind].native:
        again, ended = _run_process(kind, number, 1, **{REAL_WORKER: "1"})
        if ended is None and not again.failures:
            return Outcome(refused=1, ended=1)
    return Outcome(failures=[f"{number}: ended the process"])


def _run_process(
    kind: str, first: int, count: int, **environment: str
) -> tuple[Outcome, int | None]:
    """Return the outcome, and the mutant that ended the process, None if none did."""
    with tempfile.NamedTemporaryFile() as progress:
        command = [sys.executable, "-m", "parity_tests.mutants.run", kind, str(first), str(count)]
        done = subprocess.run(
            [*command, progress.name],
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        reached = Path(progress.name).read_text(encoding="ascii").partition("\n")[0]
    if done.returncode == 0:
        return Outcome(**json.loads(done.stdout)), None
    if done.returncode > 0 or not reached:
        raise RuntimeError(done.stderr)
    state = json.loads(reached)
    return Outcome(**state["outcome"]), state["number"]


def report(outcomes: Iterable[tuple[str, Outcome]]) -> int:
    """Write a line a kind and every failure with the command that repeats it; return the exit status."""
    _write(f"{'kind':34} {'read':>7} {'refused':>8} {'ended':>6} {'slowest':>9} {'memory':>8}")
    total = Outcome()
    for kind, found in outcomes:
        total.add(found)
        _write(
            f"{kind:34} {found.read:7,} {found.refused:8,} {found.ended:6,} "
            f"{found.slowest_s:7.2f} s {found.memory_bytes / 1e6:5.0f} MB"
        )
        for failure in found.failures:
            number = failure.partition(":")[0]
            _write(f"  {failure}")
            _write(f"  python -m parity_tests.mutants {kind} --first {number} --mutants 1")
    mutants = total.read + total.refused + len(total.failures)
    _write(f"{mutants:,} mutants, {len(total.failures):,} failures")
    return int(bool(total.failures))


def _write(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
