"""Runs workloads: opens processes, takes turns, collects what was measured. Frameworks run only in the children."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from benchmarks.measure import interleave
from benchmarks.processes import MissingPackageError, Worker, WorkerError, clean_environment
from benchmarks.results import Measurement, WorkloadResult
from benchmarks.workloads import VARIANTS, Variant, Workload

Progress = Callable[[str], None]
"""Told what is being done, one short line at a time."""

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
        agents: "module:Class" of the agent by framework.
        pair: name of the agent pair, shown.
        command: another program in place of `benchmarks.worker` (tests).
    """

    repeats: int = 7
    threads: int = 1
    turn_s: float = 1.0
    shared: bool = False
    full_training: bool = False
    large: bool = False
    agents: Mapping[str, str] = field(
        default_factory=lambda: {
            "legacy": "legacy_tf.dqn:DQNAgent",
            "torch": "torch_impl.dqn:DQNAgent",
        }
    )
    pair: str = "dqn"
    command: tuple[str, ...] | None = None

    def options(self, variant: Variant) -> dict[str, object]:
        """Return the constructor arguments of the variant's subject."""
        options: dict[str, object] = {**variant.options, "threads": self.threads}
        if variant.agent:
            options["agent"] = self.agents[variant.framework]
        return options


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

    def start(self, name: str, extra: Mapping[str, str] | None = None) -> Worker:
        """Return a new process; `name` is that of its log. The caller stops it."""
        environment = clean_environment(self._settings.threads, extra)
        return Worker(environment, self._folder / f"{name}.log", command=self._settings.command)

    def of(self, variant: Variant) -> Worker:
        """Return the process that measures this variant in the timed workloads."""
        name = process_name(variant, self._settings)
        if name not in self._workers:
            self._workers[name] = self.start(name)
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
            worker = self.of(variant)
            if worker not in started:
                worker.send(
                    do="load", subject=variant.subject, options=self._settings.options(variant)
                )
                started.append(worker)
        for worker in started:
            try:
                worker.receive()
            except WorkerError:
                pass  # opening the variant fails for the same reason and says so


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
    measure = {
        "timed": _measure_timed,
        "startup": _measure_startup,
        "memory": _measure_memory,
        "size": _measure_sizes,
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
    processes.load(variants)
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
    problems: dict[str, str] = {}

    def open_one(variant: Variant) -> None:
        try:
            answer = processes.of(variant).ask(
                do="open",
                key=variant.name,
                subject=variant.subject,
                options=settings.options(variant),
                task="training-full" if full else task,
                target_s=settings.turn_s,
                operations=FULL_TRAINING_STEPS if full else None,
            )
            opened[variant.name] = {"operations a round": answer["operations"], **answer["details"]}
        except WorkerError as error:
            problems[variant.name] = _problem(error)

    progress(f"{workload.name} {case}: warming up")
    _open_all(variants, open_one, settings)

    def turn(variant: Variant) -> float:
        if variant.name in problems:
            return float("nan")
        try:
            answer = processes.of(variant).ask(do="turn", key=variant.name)
        except WorkerError as error:
            problems[variant.name] = _problem(error)
            return float("nan")
        seconds, operations = float(answer["seconds"]), int(answer["operations"])
        return operations / seconds if workload.better == "higher" else seconds / operations

    progress(f"{workload.name} {case}: {settings.repeats} rounds")
    subjects = {v.name: partial(turn, v) for v in variants if v.name in opened}
    values = interleave(subjects, settings.repeats)
    for name in opened:
        if name not in problems:
            processes.of(VARIANTS[name]).ask(do="close", key=name)
    return [
        measurement_of(v, case, values.get(v.name, ()), opened.get(v.name), problems.get(v.name))
        for v in variants
    ]


def _open_all(
    variants: Sequence[Variant], open_one: Callable[[Variant], None], settings: Settings
) -> None:
    """Open the variants one after the other; in a quick run the processes do so at the same time.

    Then the calibration is rougher: rounds are shorter or longer than asked for, what is measured stays the same.
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
    return (variant.process or variant.framework) if settings.shared else variant.name


def _measure_startup(
    workload: Workload, settings: Settings, processes: Processes, progress: Progress
) -> list[Measurement]:
    """A new process for every value. The compiled style is measured with an empty cache and with a filled one."""
    cold, warm = "first time", "with a filled compile cache"
    with ExitStack() as stack:
        filled = stack.enter_context(tempfile.TemporaryDirectory())
        subjects: dict[tuple[str, str], Variant] = {}
        for name in workload.variants:
            subjects[name, cold] = VARIANTS[name]
            if VARIANTS[name].options.get("compiled"):
                subjects[name, warm] = VARIANTS[name]
        problems: dict[tuple[str, str], str] = {}

        def start(key: tuple[str, str]) -> float:
            if key in problems:
                return float("nan")
            progress(f"{workload.name}: {subjects[key].label}, {key[1]}")
            try:
                if key[1] == warm:
                    return _first_step(subjects[key], settings, processes, filled)
                with tempfile.TemporaryDirectory() as empty:
                    return _first_step(subjects[key], settings, processes, empty)
            except WorkerError as error:
                problems[key] = _problem(error)
                return float("nan")

        for key in subjects:
            if key[1] == warm:
                start(key)  # fills the cache, not counted
        rounds = max(1, settings.repeats // 2)
        calls = {key: partial(start, key) for key in subjects}
        values = interleave(calls, rounds)
    measurements = []
    for key, variant in subjects.items():
        measured = measurement_of(variant, "", values[key], None, problems.get(key))
        if key[1] == warm:
            measured = Measurement(
                variant=f"{variant.name}-cached",
                framework=variant.framework,
                label=f"{variant.label}, {warm}",
                case="",
                values=measured.values,
                problem=measured.problem,
            )
        measurements.append(measured)
    return measurements


def _first_step(variant: Variant, settings: Settings, processes: Processes, cache: str) -> float:
    """Return the seconds from starting Python to the end of the first training step."""
    start = time.perf_counter()
    with processes.start("startup", {"TORCHINDUCTOR_CACHE_DIR": cache}) as worker:
        _open_once(worker, variant, settings, "first-step", operations=1)
        worker.ask(do="turn", key=variant.name)
        return time.perf_counter() - start


def _measure_memory(
    workload: Workload, settings: Settings, processes: Processes, progress: Progress
) -> list[Measurement]:
    rounds = max(1, settings.repeats // 3)
    problems: dict[str, str] = {}

    def train(variant: Variant) -> float:
        progress(f"{workload.name}: {variant.label}")
        try:
            with processes.start("memory") as worker:
                _open_once(worker, variant, settings, "training", operations=50)
                worker.ask(do="turn", key=variant.name)
                return float(worker.ask(do="memory")["bytes"])
        except WorkerError as error:
            problems[variant.name] = _problem(error)
            return float("nan")

    variants = [VARIANTS[name] for name in workload.variants]
    values = interleave({v.name: partial(train, v) for v in variants}, rounds)
    return [
        measurement_of(v, "", values[v.name], {"training steps": 50}, problems.get(v.name))
        for v in variants
    ]


def _measure_sizes(
    workload: Workload, settings: Settings, processes: Processes, progress: Progress
) -> list[Measurement]:
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
            measurements.append(measurement_of(variant, "", (), None, _problem(error)))
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
        target_s=0,
        operations=operations,
    )


def _problem(error: WorkerError) -> str:
    kind = "not measured" if isinstance(error, MissingPackageError) else "failed"
    return f"{kind}: {error}"
