from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from experience.dqn_rules import check_settings, choose_actions, explain_action

SETTINGS: dict[str, Any] = {
    "state_size": 4,
    "action_size": 3,
    "hidden_sizes": [7],
    "dropout": 0.2,
    "learning_rate": 0.001,
    "gamma": 0.95,
    "epsilon": 1.0,
    "epsilon_min": 0.01,
    "epsilon_decay": 0.995,
    "batch_size": 8,
    "memory_size": 8,
    "gradient_clip": None,
    "loss": "huber",
    "dtype": "float64",
}


def test_settings_at_their_limits_are_accepted() -> None:
    check_settings(SETTINGS)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("state_size", 0, "at least 1"),
        ("hidden_sizes", [], "at least 1"),
        ("hidden_sizes", [4, 0], "at least 1"),
        ("dropout", 1.0, "dropout must be"),
        ("gamma", 1.1, "gamma"),
        ("epsilon", -0.1, "epsilon"),
        ("learning_rate", 0.0, "learning_rate"),
        ("batch_size", 9, r"batch_size must be in \[1, memory_size\]"),
        ("gradient_clip", 0.0, "gradient_clip"),
        ("loss", "mae", "loss must be one of mse, huber"),
        ("dtype", "float16", "dtype must be one of float32, float64"),
        ("gamma", float("nan"), "gamma"),
    ],
)
def test_setting_out_of_range_is_refused(name: str, value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_settings({**SETTINGS, name: value})


def test_all_broken_settings_are_named_at_once() -> None:
    with pytest.raises(ValueError, match=r"dropout must be.*loss must be"):
        check_settings({**SETTINGS, "dropout": 2.0, "loss": "mae"})


@pytest.mark.parametrize("epsilon", [0.0, 0.3, 1.0])
def test_the_share_of_random_actions_is_epsilon(epsilon: float) -> None:
    rows = 20_000
    greedy = np.full(rows, 7)

    actions = choose_actions(lambda: greedy, rows, 4, epsilon, np.random.default_rng(0))

    assert np.mean(actions != 7) == pytest.approx(epsilon, abs=0.01)
    assert set(actions[actions != 7].tolist()) <= {0, 1, 2, 3}


def test_draws_do_not_depend_on_their_outcome() -> None:
    generators = [np.random.default_rng(0) for _ in range(2)]

    for epsilon, rng in zip((0.0, 1.0), generators, strict=True):
        choose_actions(lambda: np.zeros(5, np.int64), 5, 3, epsilon, rng)

    assert generators[0].random() == generators[1].random()


@pytest.mark.parametrize("count", [1, 3, 1000])
def test_one_observation_gets_the_draws_of_arrays_of_one(count: int) -> None:
    rng, arrays = (np.random.default_rng(0) for _ in range(2))

    for _ in range(200):
        action = choose_actions(lambda: np.array([-1]), 1, count, 0.5, rng)
        is_random, drawn = arrays.random(1) <= 0.5, arrays.integers(count, size=1)

        assert action.shape == (1,)
        assert action.dtype == np.int64
        assert action == np.where(is_random, drawn, -1)

    assert rng.bit_generator.state == arrays.bit_generator.state


def test_values_are_not_computed_when_every_action_is_random() -> None:
    def fail() -> NDArray[np.int64]:
        raise AssertionError

    assert choose_actions(fail, 5, 3, 1.0, np.random.default_rng(0)).shape == (5,)


@pytest.mark.parametrize(
    ("best", "name"),
    [(0, "Beginner"), (4, "Expert"), (5, "Level 6")],
    ids=["first", "last", "more"],
)
def test_explanation_names_the_best_action(best: int, name: str) -> None:
    q_values = np.zeros(6)
    q_values[best] = 3.0

    explanation = explain_action(q_values, 0.25)

    assert explanation == {
        "action": best,
        "difficulty": name,
        "q_values": q_values.tolist(),
        "confidence": 2.5,
        "exploration_rate": 0.25,
    }


def test_values_of_several_states_are_not_explained() -> None:
    with pytest.raises(ValueError, match=r"values of shape \(2, 3\); needed those of one state"):
        explain_action(np.zeros((2, 3)), 0.25)
