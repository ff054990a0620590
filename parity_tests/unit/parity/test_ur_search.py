"""The search of settings: as many trials as asked for, best first, the same ones for the same seed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from experience.environments.royal_ur.samples import Samples
from experience.ur_plan import UrPlan
from parity_tests.ur_search import Trial, best_command, format_trials, search_settings


def samples() -> Samples:
    rng = np.random.default_rng(0)
    return Samples(
        rng.uniform(-1, 1, (60, 150)).astype(np.float32),
        rng.uniform(-0.3, 0.3, 60).astype(np.float32),
        np.eye(7, dtype=np.float32)[rng.integers(7, size=60)],
        np.repeat(np.arange(6), 10).astype(np.int32),
    )


def test_trials_come_best_first_and_follow_from_the_seed() -> None:
    pytest.importorskip("optuna")
    plan = UrPlan(epochs=1, device="cpu", seed=5)

    first, second = (search_settings(plan, samples(), 3) for _ in range(2))

    assert [trial.loss for trial in first] == sorted(trial.loss for trial in first)
    assert first == second
    assert len({trial.plan.learning_rate for trial in first}) == 3


def test_table_ends_with_the_command_of_the_best_trial() -> None:
    plan = UrPlan(learning_rate=0.002, hidden_sizes=(8, 4), output="w.json")
    trials = [
        Trial(plan, 1.5, 4, given_up=False),
        Trial(replace(plan, dropout=0.2), 2.5, 2, given_up=True),
    ]

    lines = format_trials(trials)

    assert lines[2] == "| 1.5000 | 0.002 | 32 | 0.10 | 8-4 | 4 |  |"
    assert lines[3].endswith("| given up |")
    assert lines[-1] == f"best: {best_command(plan)}"
    assert "--lr 0.002" in lines[-1]
    assert "--hidden-sizes 8,4" in lines[-1]
