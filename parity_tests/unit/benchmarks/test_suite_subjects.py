from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.processes import Processes
from benchmarks.run import run_workload
from benchmarks.settings import Settings
from benchmarks.subjects import MissingExtraError, NotApplicableError, Prepared
from benchmarks.subjects.d3rlpy_sac import D3rlpySac
from benchmarks.subjects.suite_agent import SuiteAgent
from benchmarks.variants import D3RLPY_PYTHON
from benchmarks.workloads import WORKLOADS, choose

pytest.importorskip("gymnasium")


def settings(**changes: object) -> Settings:
    values = {"repeats": 1, "threads": 1, "turn_s": 0.01, "shared": True, "full_training": False}
    return Settings(**{**values, "large": False, **changes})


@pytest.mark.parametrize("task", ["sac-updates", "sac-act", "dqn-act"])
def test_the_suites_agents_do_the_task(task: str) -> None:
    prepared = SuiteAgent(side="torch", threads=1).prepare(task)

    assert isinstance(prepared, Prepared)
    assert "first call" in prepared.details
    prepared.operation(prepared.multiple)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["dqn-training", "dqn-bursts", "sac-training"])
def test_the_suites_agents_do_whole_training_loops(task: str) -> None:
    SuiteAgent(side="torch", threads=1).prepare(task)


@pytest.mark.parametrize("workload", ["suite-updates", "suite-training", "suite-acting"])
def test_every_task_of_a_workload_is_known_to_the_suites_agent(workload: str) -> None:
    tasks = set(WORKLOADS[workload].cases.values())

    assert tasks <= {
        "sac-updates",
        "sac-training",
        "sac-act",
        "dqn-training",
        "dqn-bursts",
        "dqn-act",
    }


def test_another_task_is_refused() -> None:
    with pytest.raises(ValueError, match="not measured in 'fly'; in sac-updates"):
        SuiteAgent(side="torch", threads=1).prepare("fly")


def test_missing_d3rlpy_says_which_variable_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "d3rlpy", None)

    with pytest.raises(MissingExtraError, match=D3RLPY_PYTHON):
        D3rlpySac(threads=1)


def test_d3rlpy_is_measured_in_updates_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "d3rlpy", sys)

    with pytest.raises(NotApplicableError, match="no sac-act"):
        D3rlpySac(threads=1).prepare("sac-act")


@pytest.mark.slow
def test_a_python_that_is_not_there_is_said_beside_the_variant(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(D3RLPY_PYTHON, str(tmp_path / "python"))
    others = ("suite-legacy", "suite-eager", "suite-compiled", "suite-sb3")
    [workload] = choose(("suite-updates",), quick=True, without=others)

    with Processes(settings(), tmp_path) as processes:
        result = run_workload(workload, settings(), processes, tmp_path, lambda _: None)

    [measurement] = result.measurements
    assert measurement.problem == f"failed: {tmp_path}/python: No such file or directory"
