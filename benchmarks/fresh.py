"""Workloads that need a new process for every value: start-up, memory; and the sizes of files."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from functools import partial

from benchmarks.measure import interleave
from benchmarks.processes import Processes, Worker, WorkerError, problem_of
from benchmarks.results import Measurement
from benchmarks.settings import Progress, Settings
from benchmarks.variants import VARIANTS, Variant, measurement_of
from benchmarks.workloads import Workload

MEMORY_STEPS = 50
"""Training steps before memory is read: enough for every buffer and graph to exist."""


def measure_startup(
    workload: Workload, settings: Settings, processes: Processes, progress: Progress
) -> list[Measurement]:
    """Return the seconds to the first step, a new process for every value.

    The compiled style is measured twice: with an empty compile cache and with a filled one.
    """
    starts = [Start(VARIANTS[name]) for name in workload.variants]
    with tempfile.TemporaryDirectory() as filled:
        starts += [Start(s.variant, filled) for s in starts if s.variant.options.get("compiled")]
        problems: dict[Start, str] = {}

        def run(start: Start) -> float:
            if start in problems:
                return float("nan")
            progress(f"{workload.name}: {start.label}")
            try:
                return start.measure(settings, processes)
            except WorkerError as error:
                problems[start] = problem_of(error)
                return float("nan")

        for start in starts:
            if start.cache is not None:
                run(start)  # fills the cache, not counted
        calls = {start: partial(run, start) for start in starts}
        values = interleave(calls, max(1, settings.repeats // 2))
    return [
        Measurement(
            variant=start.name,
            framework=start.variant.framework,
            label=start.label,
            case="",
            values=() if start in problems else tuple(values[start]),
            problem=problems.get(start),
        )
        for start in starts
    ]


@dataclass(frozen=True, eq=False, slots=True)
class Start:
    """One way to start: a variant, with a compile cache that stays (a folder) or a new one each time (None)."""

    variant: Variant
    cache: str | None = None

    @property
    def name(self) -> str:
        """Key of the measurement."""
        return self.variant.name + ("" if self.cache is None else "-cached")

    @property
    def label(self) -> str:
        """As shown."""
        return self.variant.label + ("" if self.cache is None else ", with a filled compile cache")

    def measure(self, settings: Settings, processes: Processes) -> float:
        """Return the seconds of one start. Raises WorkerError."""
        if self.cache is not None:
            return _first_step(self.variant, settings, processes, self.cache)
        with tempfile.TemporaryDirectory() as empty:
            return _first_step(self.variant, settings, processes, empty)


def _first_step(variant: Variant, settings: Settings, processes: Processes, cache: str) -> float:
    """Return the seconds from starting Python to the end of the first training step."""
    start = time.perf_counter()
    with processes.start("startup", {"TORCHINDUCTOR_CACHE_DIR": cache}) as worker:
        _open_once(worker, variant, settings, "first-step", operations=1)
        worker.ask(do="turn", key=variant.name)
        return time.perf_counter() - start


def measure_memory(
    workload: Workload, settings: Settings, processes: Processes, progress: Progress
) -> list[Measurement]:
    """Return the largest resident size of a process that trains, in bytes."""
    rounds = max(1, settings.repeats // 3)
    problems: dict[str, str] = {}

    def train(variant: Variant) -> float:
        progress(f"{workload.name}: {variant.label}")
        try:
            with processes.start("memory") as worker:
                _open_once(worker, variant, settings, "memory", operations=MEMORY_STEPS)
                worker.ask(do="turn", key=variant.name)
                return float(worker.ask(do="memory")["bytes"])
        except WorkerError as error:
            problems[variant.name] = problem_of(error)
            return float("nan")

    variants = [VARIANTS[name] for name in workload.variants]
    values = interleave({v.name: partial(train, v) for v in variants}, rounds)
    return [
        measurement_of(
            v, "", values[v.name], {"training steps": MEMORY_STEPS}, problems.get(v.name)
        )
        for v in variants
    ]


def measure_sizes(
    workload: Workload, settings: Settings, processes: Processes, progress: Progress
) -> list[Measurement]:
    """Return the bytes of every format that a framework writes."""
    measurements: list[Measurement] = []
    for name in workload.variants:
        variant = VARIANTS[name]
        progress(f"{workload.name}: {variant.framework}")
        try:
            with tempfile.TemporaryDirectory() as folder:
                answer = processes.of(variant).ask(
                    do="sizes",
                    subject=variant.subject,
                    options=settings.options(variant),
                    folder=folder,
                )
        except WorkerError as error:
            measurements.append(measurement_of(variant, "", (), None, problem_of(error)))
            continue
        measurements += [
            Measurement(label, variant.framework, label, "", (float(size),))
            for label, size in answer["sizes"]
        ]
    return measurements


def _open_once(
    worker: Worker, variant: Variant, settings: Settings, task: str, *, operations: int
) -> None:
    worker.ask(
        do="open",
        key=variant.name,
        subject=variant.subject,
        options=settings.options(variant),
        task=task,
        turn_s=0.0,
        operations=operations,
    )
