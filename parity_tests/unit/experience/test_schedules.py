from __future__ import annotations

import pytest

from experience.schedules import LinearSchedule, decay_epsilon


def test_the_guides_rate_ends_below_its_minimum_after_919_replays() -> None:
    rates = [1.0]
    for _ in range(1_000):
        rates.append(decay_epsilon(rates[-1]))

    assert rates[918] > 0.01
    assert rates[919] == pytest.approx(0.00998645, abs=5e-9)
    assert set(rates[919:]) == {rates[919]}


def test_a_rate_at_the_minimum_stays() -> None:
    assert decay_epsilon(0.01, epsilon_min=0.01, epsilon_decay=0.5) == 0.01


@pytest.mark.parametrize(
    ("step", "value"),
    [(0, 1.0), (25, 0.8), (100, 0.2), (101, 0.2), (10**9, 0.2)],
    ids=["start", "quarter", "end", "after", "long-after"],
)
def test_a_line_passes_its_points(step: int, value: float) -> None:
    assert LinearSchedule(1.0, 0.2, 100)(step) == pytest.approx(value)


def test_a_line_of_no_length_is_its_end() -> None:
    assert LinearSchedule(1.0, 0.2, 0)(0) == 0.2


def test_a_negative_length_is_refused() -> None:
    with pytest.raises(ValueError, match="-1 steps"):
        LinearSchedule(1.0, 0.0, -1)
