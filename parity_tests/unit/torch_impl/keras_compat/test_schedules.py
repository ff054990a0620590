"""Learning-rate schedules against live Keras and against numbers worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from torch_impl.keras_compat.rounding import exact
from torch_impl.keras_compat.schedules import SCHEDULES, learning_rate_at, plain_schedule

CASES: list[tuple[str, dict[str, Any]]] = [
    ("ExponentialDecay", {"initial_learning_rate": 0.1, "decay_steps": 7, "decay_rate": 0.9}),
    (
        "ExponentialDecay",
        {"initial_learning_rate": 0.1, "decay_steps": 7, "decay_rate": 0.9, "staircase": True},
    ),
    ("InverseTimeDecay", {"initial_learning_rate": 0.1, "decay_steps": 5, "decay_rate": 0.5}),
    ("PiecewiseConstantDecay", {"boundaries": [3, 20], "values": [0.1, 0.05, 0.001]}),
    ("PolynomialDecay", {"initial_learning_rate": 0.1, "decay_steps": 40, "power": 2.0}),
    ("PolynomialDecay", {"initial_learning_rate": 0.1, "decay_steps": 7, "cycle": True}),
    ("CosineDecay", {"initial_learning_rate": 0.1, "decay_steps": 40, "alpha": 0.1}),
    (
        "CosineDecay",
        {
            "initial_learning_rate": 0.0,
            "decay_steps": 40,
            "warmup_target": 0.2,
            "warmup_steps": 6,
        },
    ),
    ("CosineDecayRestarts", {"initial_learning_rate": 0.1, "first_decay_steps": 9, "m_mul": 0.5}),
    (
        "CosineDecayRestarts",
        {"initial_learning_rate": 0.1, "first_decay_steps": 9, "t_mul": 1.0, "alpha": 0.01},
    ),
]
IDS = [f"{name}-{list(config)[-1]}" for name, config in CASES]
STEPS = (0, 1, 3, 4, 6, 7, 8, 10, 13, 20, 21, 39, 40, 41, 46, 100)


@pytest.mark.tf
@pytest.mark.parametrize(("name", "config"), CASES, ids=IDS)
def test_schedule_is_that_of_keras(name: str, config: dict[str, Any]) -> None:
    schedules = pytest.importorskip("keras").optimizers.schedules
    schedule = getattr(schedules, name)(**config)
    stored = plain_schedule(schedules.serialize(schedule))
    # Three float32 roundings of the largest value: powers and cosines may differ in the last bit.
    limit = 3 * 6e-8 * 0.2
    assert [learning_rate_at(stored, step) for step in STEPS] == pytest.approx(
        [float(schedule(step)) for step in STEPS], abs=limit, rel=0
    )


def test_every_schedule_has_a_case() -> None:
    assert {name for name, _ in CASES} == set(SCHEDULES)


@pytest.mark.parametrize(
    ("name", "config", "step", "value"),
    [
        ("ExponentialDecay", CASES[0][1], 14, 0.1 * 0.81),
        ("InverseTimeDecay", CASES[2][1], 10, 0.05),
        ("PiecewiseConstantDecay", CASES[3][1], 3, 0.1),
        ("PiecewiseConstantDecay", CASES[3][1], 4, 0.05),
        ("PolynomialDecay", CASES[4][1], 20, 0.0999 / 4 + 0.0001),
        ("CosineDecay", CASES[6][1], 20, 0.1 * (0.9 / 2 + 0.1)),
        ("CosineDecay", CASES[7][1], 3, 0.1),
        ("CosineDecayRestarts", CASES[8][1], 9, 0.05),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_schedule_gives_the_value_worked_out_by_hand(
    name: str, config: dict[str, Any], step: int, value: float
) -> None:
    stored = {"class_name": name, "config": config}
    assert learning_rate_at(stored, step, rounded=exact) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    "schedule",
    [
        {"class_name": "Custom>Warmup", "config": {}},
        {"class_name": "ExponentialDecay"},
        {"class_name": "ExponentialDecay", "config": {"decay_steps": 3}},
    ],
    ids=["unknown", "without configuration", "incomplete"],
)
def test_schedule_that_cannot_be_followed_is_refused(schedule: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="learning-rate schedule"):
        plain_schedule(schedule)
