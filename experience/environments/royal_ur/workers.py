"""How many processes work, and how they get their share: the same results whatever their number."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

THREADS_VARIABLE = "RAYON_NUM_THREADS"
"""The original's; 0 or nothing stands for all cores, as there."""
Task = TypeVar("Task")
Result = TypeVar("Result")


def count_workers(wanted: int | None = None) -> int:
    """Return the number of processes: the wanted one, else RAYON_NUM_THREADS, else the cores we may use.

    Raises:
        ValueError: The number or the variable is not a whole number of at least 1 (variable: 0).
    """
    if wanted is not None:
        if wanted < 1:
            msg = f"at least one worker is needed; got {wanted}"
            raise ValueError(msg)
        return wanted
    text = os.environ.get(THREADS_VARIABLE, "").strip()
    if text and not text.isdecimal():
        msg = f"{THREADS_VARIABLE}={text!r}: needed a whole number, 0 for all cores"
        raise ValueError(msg)
    return int(text or 0) or _count_cores()


def _count_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_tasks(
    function: Callable[[Task], Result], tasks: Iterable[Task], *, workers: int
) -> Iterator[Result]:
    """Yield the results in the order of the tasks, as they come; one worker is this process.

    Args:
        function: of a module, not nested: other processes import it.
        tasks: plain data, handed to one process each.
        workers: at least 1. Processes are spawned, not forked: a fork copies the locks of torch's threads.
    """
    if workers == 1:
        yield from map(function, tasks)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        try:
            yield from pool.map(function, tasks)
        finally:
            pool.shutdown(cancel_futures=True)
