"""The "convert" workload: `torchward convert` as a whole command, beside the imports it cannot do without.

On request also a 500 MB file beside `cp`, with peak memory: to a new file, as the conversion does, onto an existing one,
and to a new file that is then brought to the disk, as the conversion does.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from benchmarks.commands import convert_command, imports_command, measure_commands
from benchmarks.keras_file import GUIDE_SIZES, LARGE_SIZES, write_keras_file
from benchmarks.results import Measurement, Requirement, WorkloadResult
from benchmarks.settings import Progress, Settings
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
            commands, new_files = _beside_copies(large, work)
            progress(f"convert {LARGE}: {LARGE_ROUNDS} rounds")
            measurements += measure_commands(
                commands,
                LABELS,
                LARGE,
                LARGE_ROUNDS,
                folder,
                threads=settings.threads,
                new_files=new_files,
            )
            requirements += [
                Requirement(
                    "convert", name, LARGE, 0.5, f"500 MB, half the speed of {LABELS[name][1]}"
                )
                for name in COPIES
            ]
    return replace(workload.result(measurements), requirements=tuple(requirements))


LABELS = {
    "convert": ("torch", "torchward convert"),
    "imports": ("other", 'python -c "import h5py, torch"'),
    "copy": ("other", "cp to a new file"),
    "copy-over": ("other", "cp onto an existing file"),
    "copy-sync": ("other", "cp to a new file, then sync of it"),
}
COPIES = ("copy", "copy-over", "copy-sync")
"""A conversion writes a new file, has it on the disk and replaces an existing one with it."""


def _beside_copies(source: Path, folder: Path) -> tuple[dict[str, list[str]], dict[str, Path]]:
    """Return the conversion of a large file beside copies of it, and which files are to be new in each run."""
    new_files = {
        name: folder / f"{name}{suffix}"
        for name, suffix in (("convert", ".pth"), ("copy", ".h5"), ("copy-sync", ".h5"))
    }
    synced = str(new_files["copy-sync"])
    commands = {
        "convert": convert_command(source, new_files["convert"]),
        "copy": ["cp", str(source), str(new_files["copy"])],
        "copy-over": ["cp", str(source), str(folder / "copy-over.h5")],
        "copy-sync": ["sh", "-c", 'cp "$1" "$2" && sync "$2"', "sh", str(source), synced],
    }
    return commands, new_files
