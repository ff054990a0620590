"""The mutants of one kind in one process: `python -m parity_tests.mutants.run KIND FIRST COUNT PROGRESS`.

PROGRESS is a file that holds the number of the mutant being read and what became of those before it, for whoever has to
say which one ended the process.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from converters.checkpoint import Checkpoint
from converters.errors import ConversionError
from converters.plan import plan_conversion
from converters.programs import with_program
from converters.readers import read_checkpoint
from parity_tests.mutants.kinds import KINDS, Kind
from parity_tests.mutants.watch import BrokenPromiseError, Watch, limit_memory

MAX_FAILURES = 20
"""After so many of one kind the reason is clear."""
REAL_WORKER = "TORCHWARD_REAL_WORKER"
"""In the environment: HDF5 is read as users have it read, by a child process, instead of in this one."""
_LATE = (
    "readers",
    "configuration",
    "matching",
    "tensorflow_graphs",
    "agents",
    "stacks",
    "lowering",
    "passes",
    "layers",
)
"""Packages that reading and planning import when they are needed; none of them imports torch."""


@dataclass(slots=True)
class Outcome:
    """What became of the mutants of a kind."""

    read: int = 0
    refused: int = 0
    ended: int = (
        0  # the process, as the reader's own child would have been: an error line for the user
    )
    slowest_s: float = 0.0  # processor time of one mutant
    memory_bytes: int = 0  # at the peak, above what the process had when it began
    failures: list[str] = field(default_factory=list)  # mutant and what it did

    def add(self, other: Outcome) -> None:
        """Count what another process found."""
        self.read += other.read
        self.refused += other.refused
        self.ended += other.ended
        self.slowest_s = max(self.slowest_s, other.slowest_s)
        self.memory_bytes = max(self.memory_bytes, other.memory_bytes)
        self.failures += other.failures


class _Agreeing(int):
    """A checksum that agrees with every other."""

    __hash__ = int.__hash__

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False


def read_whole(kind: Kind, folder: Path) -> Checkpoint:
    """Read the file, plan its conversion and read every array.

    Raises:
        ConversionError: It is refused.
    """
    checkpoint = read_checkpoint(kind.source(folder), architecture=kind.configuration(folder))
    slots = checkpoint.optimizer.variables if checkpoint.optimizer else ()
    layers = [array for layer in checkpoint.layers for array in layer.arrays.values()]
    for array in [*layers, *slots, *checkpoint.extras]:
        array.read()
    outputs = None if kind.outputs is None else list(kind.outputs)
    plan_conversion(with_program(checkpoint, None, outputs))
    return checkpoint


def read_mutants(
    kind: Kind,
    numbers: range,
    folder: Path,
    *,
    read: Callable[[Kind, Path], object] = read_whole,
    begin: Callable[[int, Outcome], None] = lambda *_: None,
) -> Outcome:
    """Read mutants one after the other in this process, which gets the promise's limits and keeps them.

    Args:
        kind: of file.
        numbers: of the mutants.
        folder: empty.
        read: what is watched.
        begin: told the number of each mutant before it is read, and the outcome of those before it.
    """
    kind.prepare(folder)
    read_whole(kind, folder)  # sound: imports what is imported late
    outcome = Outcome()
    watch = Watch(folder, native=kind.native and REAL_WORKER not in os.environ)
    limit_memory(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in numbers:
        begin(number, outcome)
        kind.damage(folder, number)
        started = time.process_time()
        try:
            with watch.reading():
                read(kind, folder)
            outcome.read += 1
        except ConversionError as error:
            outcome.refused += 1
            if not str(error).split("\n", maxsplit=1)[0].strip():
                outcome.failures.append(f"{number}: refused without a word")
        except (Exception, BrokenPromiseError) as error:
            outcome.failures.append(f"{number}: {type(error).__name__}: {str(error)[:200]}")
        outcome.slowest_s = max(outcome.slowest_s, time.process_time() - started)
        if len(outcome.failures) >= MAX_FAILURES:
            break
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcome.memory_bytes = (peak - before) * 1024
    return outcome


def _import_everything() -> None:
    """Import what reading may import late, so that imports do not look like code of the file."""
    for name in _LATE:
        package = importlib.import_module(f"converters.{name}")
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    importlib.import_module("difflib")


def _spoil_checks(kind: Kind) -> None:
    """Overlook checksums, and read HDF5 here, where no process has to be started, as far as the kind asks for it."""
    if not kind.checksums:
        from converters.readers.tensorflow import bundle, table

        setattr(bundle, "mask", lambda _: _Agreeing())  # noqa: B010  it is not exported
        setattr(table, "masked_crc32c", lambda _: _Agreeing())  # noqa: B010
    if kind.native and REAL_WORKER not in os.environ:
        from converters.readers.hdf5 import processes
        from parity_tests.unit.converters.hostile_files import InProcess

        processes.take_worker = InProcess  # type: ignore[assignment]
        processes.keep_worker = lambda _: None  # type: ignore[assignment]


def main(arguments: list[str]) -> None:
    """Print the outcome as one line of JSON."""
    name, first, count, progress = arguments
    _import_everything()
    _spoil_checks(KINDS[name])
    with tempfile.TemporaryDirectory() as folder, Path(progress).open("r+b", buffering=0) as file:

        def begin(number: int, outcome: Outcome) -> None:
            text = json.dumps({"number": number, "outcome": asdict(outcome)})
            os.pwrite(file.fileno(), f"{text}\n".encode(), 0)

        numbers = range(int(first), int(first) + int(count))
        outcome = read_mutants(KINDS[name], numbers, Path(folder), begin=begin)
    sys.stdout.write(json.dumps(asdict(outcome)))


if __name__ == "__main__":
    main(sys.argv[1:])
