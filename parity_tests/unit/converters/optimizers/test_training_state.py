"""Penalties on weights are found under the names that Keras gives their settings."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from converters.checkpoint import ArrayInfo, Checkpoint, LayerArrays, OptimizerState, Provenance
from converters.configuration.models import parse_model_config
from converters.errors import MismatchError
from converters.lowering import Lowering, lower_model
from converters.optimizers.plan import OptimizerPlan
from converters.optimizers.training_state import (
    Arrays,
    parameter_options,
    plan_optimizer_state,
    regularization,
)

PENALTY = {"class_name": "L2", "config": {"l2": 0.5}}


@pytest.mark.parametrize(
    ("class_name", "setting", "place"),
    [
        ("Conv2D", "kernel_regularizer", 0),
        ("DepthwiseConv2D", "depthwise_regularizer", 0),
        ("SeparableConv2D", "depthwise_regularizer", 0),
        ("SeparableConv2D", "pointwise_regularizer", 1),
        ("SeparableConv2D", "bias_regularizer", 2),
    ],
)
def test_penalty_belongs_to_the_weight_its_setting_names(
    class_name: str, setting: str, place: int
) -> None:
    config: dict[str, Any] = {"name": "layer", "batch_input_shape": [None, 5, 5, 2], "filters": 3}
    config |= {"kernel_size": [3, 3], setting: PENALTY}
    entries = [{"class_name": class_name, "config": config}]
    text = json.dumps({"class_name": "Sequential", "config": {"name": "net", "layers": entries}})
    graph, lowering = parse_model_config(text, generation=2), Lowering(None)
    lower_model(graph, lowering)

    factors = regularization(graph, lowering, [])

    assert factors is not None
    assert [index for index, pair in enumerate(factors) if pair == [0.0, 0.5]] == [place]


def table_options(
    plan: OptimizerPlan, *, generation: int, penalty: object = None
) -> tuple[dict[str, object], list[str]]:
    """The options of an optimizer for an embedding and a dense layer, and the notes."""
    config = {"name": "table", "input_dim": 1, "output_dim": 1, "batch_input_shape": [None, 1]}
    config["embeddings_regularizer"] = penalty
    entries = [{"class_name": "Embedding", "config": config}, dense("out")]
    text = json.dumps(sequential("net", *entries))
    graph, lowering = parse_model_config(text, generation=2), Lowering(None)
    lower_model(graph, lowering)
    arrays: Arrays = {("table",): {"embeddings": matrix("e")}, ("out",): {"kernel": matrix("k")}}
    notes: list[str] = []
    graph = replace(graph, generation=generation)
    return parameter_options(plan, graph, lowering, arrays, notes), notes


@pytest.mark.parametrize(
    ("penalty", "row_wise"), [(None, [0]), (PENALTY, None)], ids=["rows", "penalty-on-all-rows"]
)
def test_embeddings_of_legacy_files_are_updated_by_rows(
    penalty: object, row_wise: list[int] | None
) -> None:
    plan = OptimizerPlan("keras_compat.Adamax", {}, 0.5, 0, row_wise=True)

    options, _ = table_options(plan, generation=2, penalty=penalty)

    assert options.get("row_wise") == row_wise


@pytest.mark.parametrize(
    ("slot", "generation", "done"),
    [
        ("exp_avg_sq", 3, "squares"),
        ("exp_inf", 3, "takes the absolute value of"),
        ("exp_inf", 2, None),
        ("exp_avg", 3, None),
    ],
)
def test_what_is_done_to_each_of_repeated_rows_is_noted(
    slot: str, generation: int, done: str | None
) -> None:
    slots = {slot: (matrix("e"), matrix("k"))}
    plan = OptimizerPlan("keras_compat.Adamax", {}, 0.5, 0, slots=slots)

    _, notes = table_options(plan, generation=generation)

    found = [note for note in notes if note.startswith("rows of table")]
    assert [f"Keras on TensorFlow {done} the gradient" in note for note in found] == [True] * (
        done is not None
    )


def matrix(name: str) -> ArrayInfo:
    return ArrayInfo(name, (1, 1), np.dtype("f4"), lambda: np.zeros((1, 1), dtype=np.float32))


def array(name: str) -> ArrayInfo:
    return ArrayInfo(name, (1,), np.dtype("f4"), lambda: np.zeros(1, dtype=np.float32))


def dense(name: str) -> dict[str, Any]:
    config = {"name": name, "units": 1, "use_bias": False, "batch_input_shape": [None, 1]}
    return {"class_name": "Dense", "config": config}


def sequential(name: str, *layers: dict[str, Any]) -> dict[str, Any]:
    return {"class_name": "Sequential", "config": {"name": name, "layers": list(layers)}}


@pytest.mark.parametrize(
    ("generation", "weights", "refused"),
    [(2, "b", False), (3, "b", True), (2, "ab", True), (2, "", True)],
    ids=["frozen-model", "keras-3-says-it", "one-slot-missing", "no-weight-has-slots"],
)
def test_slots_without_those_of_a_frozen_nested_model_are_left_out_where_keras_does_not_say_it(
    generation: int, weights: str, refused: bool
) -> None:
    text = json.dumps(sequential("net", sequential("inner", dense("a")), dense("b")))
    graph = parse_model_config(text, generation=generation)
    slots = [array(f"Adam/m/{name}") for name in weights] + [array("Adam/v/b")]
    state = OptimizerState("Adam", {"learning_rate": 0.1}, slots, True, generation)
    source = Provenance("a.h5", lambda: "", 1, "keras-h5", None, generation, {})
    arrays = {("inner", "a"): {"kernel": array("a")}, ("b",): {"kernel": array("b")}}
    layers = [LayerArrays(path[0], path[0], roles) for path, roles in arrays.items()]
    checkpoint = Checkpoint(layers, graph, state, None, [], source)

    if refused:
        with pytest.raises(MismatchError):
            plan_optimizer_state(checkpoint, graph, arrays)
        return
    plan, notes = plan_optimizer_state(checkpoint, graph, arrays)

    assert plan is None
    assert "nested inner was frozen" in notes[0]


def archived(variables: list[ArrayInfo], *, legacy: bool) -> Checkpoint:
    """A .keras file of Keras 2 with one layer and Adam."""
    graph = parse_model_config(json.dumps(sequential("net", dense("b"))), generation=2)
    state = OptimizerState("Adam", {"learning_rate": 0.1}, variables, legacy, 2)
    source = Provenance("a.keras", lambda: "", 1, "keras-archive", None, 2, {})
    return Checkpoint(
        [LayerArrays("b", "b", {"kernel": array("b")})], graph, state, None, [], source
    )


@pytest.mark.parametrize("legacy", [True, False], ids=["legacy", "new"])
def test_a_legacy_optimizer_in_a_keras_archive_is_not_started_anew(legacy: bool) -> None:
    checkpoint = archived([], legacy=legacy)
    assert checkpoint.graph is not None

    plan, notes = plan_optimizer_state(
        checkpoint, checkpoint.graph, {("b",): {"kernel": array("b")}}
    )

    assert (plan is None) == legacy
    assert any("legacy optimizers in .keras files" in note for note in notes) == legacy
