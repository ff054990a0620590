from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from parity_tests import harness
from parity_tests.harness import (
    MissingFrameworkError,
    RunRequest,
    WorkerError,
    run_in_child,
    run_probe,
)
from parity_tests.pairs import AgentPair
from parity_tests.worker import read_request


def test_float64_runs_before_float32() -> None:
    dtypes = [dtype for *_, dtype in RunRequest(dtypes=("float32", "float64")).runs()]
    assert dtypes == sorted(dtypes, reverse=True)
    assert set(dtypes) == {"float64", "float32"}


def test_names_choose_what_runs() -> None:
    request = RunRequest(("dqn",), ("loss", "forward"), ("float64",), ("double",))
    runs = [(pair.name, config.name, probe, dtype) for pair, config, probe, dtype in request.runs()]
    assert runs == [("dqn", "double", "loss", "float64"), ("dqn", "double", "forward", "float64")]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"pairs": ("dqm",)}, "nearest: dqn"),
        ({"probes": ("los",)}, "nearest: loss"),
        ({"dtypes": ("float16",)}, "no dtype 'float16'; there are: float64, float32"),
        ({"configs": ("plane",)}, "nearest: plain"),
        ({"pairs_from": "nonsense"}, "write module:NAME"),
    ],
    ids=["pair", "probe", "dtype", "configuration", "module"],
)
def test_an_unknown_name_is_refused_before_a_process_starts(
    fields: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harness.subprocess, "Popen", lambda *_, **__: pytest.fail("started"))
    with pytest.raises(ValueError, match=message):
        run_in_child(RunRequest(**fields))


def test_a_request_survives_the_way_to_the_worker() -> None:
    request = RunRequest(("dqn",), ("loss",), seed=3, updates=7, pairs_from="mine:PAIRS")
    from dataclasses import asdict

    assert read_request(json.dumps(asdict(request))) == request


def test_the_result_names_inputs_and_configuration(
    linear_pair: AgentPair, linear_agent: type, side: Callable[[type], SimpleNamespace]
) -> None:
    modules: Any = (side(linear_agent), side(linear_agent))
    first, second = (
        run_probe(linear_pair, config, "loss", "float64", modules=modules)
        for config in linear_pair.configs
    )
    assert (first.recipe, len(first.inputs_sha256)) == ("draw_transitions", 64)
    assert (first.default_config, second.default_config) == (True, False)
    assert second.title == "linear / fast / loss / float64 / seed 0"


def test_a_missing_framework_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingFrameworkError, match=r"needs tensorflow.*'torchward\[legacy\]'"):
        run_in_child(RunRequest(probes=("loss",)))


def test_a_worker_that_dies_is_an_error_with_what_it_wrote(monkeypatch: pytest.MonkeyPatch) -> None:
    real = subprocess.Popen
    script = "import sys; sys.stderr.write('out of memory'); sys.exit(9)"

    def start(command: list[str], **options: Any) -> subprocess.Popen[str]:
        del command
        return real([sys.executable, "-c", script], **options)

    monkeypatch.setattr(harness.subprocess, "Popen", start)
    monkeypatch.setattr(harness, "_require", lambda name: None)
    with pytest.raises(WorkerError, match="exit status 9") as raised:
        run_in_child(RunRequest(probes=("loss",)))
    assert raised.value.details == "out of memory"


LIGHT = ("cli", "harness", "pairs", "probes", "report", "worker", "inputs", "compare")


def test_importing_the_harness_imports_no_framework() -> None:
    heavy = "{'torch', 'tensorflow', 'keras', 'rich.table'} & set(sys.modules)"
    checks = [f"import parity_tests.{module}; found |= {{'{module}': {heavy}}}" for module in LIGHT]
    command = "; ".join(
        ("import sys; found = {}", *checks, "sys.exit(str(found) if any(found.values()) else 0)")
    )
    done = subprocess.run(
        [sys.executable, "-c", command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_run_without_the_tests_marked_tf_cannot_import_tensorflow(
    request: pytest.FixtureRequest,
) -> None:
    if "not tf" not in request.config.option.markexpr:
        pytest.skip("this run has the tests marked tf")
    assert importlib.util.find_spec("tensorflow") is None
    with pytest.raises(ModuleNotFoundError, match="import of tensorflow halted"):
        __import__("tensorflow")


@pytest.mark.tf
@pytest.mark.slow
def test_the_child_process_finds_the_guide_network_in_parity(tmp_path: Path) -> None:
    told: list[str] = []
    request = RunRequest(("dqn",), ("forward", "save_load"), ("float64",), ("odd-sizes",))
    report = run_in_child(request, on_result=lambda result: told.append(result.probe))
    assert report.in_parity
    assert told == ["forward", "save_load"]
    assert {"machine", "tensorflow", "keras", "torch", "threads"} <= set(report.environment)
