"""The numbers of a loss scale, which every generation stores in another place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from converters.checkpoint import OptimizerState
from converters.optimizers.plan import plan_optimizer
from parity_tests.unit.converters.optimizers.optimizer_states import (
    ONE,
    PAIRS,
    WEIGHTS,
    Shape,
    array,
    assert_complete,
    numbered,
    numbers,
    read_h5,
)


def wrapped(own: Sequence[float], shapes: Sequence[Shape], inner: str = "Adam") -> OptimizerState:
    """LossScaleOptimizer of Keras 3: its own numbers, then what the optimizer inside has."""
    config = {"inner_optimizer": {"class_name": inner, "config": {"beta_1": 0.75}}}
    variables = [
        array(str(index), value=value, dtype="float32" if index % 2 else "int64")
        for index, value in enumerate((*own, 7, 0.5))
    ]
    variables += [array(str(index), shape) for index, shape in enumerate(shapes, len(variables))]
    settings = {"initial_scale": 64.0, "dynamic_growth_steps": 30}
    return OptimizerState("LossScaleOptimizer", {**config, **settings}, variables, False, 3)


def test_loss_scale_of_keras_3_stands_before_the_optimizer_inside() -> None:
    state = wrapped((9, 0.0, 12, 128.0), PAIRS)
    plan = plan_optimizer(state, WEIGHTS)
    assert plan.target == "keras_compat.Adam"
    assert plan.read_numbers() == {"scaled_steps": 12, "dynamic_scale": 128.0}
    assert (plan.read_iterations(), plan.read_arguments()["learning_rate"]) == (7, 0.5)
    assert plan.options["dynamic_growth_steps"] == 30
    assert numbers(plan, "exp_avg_sq") == [7, 9, 11]
    assert_complete(plan, state)


def test_loss_scale_that_compile_added_by_itself_is_found_by_what_is_stored_twice() -> None:
    state = wrapped((9, 0.0, 12, 128.0), PAIRS)
    again = [array("optimizer/inner_optimizer/vars/2", ONE)]
    plan = plan_optimizer(
        OptimizerState("Adam", {"beta_1": 0.75}, [*state.variables, *again], False, 3), WEIGHTS
    )
    assert plan.read_numbers() == {"scaled_steps": 12, "dynamic_scale": 128.0}
    assert numbers(plan, "exp_avg_sq") == [7, 9, 11]
    assert plan.options["beta_1"] == 0.75


def test_loss_scale_that_was_never_used_starts_as_configured() -> None:
    plan = plan_optimizer(wrapped((9, 0.0), []), WEIGHTS)
    assert plan.options["dynamic_scale"] == 64.0
    assert (plan.read_iterations(), plan.slots) == (7, {})


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        (
            {"dynamic": True, "initial_scale": 64.0, "dynamic_growth_steps": 5},
            {"dynamic_scale": 64.0, "dynamic_growth_steps": 5, "smallest_scale": 1.0},
        ),
        (
            {"dynamic": False, "initial_scale": 64.0, "dynamic_growth_steps": None},
            {"loss_scale_factor": 64.0},
        ),
        (
            {
                "loss_scale": {
                    "class_name": "DynamicLossScale",
                    "config": {"initial_loss_scale": 32.0, "increment_period": 9},
                }
            },
            {"dynamic_scale": 32.0, "dynamic_growth_steps": 9, "smallest_scale": 1.0},
        ),
    ],
    ids=["dynamic", "fixed", "tensorflow 2.3"],
)
def test_loss_scale_of_keras_2_is_what_was_configured(
    settings: dict[str, Any], options: dict[str, Any]
) -> None:
    state, weights = read_h5("k231_dqn_cartpole")
    inside = {"class_name": "Adam", "config": state.config}
    whole = {"inner_optimizer": inside, **settings}
    plan = plan_optimizer(
        OptimizerState("LossScaleOptimizer", whole, state.variables, True, 2), weights
    )
    assert options.items() <= plan.options.items()
    assert set(plan.slots) == {"exp_avg", "exp_avg_sq"}


def test_a_keras_2_archive_holds_the_optimizer_inside_a_loss_scale_twice() -> None:
    inner = {"class_name": "Adam", "config": {"learning_rate": 0.5, "is_legacy_optimizer": False}}
    once = numbered(1, PAIRS, {"inner_optimizer": inner}, "LossScaleOptimizerV3").variables
    again = [replace(v, name=v.name.replace("/vars/", "/inner_optimizer/vars/")) for v in once]
    config = {"inner_optimizer": inner}
    state = OptimizerState("LossScaleOptimizerV3", config, [*once, *again], False, 2)
    plan = plan_optimizer(state, WEIGHTS)
    assert numbers(plan, "exp_avg") == [1, 3, 5]
    assert len(plan.ignored) == len(again)
