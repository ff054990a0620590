"""Runs workloads: opens processes, takes turns, collects what was measured. Frameworks run only in the children."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from benchmarks.bundle_reading import measure_reading
from benchmarks.conversion import measure_conversion
from benchmarks.fresh import measure_memory, measure_sizes, measure_startup
from benchmarks.measure import interleave
from benchmarks.processes import LEFT_OUT, Processes, WorkerError, problem_of, process_name
from benchmarks.results import OPERATIONS, Measurement, WorkloadResult
from benchmarks.settings import FULL_TRAINING_STEPS, Progress, Settings
from benchmarks.variants import VARIANTS, Variant, measurement_of
from benchmarks.workloads import Workload


def run_workload(
    workload: Workload, settings: Settings, processes: Processes, folder: Path, progress: Progress
) -> WorkloadResult:
    """Measure one workload of any kind but "curves".

    Args:
        workload: which.
        settings: how.
        processes: where the timed variants live.
        folder: logs and files of the run.
        progress: told about every step.
    """
    if workload.kind in _COMMANDS:
        return _COMMANDS[workload.kind](workload, settings, folder, progress)
    return workload.result(_TURNS[workload.kind](workload, settings, processes, progress))


def _measure_timed(
    workload: Workload, settings: Settings, processes: Processes, progress: Progress
) -> list[Measurement]:
    variants = [VARIANTS[name] for name in workload.variants]
    progress(f"{workload.name}: starting processes")
    processes.load([variant for variant in variants if settings.left_out(variant) is None])
    measurements: list[Measurement] = []
    for case, task in workload.cases.items():
        measurements += _measure_case(workload, case, task, settings, processes, progress)
    return measurements


def _measure_case(
    workload: Workload,
    case: str,
    task: str,
    settings: Settings,
    processes: Processes,
    progress: Progress,
) -> list[Measurement]:
    """Open every variant, let them take turns, close them."""
    variants = [VARIANTS[name] for name in workload.variants]
    full = settings.full_training and task == "training"
    opened: dict[str, dict[str, str | float | int]] = {}
    reasons = {variant.name: settings.left_out(variant) for variant in variants}
    problems = {name: f"{LEFT_OUT}: {reason}" for name, reason in reasons.items() if reason}
    counts: dict[str, list[int]] = {}

    def open_one(variant: Variant) -> None:
        try:
            answer = processes.of(variant).ask(
                do="open",
                key=variant.name,
                subject=variant.subject,
                options=settings.options(variant),
                task="training-full" if full else task,
                turn_s=settings.turn_s,
                operations=FULL_TRAINING_STEPS if full else None,
            )
            opened[variant.name] = answer["details"]
        except WorkerError as error:
            problems[variant.name] = problem_of(error)

    progress(f"{workload.name} {case}: warming up")
    _open_all([v for v in variants if v.name not in problems], open_one, settings)

    def turn(variant: Variant) -> float:
        if variant.name in problems:
            return float("nan")
        try:
            answer = processes.of(variant).ask(do="turn", key=variant.name)
        except WorkerError as error:
            problems[variant.name] = problem_of(error)
            return float("nan")
        seconds, operations = float(answer["seconds"]), int(answer["operations"])
        counts.setdefault(variant.name, []).append(operations)
        return operations / seconds if workload.better == "higher" else seconds / operations

    progress(f"{workload.name} {case}: {settings.repeats} rounds")
    subjects = {v.name: partial(turn, v) for v in variants if v.name in opened}
    values = interleave(subjects, settings.repeats)
    for name in opened:
        if name not in problems:
            processes.of(VARIANTS[name]).ask(do="close", key=name)
    return [
        measurement_of(
            v,
            case,
            values.get(v.name, ()),
            {OPERATIONS: min(counts[v.name]), **opened[v.name]} if v.name in counts else {},
            problems.get(v.name),
        )
        for v in variants
    ]


def _open_all(
    variants: Sequence[Variant], open_one: Callable[[Variant], None], settings: Settings
) -> None:
    """Open the variants one after the other; in a quick run the processes do so at the same time.

    They disturb each other then, but nothing is timed yet.
    """
    if not settings.shared:
        for variant in variants:
            open_one(variant)
        return
    groups: dict[str, list[Variant]] = {}
    for variant in variants:
        groups.setdefault(process_name(variant, settings), []).append(variant)

    def open_group(group: list[Variant]) -> None:
        for variant in group:
            open_one(variant)

    with ThreadPoolExecutor(len(groups)) as executor:
        list(executor.map(open_group, groups.values()))


_COMMANDS = {"convert": measure_conversion, "reading": measure_reading}
_TURNS = {
    "timed": _measure_timed,
    "startup": measure_startup,
    "memory": measure_memory,
    "size": measure_sizes,
}
"""What measures a kind of workload: whole commands, or the processes of the run."""
