from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import pytest

from experience.environments.royal_ur import workers
from experience.environments.royal_ur.workers import count_workers, run_tasks


def test_the_option_goes_before_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYON_NUM_THREADS", "3")

    assert (count_workers(), count_workers(5)) == (3, 5)


@pytest.mark.parametrize("text", ["", "0"])
def test_all_cores_are_used_otherwise(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYON_NUM_THREADS", text)

    assert 1 <= count_workers() <= (os.cpu_count() or 1)


@pytest.mark.parametrize("text", ["many", "-1", "1.5"])
def test_a_wrong_variable_is_named(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYON_NUM_THREADS", text)

    with pytest.raises(ValueError, match=f"RAYON_NUM_THREADS='{text}'"):
        count_workers()


def test_no_worker_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one worker"):
        count_workers(0)


@pytest.mark.slow
def test_as_many_processes_start_as_there_are_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    started = []

    class Watched(ProcessPoolExecutor):
        def __init__(self, count: int, **settings: Any) -> None:
            started.append(count)
            super().__init__(count, **settings)

    monkeypatch.setattr(workers, "ProcessPoolExecutor", Watched)

    alone, together = (list(run_tasks(abs, [-3, 2], workers=count)) for count in (1, 2))

    assert alone == together == [3, 2]
    assert started == [2]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_the_order_of_the_tasks(workers: int) -> None:
    assert list(run_tasks(abs, [-3, 2, -1], workers=workers)) == [3, 2, 1]


@pytest.mark.slow
def test_an_error_of_another_process_reaches_the_caller() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        list(run_tasks(int, ["1", "x"], workers=2))
