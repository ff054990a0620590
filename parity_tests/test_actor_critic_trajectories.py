"""Training as the training loop does it keeps both sides together: delayed policy steps, targets, normaliser."""

from __future__ import annotations

import pytest

from parity_tests.trajectories import (
    COURSES,
    LIMIT,
    SIDES,
    Course,
    build,
    find_course,
    largest_difference,
    train_side_by_side,
)

UPDATES = 1_000
FEW_UPDATES = 60
"""Of agents on images, whose convolutions take long; `make parity-long` trains them as long as the others."""


@pytest.mark.tf
@pytest.mark.parametrize("course", COURSES, ids=[course.name for course in COURSES])
def test_all_variables_stay_together_in_float64(course: Course) -> None:
    pytest.importorskip("tensorflow")
    legacy, torch = (build(side, course) for side in SIDES)
    updates = FEW_UPDATES if "conv_filters" in course.flags else UPDATES

    assert largest_difference(legacy, torch) == 0.0
    worst = train_side_by_side(course, legacy, torch, updates=updates)

    assert legacy.counters == torch.counters
    assert worst < LIMIT


@pytest.mark.tf
@pytest.mark.parametrize(
    ("flag", "value"),
    [("polyak", 0.9501), ("q_reg", 0.011), ("gamma", 0.9901), ("pi_lr", 1.001e-3)],
)
def test_planted_fault_is_seen_within_three_updates(flag: str, value: float) -> None:
    pytest.importorskip("tensorflow")
    course = find_course("ddpg")
    legacy, torch = build("legacy_tf", course), build("torch_impl", course, **{flag: value})

    assert train_side_by_side(course, legacy, torch, updates=3) > LIMIT
