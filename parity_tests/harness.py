"""Runs probes: in this process (pytest) or in a child process of its own (the command).

The child exists because TensorFlow writes to standard error at import, takes thread counts only before it first
computes, and would slow every other command down. It gets a clean environment (one thread, no oneDNN, no GPU), so
that the same seed gives the same numbers again.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType

import numpy as np

from parity_tests.cases import Case
from parity_tests.inputs import InputLog, find_recipe
from parity_tests.pairs import PAIRS, AgentPair, Config, find_pair, load_pairs
from parity_tests.probes import PROBES, find_probe
from parity_tests.report import ParityReport, ProbeResult, result_from_plain

DTYPES = ("float64", "float32")
"""In the order of the run: float64 shows whether the formulas are equal, float32 only how they round."""

DEFAULT_UPDATES = 100
"""Length of a trajectory unless asked for more."""

THREADS = 1

ENVIRONMENT: Mapping[str, str] = {
    "OMP_NUM_THREADS": str(THREADS),
    "TF_NUM_INTRAOP_THREADS": str(THREADS),
    "TF_NUM_INTEROP_THREADS": str(THREADS),
    # oneDNN may sum in another order from run to run and from machine to machine.
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "KERAS_BACKEND": "tensorflow",
    "CUDA_VISIBLE_DEVICES": "-1",
}
"""Set before the frameworks are imported."""


class MissingFrameworkError(RuntimeError):
    """A framework is not installed; the message says what to type."""


class WorkerError(RuntimeError):
    """The child process died.

    Args:
        message: one line.
        details: what it wrote to standard error.
    """

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details


@dataclass(frozen=True, slots=True)
class RunRequest:
    """Which probes to run.

    Attributes:
        pairs: names; empty: all.
        probes: names; empty: all.
        dtypes: of `DTYPES`; empty: both.
        configs: names; empty: all of each pair.
        seed: of weights and inputs.
        updates: length of a trajectory.
        pairs_from: "my_module:PAIRS" in place of our pairs.
    """

    pairs: tuple[str, ...] = ()
    probes: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()
    configs: tuple[str, ...] = ()
    seed: int = 0
    updates: int = DEFAULT_UPDATES
    pairs_from: str | None = None

    def registered_pairs(self) -> Sequence[AgentPair]:
        """Return all pairs that names are looked up in."""
        return load_pairs(self.pairs_from) if self.pairs_from else PAIRS

    def runs(self) -> Iterator[tuple[AgentPair, Config, str, str]]:
        """Yield pair, configuration, probe and dtype of every run, float64 first.

        Raises:
            ValueError: A name is not known; the message has the nearest ones.
        """
        known = self.registered_pairs()
        pairs = [find_pair(name, known) for name in self.pairs] or list(known)
        probes = [find_probe(name).name for name in self.probes] or list(PROBES)
        for dtype in self.dtypes:
            if dtype not in DTYPES:
                message = f"no dtype {dtype!r}; there are: {', '.join(DTYPES)}"
                raise ValueError(message)
        for dtype in [each for each in DTYPES if not self.dtypes or each in self.dtypes]:
            for pair in pairs:
                for config in [pair.find_config(name) for name in self.configs] or pair.configs:
                    for probe in probes:
                        yield pair, config, probe, dtype


def set_environment() -> None:
    """Make this process the one that `ENVIRONMENT` describes; before a framework is imported."""
    os.environ.update(ENVIRONMENT)


def frameworks() -> tuple[ModuleType, ModuleType]:
    """Return the legacy and the torch module of `parity_tests.frameworks`.

    Raises:
        MissingFrameworkError: One of them is not installed.
    """
    return _framework("tensorflow"), _framework("torch")


def run_probe(
    pair: AgentPair,
    config: Config,
    probe: str,
    dtype: str,
    *,
    seed: int = 0,
    updates: int = DEFAULT_UPDATES,
    pairs_from: str | None = None,
    modules: tuple[ModuleType, ModuleType] | None = None,
) -> ProbeResult:
    """Run one probe in this process and return what it found; what an agent raises is part of the result.

    Args:
        pair: of agents.
        config: how both are built.
        probe: name.
        dtype: "float32" or "float64".
        seed: of weights and inputs.
        updates: length of a trajectory.
        pairs_from: kept in the result, to repeat it.
        modules: legacy and torch side; None: TensorFlow and torch.
    """
    common = {
        "pair": pair.name,
        "config": config.name,
        "default_config": config == pair.configs[0],
        "probe": probe,
        "dtype": dtype,
        "seed": seed,
        "updates": updates,
        "recipe": find_recipe(pair.recipe)[0],
        "pairs_from": pairs_from,
    }
    if probe in pair.without:
        return ProbeResult(**common, skipped=pair.without[probe])  # type: ignore[arg-type]  # from one dict
    legacy, torch = modules or frameworks()
    inputs = InputLog(pair.recipe, config.arguments, dtype=dtype, seed=seed)
    start = time.perf_counter()
    found, error, details = [], None, ""
    with tempfile.TemporaryDirectory(prefix="torchward-parity-") as folder:
        case = Case(pair, config, dtype, seed, updates, Path(folder), legacy, torch, inputs)
        try:
            legacy.make_deterministic(seed, threads=THREADS)
            torch.make_deterministic(seed, threads=THREADS)
            found = find_probe(probe).run(case)
        except Exception as raised:  # an agent that fails is a finding like any other
            error = f"{type(raised).__name__}: {_first_line(raised)}"
            details = traceback.format_exc()
    return ProbeResult(
        **common,  # type: ignore[arg-type]  # from one dict
        inputs_sha256=inputs.sha256,
        comparisons=tuple(found),
        error=error,
        details=details,
        seconds=time.perf_counter() - start,
    )


def run_in_process(request: RunRequest) -> Iterator[ProbeResult]:
    """Yield the results of a request, computed in this process."""
    for pair, config, probe, dtype in request.runs():
        yield run_probe(
            pair,
            config,
            probe,
            dtype,
            seed=request.seed,
            updates=request.updates,
            pairs_from=request.pairs_from,
        )


def run_in_child(
    request: RunRequest,
    *,
    on_result: Callable[[ProbeResult], None] = lambda result: None,
    debug: bool = False,
) -> ParityReport:
    """Return the report of a request, computed by `python -m parity_tests.worker`.

    Args:
        request: what to run.
        on_result: told every result as it comes in.
        debug: let the child's standard error through.

    Raises:
        ValueError: The request names something that does not exist; found out here, before a child starts.
        MissingFrameworkError: A framework is not installed.
        WorkerError: The child died.
    """
    list(request.runs())
    for name in ("tensorflow", "torch"):
        _require(name)
    results: list[ProbeResult] = []
    environment: Mapping[str, str] = {}
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        command = [sys.executable, "-m", "parity_tests.worker"]
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if debug else log,
            text=True,
            encoding="utf-8",
            env=_child_environment(),
        ) as child:
            try:
                for message in _talk(child, request):
                    if "result" in message:
                        results.append(result_from_plain(message["result"]))
                        on_result(results[-1])
                    else:
                        environment = message["environment"]
            finally:
                if child.poll() is None and sys.exc_info()[0] is not None:
                    child.kill()
        log.seek(0)
        if child.returncode != 0:
            text = f"the process that runs the probes ended with exit status {child.returncode}"
            raise WorkerError(text, log.read())
    return ParityReport(tuple(results), environment)


def describe_environment() -> dict[str, str]:
    """Return machine, versions and threads of this process, which has imported both frameworks."""
    versions: dict[str, str] = {}
    for module in frameworks():
        versions |= module.versions()
    return {
        "machine": f"{platform.system()} {platform.machine()}, cpu only",
        "python": platform.python_version(),
        "numpy": np.__version__,
        **versions,
        "threads": str(THREADS),
    }


def _talk(child: subprocess.Popen[str], request: RunRequest) -> Iterator[dict[str, dict[str, str]]]:
    """Send the request, yield the child's answers."""
    if child.stdin is None or child.stdout is None:
        message = "the child process has no pipes"
        raise WorkerError(message)
    # A child that died early is found by its exit status; a broken pipe or a cut line says nothing more.
    with contextlib.suppress(BrokenPipeError):
        child.stdin.write(json.dumps(asdict(request)) + "\n")
        child.stdin.close()
    for line in child.stdout:
        if not line.endswith("\n"):
            return
        yield json.loads(line)


def _child_environment() -> dict[str, str]:
    """Return this process's environment with ours laid over it; the child finds the same packages as we did."""
    here = str(Path(__file__).resolve().parent.parent)
    search = [here, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, **ENVIRONMENT, "PYTHONPATH": os.pathsep.join(search)}


def _framework(name: str) -> ModuleType:
    _require(name)
    return importlib.import_module(f"parity_tests.frameworks.{name}")


def _require(name: str) -> None:
    if importlib.util.find_spec(name) is not None:
        return
    extra = importlib.import_module(f"parity_tests.frameworks.{name}").EXTRA
    message = f"parity needs {name}, which is not installed: pip install '{extra}'"
    raise MissingFrameworkError(message)


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else "no message"
