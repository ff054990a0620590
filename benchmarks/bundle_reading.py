"""The "checkpoint-reading" workload: every tensor of a TensorFlow checkpoint, beside TensorFlow's own reader.

The whole process is timed, from its start to the last tensor, every checksum compared. On request also a checkpoint of
500 MB beside `cp` of its data. This module is also the program that is timed: `python -m benchmarks.bundle_reading PREFIX`.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.results import WorkloadResult
    from benchmarks.settings import Progress, Settings
    from benchmarks.workloads import Workload

SMALL, LARGE = "12,165 parameters", "500 MB"
LARGE_ROUNDS = 5
LABELS = {
    "bundle": ("torch", "torchward's reader"),
    "load_checkpoint": ("tensorflow", "tf.train.load_checkpoint"),
    "copy": ("other", "cp of the same file"),
}
_TENSORFLOW = """\
import sys, tensorflow
reader = tensorflow.train.load_checkpoint(sys.argv[1])
for name in reader.get_variable_to_shape_map():
    reader.get_tensor(name)
"""


def measure_reading(
    workload: Workload, settings: Settings, folder: Path, progress: Progress
) -> WorkloadResult:
    """Measure the small checkpoint, and the large one if the settings ask for it."""
    from benchmarks.bundle_file import write_bundle
    from benchmarks.commands import measure_commands
    from benchmarks.keras_file import LARGE_SIZES
    from benchmarks.results import Requirement

    requirements = [
        Requirement("bundle", "load_checkpoint", SMALL, 10.0, "with the start of the process")
    ]
    with tempfile.TemporaryDirectory() as scratch:
        small = Path(scratch) / "small"
        write_bundle(small)
        commands = {"bundle": read_command(small), "load_checkpoint": tensorflow_command(small)}
        progress(f"checkpoint-reading {SMALL}: {settings.repeats} rounds")
        measurements = measure_commands(
            commands, LABELS, SMALL, settings.repeats, folder, threads=settings.threads
        )
        if settings.large:
            progress("checkpoint-reading: writing a checkpoint of 500 MB")
            large = Path(scratch) / "large"
            _, data = write_bundle(large, LARGE_SIZES)
            commands = {
                "bundle": read_command(large),
                "copy": ["cp", str(data), str(Path(scratch) / "copy")],
            }
            progress(f"checkpoint-reading {LARGE}: {LARGE_ROUNDS} rounds")
            measurements += measure_commands(
                commands, LABELS, LARGE, LARGE_ROUNDS, folder, threads=settings.threads
            )
            requirements.append(
                Requirement("bundle", "copy", LARGE, 0.5, "500 MB, at least half the speed of cp")
            )
    return replace(workload.result(measurements), requirements=tuple(requirements))


def read_command(prefix: Path) -> list[str]:
    """Return the command that reads every tensor of a checkpoint with torchward."""
    return [sys.executable, "-P", "-m", "benchmarks.bundle_reading", str(prefix)]


def tensorflow_command(prefix: Path) -> list[str]:
    """Return the command that does the same with TensorFlow."""
    return [sys.executable, "-P", "-c", _TENSORFLOW, str(prefix)]


def read_all(prefix: str) -> int:
    """Read every tensor of a checkpoint, checksums compared, and return how many numbers there were."""
    from converters.limits import Limits
    from converters.readers.files.source import Source
    from converters.readers.tensorflow.bundle import read_bundle

    index = Path(f"{prefix}.index")
    source = Source(Path(prefix), index)
    bundle = read_bundle(source, source.file, Path(prefix).name, Limits())
    return sum(array.read().size for array in bundle.arrays.values())


if __name__ == "__main__":
    read_all(sys.argv[1])
