from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks.processes import Processes
from benchmarks.results import OPERATIONS, WorkloadResult
from benchmarks.run import run_workload
from benchmarks.settings import Settings
from benchmarks.workloads import GUIDE_PAIR, WORKLOADS

FAKE = Path(__file__).with_name("fake_worker.py")


def run(
    name: str,
    seconds: dict[str, object],
    folder: Path,
    *,
    shared: bool = True,
    pair: str = GUIDE_PAIR,
    pairs: str | None = None,
) -> WorkloadResult:
    command = (sys.executable, str(FAKE), json.dumps(seconds))
    settings = Settings(
        repeats=3, turn_s=0.0, shared=shared, command=command, pair=pair, pairs=pairs
    )
    with Processes(settings, folder) as processes:
        return run_workload(WORKLOADS[name], settings, processes, folder, lambda _: None)


def test_rates_are_operations_by_seconds(tmp_path: Path) -> None:
    result = run("updates", {"torch-eager": 0.002, "torch-compile": 0.0005}, tmp_path)

    eager, compiled = result.of("torch-eager", ""), result.of("torch-compile", "")
    assert eager is not None
    assert eager.values == pytest.approx((500, 500, 500))
    assert compiled is not None
    assert compiled.values == pytest.approx((2000, 2000, 2000))


def test_latencies_are_seconds_by_operations_in_every_case(tmp_path: Path) -> None:
    result = run("inference", {"torch-eager": 0.002}, tmp_path)

    assert result.cases() == ("batch 1", "batch 256")
    for case, task in WORKLOADS["inference"].cases.items():
        found = result.of("torch-eager", case)
        assert found is not None
        assert found.values == pytest.approx((0.002, 0.002, 0.002))
        assert found.details == {OPERATIONS: 10, "task": task}


def test_a_missing_package_leaves_the_other_variants_alone(tmp_path: Path) -> None:
    result = run("updates", {"sb3": "pip install it"}, tmp_path)

    missing, present = result.of("sb3", ""), result.of("handwritten", "")
    assert missing is not None
    assert missing.values == ()
    assert missing.problem == "not measured: pip install it"
    assert present is not None
    assert len(present.values) == 3


@pytest.mark.slow
@pytest.mark.parametrize("shared", [True, False], ids=["shared", "alone"])
@pytest.mark.parametrize("name", ["updates", "startup", "memory"])
def test_a_style_that_the_agent_has_not_is_left_out_with_its_reason(
    tmp_path: Path, name: str, shared: bool
) -> None:
    result = run(name, {"torch-compile": "not for it"}, tmp_path, shared=shared)

    left_out, present = result.of("torch-compile", ""), result.of("torch-eager", "")
    assert left_out is not None
    assert (left_out.values, left_out.problem) == ((), "left out: not for it")
    assert present is not None
    assert (len(present.values) > 0, present.problem) == (True, None)


@pytest.mark.parametrize(
    ("pair", "pairs"), [("other", None), (GUIDE_PAIR, "mine:PAIRS")], ids=["other", "namesake"]
)
def test_what_does_the_guides_work_is_not_put_beside_another_pair(
    tmp_path: Path, pair: str, pairs: str | None
) -> None:
    result = run("updates", {"sb3": "die"}, tmp_path, shared=False, pair=pair, pairs=pairs)

    for name in ("handwritten", "sb3"):
        found = result.of(name, "")
        assert found is not None
        assert found.problem == "left out: it does the work of the guide's pair 'dqn' only"
        assert not (tmp_path / f"{name}.log").exists()  # no process was started for it


def test_a_process_that_dies_is_reported_with_its_last_words(tmp_path: Path) -> None:
    result = run("updates", {"legacy-fit": "die"}, tmp_path, shared=False)

    dead, alive = result.of("legacy-fit", ""), result.of("legacy-batch", "")
    assert dead is not None
    assert dead.problem is not None
    assert "ended with 7: out of luck" in dead.problem
    assert alive is not None
    assert alive.problem is None


def test_start_up_compares_an_empty_with_a_filled_compile_cache(tmp_path: Path) -> None:
    result = run("startup", {}, tmp_path)

    names = [measurement.variant for measurement in result.measurements]
    assert names == [*WORKLOADS["startup"].variants, "torch-compile-cached"]
    assert all(value > 0 for found in result.measurements for value in found.values)


def test_memory_comes_from_processes_of_their_own(tmp_path: Path) -> None:
    result = run("memory", {"legacy-fit": "not there"}, tmp_path)

    assert result.measurements[0].problem == "not measured: not there"
    assert {found.values for found in result.measurements[1:]} == {(300_000_000.0,)}


def test_sizes_are_listed_by_format(tmp_path: Path) -> None:
    result = run("size", {}, tmp_path)

    assert [(m.framework, m.label, m.values) for m in result.measurements] == [
        ("legacy", ".one", (1000.0,)),
        ("legacy", ".two", (2000.0,)),
        ("torch", ".one", (1000.0,)),
        ("torch", ".two", (2000.0,)),
    ]
