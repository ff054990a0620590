"""Samples of `make completeness` and `make applications`: the runners find what passes and what does not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import parity_tests.completeness.evaluate as evaluation
from parity_tests.completeness.applications import (
    MAX_RELATIVE_ERROR,
    evaluate_network,
    format_networks,
)
from parity_tests.completeness.cases import LayerCase, Tensor
from parity_tests.completeness.collect import collect_cases
from parity_tests.completeness.evaluate import evaluate, in_float32
from parity_tests.completeness.recorder import Recorder
from parity_tests.completeness.report import format_table, join_parts, to_data
from parity_tests.completeness.result import Result

KERAS_MARKERS = ("requires_trainable_backend",)
pytestmark = [pytest.mark.tf, pytest.mark.filterwarnings("ignore")]  # of Keras's own tests


@pytest.fixture(autouse=True)
def one_thread(request: pytest.FixtureRequest) -> Iterator[None]:
    pytest.importorskip("tensorflow")
    for name in KERAS_MARKERS:
        request.config.addinivalue_line("markers", f"{name}: of Keras's own tests")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def dense() -> LayerCase:
    """Return a Dense layer as a case of its own."""
    import keras

    layer = keras.saving.serialize_keras_object(keras.layers.Dense(3))
    return LayerCase("dense 0", "Dense", layer, (Tensor((None, 4), "float32"),), {})


def test_cases_of_keras_are_taken_down_and_pass(tmp_path: Path) -> None:
    cases = collect_cases("reshaping/permute", "normalization/unit_normalization")

    results = [evaluate(case, tmp_path / str(index)) for index, case in enumerate(cases)]

    tried = [result for result in results if result.outcome != "excluded"]
    assert {"Permute", "UnitNormalization"} <= {r.class_name for r in tried}
    assert [result for result in tried if result.outcome == "fail"] == []


def test_outermost_calls_and_models_are_taken_down_as_cases(tmp_path: Path) -> None:
    import keras

    recorder = Recorder("any test")

    with recorder.watching():
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        keras.layers.Bidirectional(keras.layers.GRU(2))(keras.ops.ones((2, 4, 3)))
        keras.src.ops.numpy.Add()(model.inputs[0], model.inputs[0])
        model.compile("sgd", "mse")
        model.fit(keras.ops.ones((2, 3)), keras.ops.ones((2, 2)))

    found = {case.class_name: case for case in recorder.cases}
    assert list(found) == ["Bidirectional", "Add", "Sequential"]
    assert [case.kind for case in found.values()] == ["layer", "operation", "model"]
    assert found["Bidirectional"].inputs[0].shape == (None, 4, 3)
    assert {evaluate(case, tmp_path / name).outcome for name, case in found.items()} == {"pass"}


def test_same_case_under_another_number_of_a_name_has_the_same_key(dense: LayerCase) -> None:
    import keras

    other = keras.saving.serialize_keras_object(keras.layers.Dense(3, name="dense_17"))
    wider = keras.saving.serialize_keras_object(keras.layers.Dense(4, name="dense"))
    dense = replace(dense, layer={**other, "config": {**other["config"], "name": "dense_2"}})

    assert replace(dense, layer=other).key == dense.key
    assert replace(dense, layer=wider).key != dense.key


def test_sparse_inputs_and_code_of_the_tests_own_are_excluded_with_the_reason() -> None:
    cases = collect_cases("core/lambda_layer", "core/identity")

    reasons = {case.excluded.split(":")[0] for case in cases}

    assert reasons == {"", "sparse or ragged inputs", "code of the test's own"}


def test_difference_is_a_failure(
    dense: LayerCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torchward

    load = torchward.load

    def swap(path: Path) -> Any:
        model: Any = load(path)
        model.dense.weight.data = model.dense.weight.data.flip(0)
        return model

    assert evaluate(dense, tmp_path / "right").outcome == "pass"
    monkeypatch.setattr(torchward, "load", swap, raising=False)
    wrong = evaluate(dense, tmp_path / "wrong")
    assert wrong.outcome == "fail"


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_hides_no_difference_below_its_limit(
    policy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keras

    layer = keras.saving.serialize_keras_object(keras.layers.Dense(3, dtype=policy))
    case = LayerCase("dense 1", "Dense", layer, (Tensor((None, 4), "float32"),), {})
    run = evaluation._run_legacy

    assert case.group == "half"
    assert in_float32(case).policies == {"float32"}
    assert evaluate(case, tmp_path / "right").outcome == "pass"
    monkeypatch.setattr(evaluation, "_run_legacy", lambda *given: run(*given) * 1.001)
    assert "allowed 1e-05" in evaluate(case, tmp_path / "wrong").reason


@pytest.mark.slow
def test_where_keras_rounds_away_more_the_module_must_be_nearer_to_float64(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keras

    # x inv - mean inv, as Keras adds it up, leaves nothing of float32's 24 bits where x is 70000 and inv 30.
    layer = keras.saving.serialize_keras_object(keras.layers.GroupNormalization(2))
    values = np.full((2, 4, 8), 70000.0, np.float32)
    case = LayerCase(
        "large 1", "GroupNormalization", layer, (Tensor((None, 4, 8), "float32", values),), {}
    )

    assert evaluate(case, tmp_path / "right").outcome == "pass"
    monkeypatch.setattr(evaluation, "_in_float64", lambda *_: None)
    assert "off by" in evaluate(case, tmp_path / "alone").reason


def test_layer_without_a_rule_is_a_failure_with_the_reason(
    dense: LayerCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from converters.registry import LAYERS

    monkeypatch.delitem(LAYERS, "Dense")

    result = evaluate(dense, tmp_path)

    assert result.outcome == "fail"
    assert "no rule for Keras layer 'Dense'" in result.reason


def test_case_that_keras_refuses_is_excluded(dense: LayerCase, tmp_path: Path) -> None:
    result = evaluate(replace(dense, arguments=(Tensor((None,), "float32"),)), tmp_path)

    assert result.outcome == "excluded"
    assert result.reason.startswith("Keras: ")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("MobileNetV2", {"alpha": 0.35, "input_shape": (32, 32, 3), "classes": 7}),
        ("MobileNetV3Small", {"input_shape": (32, 32, 3), "classes": 7}),
    ],
    ids=["MobileNetV2", "MobileNetV3Small"],
)
def test_network_of_keras_applications_converts(
    name: str, arguments: dict[str, Any], tmp_path: Path
) -> None:
    result = evaluate_network(name, tmp_path, **arguments)

    assert result.reason == ""
    assert 0 < result.error < MAX_RELATIVE_ERROR
    assert "1 of 1 pass" in format_networks([result])


def test_table_counts_by_group_and_lists_what_fails() -> None:
    results = [
        Result("a", "Dense", "float32", "pass"),
        Result("b", "Dense", "float32", "fail", "off by | 1"),
        Result("c", "Dense", "half", "excluded", "why"),
    ]

    table = format_table(results)

    assert "| float32 | 1 | 2 | 50.0 |" in table
    assert "| Dense | b | off by \\| 1 |" in table
    assert to_data(results)["totals"] == {
        "float32": {"pass": 1, "fail": 1},
        "half": {"excluded": 1},
    }


def test_parts_of_a_run_are_joined_and_a_later_one_has_its_whole_files(tmp_path: Path) -> None:
    def result(case: str, outcome: str) -> Result:
        return Result(case, "Dense", "float32", outcome)

    kept = [result("b_test.py test_twice 0", "pass")] * 2  # names of cases need not differ
    first = [result("a_test.py test_one 0", "fail"), result("a_test.py test_gone 0", "fail"), *kept]
    later = [result("a_test.py test_one 0", "pass")]
    parts = {"1.json": first, "2.json": later}
    for name, results in parts.items():
        (tmp_path / name).write_text(json.dumps(to_data(results)))

    joined = join_parts([tmp_path / name for name in parts])

    assert joined == [*later, *kept]
