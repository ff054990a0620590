"""The parent's side of measuring processes: a clean environment, one conversation in JSON lines, captured noise.

The child is `benchmarks.worker`. Its standard output carries only answers; everything that frameworks print goes to
a log file, which is shown when something fails.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.settings import Settings
from benchmarks.variants import Variant

ANSWER_TIMEOUT_S = 900.0
"""One answer of a worker: the slowest is the first compilation on a busy machine, about a minute."""
CLOSE_TIMEOUT_S = 10.0
LAST_WORDS_TIMEOUT_S = 10.0

KEPT_VARIABLES = (
    "PATH", "HOME", "LANG", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT", "USERPROFILE", "LOCALAPPDATA",
    "LD_LIBRARY_PATH", "CC", "CXX", "TORCHINDUCTOR_CACHE_DIR",
)  # fmt: skip
"""What a measuring process inherits: enough to find programs, libraries, the compiler and its cache."""


LEFT_OUT = "left out"
"""How the reason begins of a variant that means nothing for the pair."""


class WorkerError(RuntimeError):
    """A measuring process could not do what was asked; the message is one line."""


class MissingPackageError(WorkerError):
    """The variant needs a package that is not installed."""


class LeftOutError(WorkerError):
    """The variant or the task means nothing for the pair that is measured."""


def clean_environment(threads: int, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the variables of a measuring process: threads fixed, no GPU, frameworks quiet.

    Framework flags that change speed are left at their defaults (oneDNN stays on in TensorFlow), since that is
    what users have.

    Args:
        threads: of every pool: OpenMP, MKL, TensorFlow within and between operations.
        extra: set last.
    """
    environment = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        environment[name] = str(threads)
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        environment[name] = str(threads)
    environment["TF_CPP_MIN_LOG_LEVEL"] = "3"
    environment["CUDA_VISIBLE_DEVICES"] = ""
    environment["PYTHONHASHSEED"] = "0"
    # With -P this is the only place before the installed packages: a folder named `benchmarks` where the user
    # happens to stand does not hide ours.
    environment["PYTHONPATH"] = str(Path(__file__).resolve().parent.parent)
    return environment | dict(extra or {})


def worker_command(python: str | None = None) -> list[str]:
    """Return the command that starts a measuring process, under another Python than this one if it is named."""
    return [python or sys.executable, "-P", "-m", "benchmarks.worker"]


class Worker:
    """One measuring process and the conversation with it.

    Args:
        environment: all of its variables, see `clean_environment`.
        log: receives what the process prints; its end is quoted when the process dies.
        command: another program that speaks the same lines.

    Raises:
        WorkerError: The program cannot be started.
    """

    def __init__(
        self, environment: Mapping[str, str], log: Path, *, command: Sequence[str] | None = None
    ) -> None:
        self.log = log
        self.started = time.perf_counter()
        program = list(command or worker_command())
        try:
            with log.open("ab") as noise:
                self._process = subprocess.Popen(
                    program,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=noise,
                    env=dict(environment),
                    text=True,
                    encoding="utf-8",
                )
        except OSError as error:
            message = f"{program[0]}: {error.strerror}"
            raise WorkerError(message) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def send(self, **request: object) -> None:
        """Hand over one request without waiting for the answer."""
        stdin = self._process.stdin
        try:
            if stdin is None:
                raise BrokenPipeError
            stdin.write(json.dumps(request) + "\n")
            stdin.flush()
        except (BrokenPipeError, OSError) as error:
            raise WorkerError(self._last_words()) from error

    def receive(self, timeout_s: float = ANSWER_TIMEOUT_S) -> dict[str, Any]:
        """Return the next answer.

        Raises:
            MissingPackageError: The worker lacks a package.
            LeftOutError: What was asked means nothing for this pair.
            WorkerError: It failed, died or did not answer in time (then it is killed).
        """
        late = threading.Event()

        def give_up() -> None:
            late.set()
            self._process.kill()

        watchdog = threading.Timer(timeout_s, give_up)
        watchdog.start()
        try:
            line = self._process.stdout.readline() if self._process.stdout is not None else ""
        finally:
            watchdog.cancel()
        if late.is_set():
            message = f"no answer within {timeout_s:.0f} s"
            raise WorkerError(message)
        if not line:
            raise WorkerError(self._last_words())
        # Any: what the two sides agree on is in benchmarks.worker, one form for each request.
        answer: dict[str, Any] = json.loads(line)
        if "missing" in answer:
            raise MissingPackageError(answer["missing"])
        if "left_out" in answer:
            raise LeftOutError(answer["left_out"])
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer

    def ask(self, **request: object) -> dict[str, Any]:
        """Send one request and return its answer. Raises as `receive` does."""
        self.send(**request)
        return self.receive()

    def stop(self) -> None:
        """End the process: politely first, then not."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            with contextlib.suppress(OSError):  # it is gone already
                self._process.stdin.close()
        try:
            self._process.wait(CLOSE_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _last_words(self) -> str:
        try:
            # Its output is closed a moment before it is gone.
            code: int | None = self._process.wait(LAST_WORDS_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            code = None
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        reason = lines[-1].strip() if lines else "it printed nothing"
        state = (
            "the process closed its output" if code is None else f"the process ended with {code}"
        )
        return f"{state}: {reason}"


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
