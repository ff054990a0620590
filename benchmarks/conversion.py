"""The "convert" workload: `torchward convert` as a whole command, beside the imports it cannot do without.

On request also a 500 MB file beside `cp`, with peak memory.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks.commands import CommandRun, convert_command, imports_command, run_command
from benchmarks.keras_file import GUIDE_SIZES, LARGE_SIZES, write_keras_file
from benchmarks.measure import interleave
from benchmarks.processes import WorkerError, clean_environment
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
        measurements += _measure(commands, SMALL, settings, settings.repeats, folder, progress)
        if settings.large:
            progress("convert: writing a Keras file of 500 MB")
            large = work / "large.h5"
            write_keras_file(large, LARGE_SIZES, optimizer=False)
            commands = {
                "convert": convert_command(large, work / "large.pth"),
                "copy": ["cp", str(large), str(work / "copy.h5")],
            }
            measurements += _measure(commands, LARGE, settings, LARGE_ROUNDS, folder, progress)
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


def _measure(
    commands: Mapping[str, Sequence[str]],
    case: str,
    settings: Settings,
    rounds: int,
    folder: Path,
    progress: Progress,
) -> list[Measurement]:
    environment = clean_environment(settings.threads)
    peaks: dict[str, int] = {}
    problems: dict[str, str] = {}

    def run(name: str) -> float:
        if name in problems:
            return float("nan")
        try:
            found: CommandRun = run_command(commands[name], environment, folder / f"{name}.log")
        except (WorkerError, OSError) as error:
            problems[name] = f"failed: {error}"
            return float("nan")
        peaks[name] = max(peaks.get(name, 0), found.peak_bytes or 0)
        return found.seconds

    progress(f"convert {case}: {rounds} rounds")
    for name in commands:
        run(name)  # reads the files once, so that no round pays for a cold disk
    calls = {name: partial(run, name) for name in commands}
    values = interleave(calls, rounds)
    return [
        Measurement(
            variant=name,
            framework=LABELS[name][0],
            label=LABELS[name][1],
            case=case,
            values=() if name in problems else tuple(values[name]),
            details={"peak memory": f"{peaks[name] / 1e6:.0f} MB"} if peaks.get(name) else {},
            problem=problems.get(name),
        )
        for name in commands
    ]
