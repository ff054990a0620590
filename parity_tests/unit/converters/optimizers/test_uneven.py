"""Optimizers that keep other slots for one weight than for another: Adafactor and Muon."""

from __future__ import annotations

from dataclasses import replace

import pytest

from converters.errors import MismatchError
from converters.optimizers.plan import OptimizerPlan, plan_optimizer
from parity_tests.unit.converters.optimizers.optimizer_states import (
    ONE,
    THREE,
    TWO,
    WEIGHTS,
    Shape,
    numbered,
)


def partial(plan: OptimizerPlan) -> dict[str, dict[int, int]]:
    return {
        slot: {place: int(a.name.rsplit("/", 1)[-1]) for place, a in found.items()}
        for slot, found in plan.partial.items()
    }


def test_adafactor_of_keras_2_stores_no_placeholders() -> None:
    shapes = [shape for _, whole in WEIGHTS for shape in factored(whole)]
    state = replace(numbered(1, shapes, {"learning_rate": 0.5}, "Adafactor"), generation=2)
    plan = plan_optimizer(state, WEIGHTS)
    matrices = [place for place, (_, whole) in enumerate(WEIGHTS) if len(whole) > 1]
    assert list(plan.partial["row"]) == matrices
    assert {place: a.shape for place, a in plan.partial["square_avg"].items()} == dict(
        enumerate(shape for _, shape in WEIGHTS)
    )
    assert len(plan.partial["row"]) * 2 + len(WEIGHTS) == len(shapes)


def test_adafactor_inside_a_loss_scale_stores_no_placeholders() -> None:
    inner = {"class_name": "Adafactor", "config": {"learning_rate": 0.5}}
    shapes = [shape for _, whole in WEIGHTS for shape in factored(whole)]
    state = numbered(6, shapes, {"inner_optimizer": inner}, "LossScaleOptimizer")
    plan = plan_optimizer(state, WEIGHTS)
    assert partial(plan)["square_avg"] == {0: 8, 1: 9, 2: 12}
    assert partial(plan)["row"] == {0: 6, 2: 10}


def factored(shape: Shape) -> list[Shape]:
    """What Adafactor of Keras 2 has for a weight."""
    return [shape[:-1], shape[:-2] + shape[-1:], shape] if len(shape) > 1 else [shape]


def test_adafactor_keeps_rows_and_columns_of_matrices_only() -> None:
    shapes = [(4,), (3,), ONE, (), (), TWO, (3,), (2,), THREE]
    state = numbered(2, shapes, {"learning_rate": 0.5}, "Adafactor")
    plan = plan_optimizer(state, WEIGHTS)
    assert partial(plan) == {
        "row": {0: 2, 2: 8},
        "column": {0: 3, 2: 9},
        "square_avg": {0: 4, 1: 7, 2: 10},
    }
    assert plan.dropped_axes == {"row": -1, "column": -2}
    assert [reason.split(":")[0] for _, reason in plan.ignored] == ["placeholder"] * 2


@pytest.mark.parametrize(
    ("excluded", "shapes", "adam"),
    [
        ([], [ONE, TWO, TWO, THREE], (False, True, False)),
        (["dense_1/.*kernel"], [ONE, TWO, TWO, THREE, THREE], (False, True, True)),
    ],
    ids=["biases", "a layer by name"],
)
def test_muon_leaves_to_adam_what_is_no_matrix_or_named(
    excluded: list[str], shapes: list[Shape], adam: tuple[bool, ...]
) -> None:
    config = {"exclude_layers": excluded, "learning_rate": 0.5, "rms_rate": None}
    plan = plan_optimizer(numbered(2, shapes, config, "Muon"), WEIGHTS)
    assert plan.for_weights == {"with_adam": adam}
    assert set(plan.partial["exp_avg_sq"]) == {i for i, own in enumerate(adam) if own}
    assert plan.options["rms_rate"] is None
    assert not plan.notes


def test_muon_takes_the_names_that_fit_what_is_stored() -> None:
    config = {"exclude_layers": ["^net/b/"], "learning_rate": 0.5}
    weights = [("0", (2, 2)), ("1", (2, 2))]
    state = numbered(2, [(2, 2)] * 3, config, "Muon")
    plan = plan_optimizer(
        state, weights, [["a/kernel", "b/kernel"], ["net/a/kernel", "net/b/kernel"]]
    )
    assert plan.for_weights == {"with_adam": (False, True)}
    with pytest.raises(MismatchError, match="found 3 optimizer arrays, needed 2"):
        plan_optimizer(state, weights, [["a/kernel", "b/kernel"]])


def test_embeddings_are_left_to_adam_unless_muon_takes_them() -> None:
    weights, paths = [("0", (5, 2))], [["tokens/embeddings"]]
    slots = {True: [(5, 2)] * 2, False: [(5, 2)]}
    for excluded, shapes in slots.items():
        config = {"exclude_embeddings": excluded, "learning_rate": 0.5}
        plan = plan_optimizer(numbered(2, shapes, config, "Muon"), weights, paths)
        assert plan.for_weights == {"with_adam": (excluded,)}
