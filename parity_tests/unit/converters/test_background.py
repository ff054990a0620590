"""Calculations in threads of their own."""

from __future__ import annotations

import threading

import pytest

from converters.background import Background


def test_error_of_a_background_calculation_reaches_the_caller() -> None:
    def fail() -> int:
        message = "broken"
        raise KeyError(message)

    with pytest.raises(KeyError, match="broken"):
        Background(fail).result()


def test_calculation_is_done_when_its_result_would_come_at_once() -> None:
    may_end = threading.Event()
    calculation = Background(lambda: may_end.wait(60))

    before = calculation.is_done()
    may_end.set()

    assert (before, calculation.result(), calculation.is_done()) == (False, True, True)
