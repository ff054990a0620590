"""Runs workloads: opens processes, takes turns, collects what was measured. Frameworks run only in the children."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.measure import interleave
from benchmarks.processes import (
    LeftOutError,
    MissingPackageError,
    Worker,
    WorkerError,
    clean_environment,
    worker_command,
)
from benchmarks.results import Measurement, WorkloadResult
from benchmarks.variants import VARIANTS, Variant
from benchmarks.workloads import GUIDE_PAIR, Workload, is_guides

Progress = Callable[[str], None]
"""Told what is being done, one short line at a time."""

OPERATIONS = "operations a round"
"""Name of the detail that says how many operations the shortest round had."""
LEFT_OUT = "left out"
"""How the reason begins of a variant that means nothing for the pair."""
FULL_TRAINING_STEPS = 2000
"""The guide's 100 episodes of 20 words."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a run measures.

    Attributes:
        repeats: rounds over all variants.
        turn_s: seconds one variant is measured for in one round.
        shared: variants of one framework share a process (quicker to start; memory and startup never do).
        full_training: measure the guide's 100 episodes in full instead of steps for `turn_s` seconds.
        pair: name of the agent pair.
        pairs: "module:NAME" of the user's own pairs, None: ours.
        command: another program in place of `benchmarks.worker` (tests).
    """

    repeats: int = 7
    threads: int = 1
    turn_s: float = 1.0
    shared: bool = False
    full_training: bool = False
    large: bool = False
    pair: str = GUIDE_PAIR
    pairs: str | None = None
    command: tuple[str, ...] | None = None

    def options(self, variant: Variant) -> dict[str, object]:
        """Return the constructor arguments of the variant's subject."""
        options: dict[str, object] = {**variant.options, "threads": self.threads}
        if variant.agent:
            options |= {"pair": self.pair, "pairs": self.pairs}
        return options

    def left_out(self, variant: Variant) -> str | None:
        """Return why the variant means nothing for this pair, as far as that is known without its agents."""
        if variant.agent or is_guides(self.pair, self.pairs):
            return None
        return f"it does the work of the guide's pair {GUIDE_PAIR!r} only"


def worker_command_of(settings: Settings) -> Sequence[str]:
    """Return the program that measures."""
    return settings.command or worker_command()


class Processes:
    """The measuring processes of a run, started when first needed, stopped together.

    A process that died is not started again: its variants carry the reason.
    """

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._settings = settings
        self._folder = folder
        self._workers: dict[str, Worker] = {}

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers.values():
            worker.stop()

    def start(
        self, name: str, extra: Mapping[str, str] | None = None, *, python: str | None = None
    ) -> Worker:
        """Return a new process; `name` is that of its log, `python` another interpreter. The caller stops it."""
        environment = clean_environment(self._settings.threads, extra)
        command = worker_command(python) if python else worker_command_of(self._settings)
        return Worker(environment, self._folder / f"{name}.log", command=command)

    def of(self, variant: Variant) -> Worker:
        """Return the process that measures this variant in the timed workloads."""
        name = process_name(variant, self._settings)
        if name not in self._workers:
            python = os.environ.get(variant.python) if variant.python else None
            self._workers[name] = self.start(name, python=python)
        return self._workers[name]

    def load(self, variants: Sequence[Variant]) -> None:
        """Start the processes of these variants and let all of them import at the same time (not timed)."""
        missing = [
            variant
            for variant in variants
            if process_name(variant, self._settings) not in self._workers
        ]
        started: list[Worker] = []
        for variant in missing:
            with contextlib.suppress(WorkerError):
                worker = self.of(variant)
                if worker not in started:
                    worker.send(
                        do="load", subject=variant.subject, options=self._settings.options(variant)
                    )
                    started.append(worker)
        # What fails here fails again when it is opened, and says so then.
        for worker in started:
            with contextlib.suppress(WorkerError):
                worker.receive()


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
    if workload.kind == "convert":
        from benchmarks.conversion import measure_conversion

        return measure_conversion(workload, settings, folder, progress)
    if workload.kind == "reading":
        from benchmarks.bundle_reading import measure_reading

        return measure_reading(workload, settings, folder, progress)
    if workload.kind == "timed":
        measurements = _measure_timed(workload, settings, processes, progress)
    else:
        from benchmarks import fresh

        measure = {
            "startup": fresh.measure_startup,
            "memory": fresh.measure_memory,
            "size": fresh.measure_sizes,
        }[workload.kind]
        measurements = measure(workload, settings, processes, progress)
    return result_of(workload, measurements)


def result_of(
    workload: Workload, measurements: Sequence[Measurement], notes: Sequence[str] = ()
) -> WorkloadResult:
    """Return the result of a workload from what was measured."""
    return WorkloadResult(
        name=workload.name,
        title=workload.title,
        what=workload.what,
        unit=workload.unit,
        better=workload.better,
        measurements=tuple(measurements),
        requirements=workload.requirements,
        notes=(*workload.notes, *notes),
    )


def measurement_of(
    variant: Variant,
    case: str,
    values: Sequence[float],
    details: Mapping[str, str | float | int] | None = None,
    problem: str | None = None,
) -> Measurement:
    """Return a measurement that carries the variant's name, framework and label."""
    return Measurement(
        variant=variant.name,
        framework=variant.framework,
        label=variant.label,
        case=case,
        values=() if problem else tuple(values),
        details=dict(details or {}),
        problem=problem,
    )


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


def process_name(variant: Variant, settings: Settings) -> str:
    """Return the name of the process that measures this variant in the timed workloads."""
    shared = settings.shared or variant.always_shared
    return (variant.process or variant.framework) if shared else variant.name


def problem_of(error: WorkerError) -> str:
    """Return the line that stands in place of values."""
    if isinstance(error, LeftOutError):
        return f"{LEFT_OUT}: {error}"
    kind = "not measured" if isinstance(error, MissingPackageError) else "failed"
    return f"{kind}: {error}"
