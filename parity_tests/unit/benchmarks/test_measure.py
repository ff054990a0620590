from __future__ import annotations

import gc
from types import SimpleNamespace

import pytest

from benchmarks import measure
from benchmarks.measure import interleave, peak_memory, summarize, time_operation, warm_up


def test_middle_half_of_one_to_five_is_two_to_four() -> None:
    spread = summarize([5.0, 1.0, 4.0, 2.0, 3.0])

    assert (spread.low, spread.median, spread.high) == (2.0, 3.0, 4.0)


@pytest.mark.parametrize(
    "values", [[], [1.0, float("nan")], [float("inf")]], ids=["none", "nan", "infinite"]
)
def test_values_without_a_median_are_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        summarize(values)


def test_turns_are_taken_one_after_the_other() -> None:
    order: list[str] = []

    values = interleave(
        {name: lambda name=name: order.append(name) or len(order) for name in "ABC"}, 2
    )

    assert order == ["A", "B", "C", "A", "B", "C"]
    assert values == {"A": [1, 4], "B": [2, 5], "C": [3, 6]}


class Clock:
    """Time that passes with operations only, so that no other process of the machine shows in it."""

    now = 0.0

    def pass_by(self, count: int) -> None:
        self.now += 1e-3 * count


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(measure, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    return clock


@pytest.mark.slow
def test_a_turn_goes_on_until_its_time_is_over(clock: Clock) -> None:
    counts: list[int] = []

    def operation(count: int) -> None:
        counts.append(count)
        clock.pass_by(count)

    seconds, done = time_operation(operation, 8, at_least_s=0.02, multiple=8)

    assert counts == [
        8,
        8,
        8,
    ]  # 8 ms each: in the 12 left and in the 4 left no second multiple fits
    assert (seconds, done) == (pytest.approx(0.024), 24)


@pytest.mark.slow
def test_without_a_time_the_operation_is_called_once() -> None:
    counts: list[int] = []

    _, done = time_operation(counts.append, 5)

    assert counts == [5]
    assert done == 5


@pytest.mark.slow
def test_garbage_collection_is_off_only_while_timing() -> None:
    states: list[bool] = []

    time_operation(lambda _: states.append(gc.isenabled()), 1)

    assert states == [False]
    assert gc.isenabled()


@pytest.mark.slow
def test_garbage_collection_comes_back_after_a_failure() -> None:
    def fail(count: int) -> None:
        raise ZeroDivisionError(count)

    with pytest.raises(ZeroDivisionError):
        time_operation(fail, 1)

    assert gc.isenabled()


@pytest.mark.slow
def test_warm_up_ends_with_a_multiple_of_what_one_call_takes(clock: Clock) -> None:
    count = warm_up(clock.pass_by, 0.1, multiple=16)

    assert count == 64  # 16 ms is too short, four times as much is over a quarter of 100


def test_peak_memory_grows_with_an_allocation() -> None:
    before = peak_memory()

    block = bytearray(80_000_000)
    block[::4096] = b"\1" * len(block[::4096])

    # The peak may have been higher before: then it stays.
    assert peak_memory() >= before
    assert peak_memory() > 80_000_000
    del block
