"""Clocks, memory and the order of measuring. Numpy only; knows no framework and no workload."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

Operation = Callable[[int], None]
"""Does the measured thing `count` times and returns when the last result is there."""

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

MAX_OPERATIONS = 1_000_000
"""Upper end of the warm-up: nothing measured here is cheaper than a microsecond."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Median and the middle half of some values (quartiles by linear interpolation)."""

    median: float
    low: float
    high: float


def summarize(values: Sequence[float]) -> Spread:
    """Return median and quartiles.

    Raises:
        ValueError: `values` is empty or holds something that is not finite.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.size == 0 or not np.isfinite(array).all():
        message = f"needed at least one finite value, found {list(values)}"
        raise ValueError(message)
    low, median, high = np.percentile(array, [25, 50, 75])
    return Spread(float(median), float(low), float(high))


def time_operation(
    operation: Operation, count: int, *, at_least_s: float = 0.0, multiple: int = 1
) -> tuple[float, int]:
    """Run the operation for some time, garbage collection kept out.

    Args:
        operation: what is timed.
        count: operations of the first call; further calls take as many as fill the time.
        at_least_s: call again until this many seconds have passed; 0: one call.
        multiple: counts stay multiples of this.

    Returns:
        (seconds, operations) over all calls.
    """
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    done = 0
    try:
        start = time.perf_counter()
        while True:
            operation(count)
            done += count
            seconds = time.perf_counter() - start
            if seconds >= at_least_s:
                return seconds, done
            fitting = int(done / max(seconds, 1e-9) * (at_least_s - seconds)) // multiple * multiple
            count = min(max(fitting, count), MAX_OPERATIONS)
    finally:
        if was_enabled:
            gc.enable()


def warm_up(operation: Operation, target_s: float, *, multiple: int = 1) -> int:
    """Run the operation with rising counts until it takes a good part of `target_s`; return the last count.

    Args:
        operation: what is timed later.
        target_s: seconds one turn will last.
        multiple: the count is a multiple of this (updates that one compiled call takes together).
    """
    count = multiple
    while True:
        seconds, _ = time_operation(operation, count)
        if seconds >= target_s / 4 or count >= MAX_OPERATIONS:
            return count
        # At most fourfold: the first calls are slower than the later ones and would overshoot.
        factor = min(4.0, target_s / max(seconds, 1e-9))
        count = multiple * max(count // multiple + 1, int(count * factor) // multiple)


def interleave(subjects: Mapping[Key, Callable[[], Value]], rounds: int) -> dict[Key, list[Value]]:
    """Call every subject once a round, `rounds` times, and return the values by subject.

    The order is A B C, A B C, ...: what else the machine does hits all of them alike, and values at the same
    place belong together.
    """
    values: dict[Key, list[Value]] = {key: [] for key in subjects}
    for _ in range(rounds):
        for key, subject in subjects.items():
            values[key].append(subject())
    return values


def peak_memory() -> int:
    """Return the largest resident size of this process so far, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():
        # ru_maxrss survives exec: a child would start with the peak of the process that forked it (Linux,
        # fs/exec.c). VmHWM belongs to the program that runs now.
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource  # not on Windows, where nothing above exists either

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, others kilobytes
