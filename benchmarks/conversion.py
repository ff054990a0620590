"""The "convert" workload: `torchward convert` as a whole command, beside the imports it cannot do without.

On request also a 500 MB file beside `cp`, with peak memory.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from benchmarks.commands import convert_command, imports_command, measure_commands
from benchmarks.keras_file import GUIDE_SIZES, LARGE_SIZES, write_keras_file
from benchmarks.results import Measurement, Requirement, WorkloadResult
from benchmarks.run import Progress, Settings, result_of
from benchmarks.workloads import Workload

SMALL, LARGE = "12,165 parameters", "500 MB"
MAX_SMALL_FACTOR = 1.3
"""`torchward convert` may take this many times the wall time of importing h5py and torch."""
LARGE_ROUNDS = 3


def measure_conversion(
    workload: Workload, settings: Settings, folder: Path, progress: Progress
) -> WorkloadResult:
    """Measure the small file, and the large one if the settings ask for it."""
    measurements: list[Measurement] = []
    requirements = [
        Requirement(
            "convert", "imports", SMALL, 1 / MAX_SMALL_FACTOR,
            f"the command against importing h5py and torch (at most {MAX_SMALL_FACTOR} times as long)",
        )
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        progress("convert: writing a Keras file")
        small = work / "guide.h5"
        write_keras_file(small, GUIDE_SIZES)
        commands = {
            "convert": convert_command(small, work / "guide.pth"),
            "imports": imports_command(),
        }
        progress(f"convert {SMALL}: {settings.repeats} rounds")
        measurements += measure_commands(
            commands, LABELS, SMALL, settings.repeats, folder, threads=settings.threads
        )
        if settings.large:
            progress("convert: writing a Keras file of 500 MB")
            large = work / "large.h5"
            write_keras_file(large, LARGE_SIZES, optimizer=False)
            commands = {
                "convert": convert_command(large, work / "large.pth"),
                "copy": ["cp", str(large), str(work / "copy.h5")],
            }
            progress(f"convert {LARGE}: {LARGE_ROUNDS} rounds")
            measurements += measure_commands(
                commands, LABELS, LARGE, LARGE_ROUNDS, folder, threads=settings.threads
            )
            requirements.append(
                Requirement(
                    "convert", "copy", LARGE, 0.5, "500 MB against cp (at least half its speed)"
                )
            )
    return replace(result_of(workload, measurements), requirements=tuple(requirements))


LABELS = {
    "convert": ("torch", "torchward convert"),
    "imports": ("other", 'python -c "import h5py, torch"'),
    "copy": ("other", "cp of the same file"),
}
