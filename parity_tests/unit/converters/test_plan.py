from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters.checkpoint import ArrayInfo, OptimizerState
from converters.errors import (
    ConversionError,
    MismatchError,
    UnreadableFileError,
    UnsupportedError,
)
from converters.plan import plan_conversion
from converters.planned import Plan
from converters.readers import read_checkpoint
from parity_tests import FIXTURES


def plan_of(path: Path) -> Plan:
    return plan_conversion(read_checkpoint(path))


def test_every_array_is_moved_once_and_every_parameter_filled_once(small_model: Path) -> None:
    plan = plan_of(small_model)

    assert [(move.source.name, move.target, str(move.layout)) for move in plan.moves] == [
        ("model_weights/hidden/hidden/kernel:0", "hidden.weight", "in out -> out in"),
        ("model_weights/hidden/hidden/bias:0", "hidden.bias", "out -> out"),
        ("model_weights/q_values/q_values/kernel:0", "q_values.weight", "in out -> out in"),
        ("model_weights/q_values/q_values/bias:0", "q_values.bias", "out -> out"),
    ]
    assert plan.ignored == ()


def test_square_kernel_is_transposed_too(write_model: Any, configs: Any) -> None:
    path = write_model(
        configs.sequential(configs.dense("square", 4)), {"square": configs.dense_arrays(4, 4)}
    )

    (weight, _) = plan_of(path).moves

    moved = weight.layout.apply(weight.source.read())
    np.testing.assert_array_equal(moved, configs.dense_arrays(4, 4)["kernel"].T)
    assert not np.array_equal(moved, configs.dense_arrays(4, 4)["kernel"])


def test_every_misfit_is_listed_with_found_and_needed(write_model: Any, configs: Any) -> None:
    config = configs.sequential(configs.dense("hidden", 5), configs.dense("q_values", 2))
    arrays = {"hidden": configs.dense_arrays(4, 3), "q_values": configs.dense_arrays(3, 2)}

    with pytest.raises(MismatchError) as caught:
        plan_of(write_model(config, arrays))

    lines = str(caught.value).splitlines()
    assert lines[0] == "model.h5: 3 of 4 arrays do not fit:"
    assert [line.split() for line in lines[1:]] == [
        ["model_weights/hidden/hidden/kernel:0", "found", "(4,", "3)", "needed", "(4,", "5)"],
        ["model_weights/hidden/hidden/bias:0", "found", "(3,)", "needed", "(5,)"],
        ["model_weights/q_values/q_values/kernel:0", "found", "(3,", "2)", "needed", "(5,", "2)"],
    ]
    assert caught.value.hint == "is the right --architecture given?"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("missing array", "layer 'hidden': found 1 arrays (kernel), needed 2 (kernel, bias)"),
        ("extra array", "found 3 arrays (kernel, bias, scale), needed 2 (kernel, bias)"),
        ("missing layer", "layer 'q_values': the file has no arrays for it, needed kernel, bias"),
        ("extra layer", "the architecture has no layer for the arrays of 'other'"),
        ("swapped roles", "found 2 arrays (bias, weight), needed 2 (kernel, bias)"),
    ],
)
def test_arrays_and_layers_that_do_not_pair_are_named(
    write_model: Any, configs: Any, change: str, message: str
) -> None:
    config = configs.sequential(configs.dense("hidden", 3), configs.dense("q_values", 2))
    arrays = {"hidden": configs.dense_arrays(4, 3), "q_values": configs.dense_arrays(3, 2)}
    if change == "missing array":
        del arrays["hidden"]["bias"]
    elif change == "extra array":
        arrays["hidden"]["scale"] = np.ones(3, np.float32)
    elif change == "missing layer":
        del arrays["q_values"]
    elif change == "extra layer":
        arrays["other"] = configs.dense_arrays(2, 2)
    else:
        arrays["hidden"] = {
            "bias": arrays["hidden"]["bias"],
            "weight": arrays["hidden"]["kernel"],
        }

    with pytest.raises(MismatchError) as caught:
        plan_of(write_model(config, arrays))

    assert message in str(caught.value)


def test_all_layers_without_a_rule_are_named_with_the_nearest(
    write_model: Any, configs: Any
) -> None:
    config = configs.sequential(
        configs.layer("DenseFlipout", "a"), configs.dense("b", 2), configs.layer("MyGate", "c")
    )

    with pytest.raises(UnsupportedError) as caught:
        plan_of(write_model(config, {}))

    assert "layer 'a': no rule for Keras layer 'DenseFlipout'; nearest: Dense" in str(caught.value)
    assert "layer 'c': no rule for Keras layer 'MyGate'" in str(caught.value)
    assert caught.value.exit_code == 4


def test_layers_that_become_one_identifier_stay_apart(write_model: Any, configs: Any) -> None:
    config = configs.sequential(
        configs.dense("fc-1", 4), configs.dense("fc 1", 4), configs.dense("fc_1", 4)
    )
    arrays = {
        name: configs.dense_arrays(4, 4, seed) for seed, name in enumerate(("fc-1", "fc 1", "fc_1"))
    }

    plan = plan_of(write_model(config, arrays))

    weights = {move.target: move.source.read() for move in plan.moves if "weight" in move.target}
    assert list(weights) == ["fc_1.weight", "fc_1_2.weight", "fc_1_3.weight"]
    for seed, value in enumerate(weights.values()):
        np.testing.assert_array_equal(value, configs.dense_arrays(4, 4, seed)["kernel"])


def test_shared_layer_is_one_module_called_twice(write_model: Any, configs: Any) -> None:
    config = configs.functional(
        {"a": (None, 4), "b": (None, 4)},
        [(configs.dense("shared", 3), ["a"]), (configs.layer("Add", "sum"), ["shared", "shared"])],
        ["sum"],
    )
    shared = config["config"]["layers"][2]
    shared["inbound_nodes"].append([["b", 0, 0, {}]])
    config["config"]["layers"][3]["inbound_nodes"] = [[["shared", 0, 0, {}], ["shared", 1, 0, {}]]]

    plan = plan_of(write_model(config, {"shared": configs.dense_arrays(4, 3)}))

    steps = [step for step in plan.architecture.steps if step.op == "nn.Linear"]
    assert [(step.attribute, step.inputs) for step in steps] == [
        ("shared", ("a",)),
        ("shared", ("b",)),
    ]
    assert len(plan.moves) == 2


def test_array_of_a_layer_that_is_never_called_is_accounted_for(
    write_model: Any, configs: Any
) -> None:
    config = configs.functional(
        {"x": (None, 4)},
        [(configs.dense("used", 3), ["x"]), (configs.dense("idle", 2), ["x"])],
        ["used"],
    )
    config["config"]["layers"][2]["inbound_nodes"] = []
    arrays = {"used": configs.dense_arrays(4, 3), "idle": configs.dense_arrays(4, 2)}

    plan = plan_of(write_model(config, arrays))

    assert plan.ignored == (
        ("model_weights/idle/idle/kernel:0", "layer 'idle' is never called"),
        ("model_weights/idle/idle/bias:0", "layer 'idle' is never called"),
    )


def edit_output(config: Any) -> None:
    config["config"]["output_layers"] = [["sum", 0, 3]]


def edit_unknown_output(config: Any) -> None:
    config["config"]["output_layers"] = [["nowhere", 0, 0]]


def edit_cycle(config: Any) -> None:
    config["config"]["layers"][1]["inbound_nodes"] = [[["sum", 0, 0, {}]]]


def edit_axis(config: Any) -> None:
    config["config"]["layers"][2] = {
        "class_name": "Concatenate",
        "name": "sum",
        "config": {"name": "sum", "axis": 7},
        "inbound_nodes": [[["hidden", 0, 0, {}], ["x", 0, 0, {}]]],
    }


def edit_units(config: Any) -> None:
    config["config"]["layers"][1]["config"]["units"] = "three"


def edit_activation(config: Any) -> None:
    config["config"]["layers"][1]["config"]["activation"] = "my_activation"


def edit_no_inputs(config: Any) -> None:
    config["config"]["layers"][2]["inbound_nodes"] = [[]]


def edit_shape(config: Any) -> None:
    config["config"]["layers"][0]["config"]["batch_input_shape"] = ["a"]


def edit_scalar_input(config: Any) -> None:
    config["config"]["layers"][0]["config"]["batch_input_shape"] = []


def edit_nothing_inside(config: Any) -> None:
    config["config"]["layers"] = "layers"


@pytest.mark.parametrize(
    ("edit", "error", "message"),
    [
        (edit_output, UnreadableFileError, "names outputs that nothing computes: sum"),
        (edit_unknown_output, UnreadableFileError, "outputs that nothing computes: nowhere"),
        (edit_cycle, UnreadableFileError, "has a cycle or a missing layer"),
        (edit_axis, MismatchError, "layer 'sum' (Concatenate): settings and inputs do not fit"),
        (edit_units, UnsupportedError, "setting 'units' is 'three', needed is an integer"),
        (edit_activation, UnsupportedError, "no rule for activation 'my_activation'"),
        (edit_no_inputs, MismatchError, "layer 'sum' (Add): settings and inputs do not fit"),
        (edit_shape, UnreadableFileError, "model configuration is not readable: ValueError"),
        (edit_scalar_input, MismatchError, "layer 'hidden' (Dense)"),
        (edit_nothing_inside, UnreadableFileError, "model configuration is not readable"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_edited_configuration_is_refused_in_one_error(
    write_model: Any, configs: Any, edit: Any, error: type[ConversionError], message: str
) -> None:
    config = configs.functional(
        {"x": (None, 4)},
        [(configs.dense("hidden", 4), ["x"]), (configs.layer("Add", "sum"), ["hidden", "x"])],
        ["sum"],
    )
    edit(config)

    with pytest.raises(error) as caught:
        plan_of(write_model(config, {"hidden": configs.dense_arrays(4, 4)}))

    assert str(caught.value).startswith("model.h5: ")
    assert message in str(caught.value)


def test_nested_model_called_with_the_wrong_number_of_inputs_is_refused(
    write_model: Any, configs: Any
) -> None:
    inner = configs.functional(
        {"p": (None, 4), "q": (None, 4)}, [(configs.layer("Add", "s"), ["p", "q"])], ["s"]
    )
    inner["config"]["name"] = "inner"
    config = configs.functional({"x": (None, 4)}, [(inner, ["x"])], ["inner"])

    with pytest.raises(UnreadableFileError, match="'inner' is called with 1 inputs, it has 2"):
        plan_of(write_model(config, {}))


@pytest.mark.parametrize("value", [10**400, "0.3", None, True])
def test_number_that_is_none_is_refused(write_model: Any, configs: Any, value: object) -> None:
    config = configs.sequential(configs.layer("Dropout", "drop", rate=value))

    with pytest.raises(UnsupportedError, match=r"layer 'drop' .*setting 'rate' is"):
        plan_of(write_model(config, {}))


def test_regularizer_larger_than_any_number_is_left_out_with_a_note(
    write_model: Any, configs: Any
) -> None:
    penalty = {"class_name": "L2", "config": {"l2": 10**400}}
    config = configs.sequential(configs.dense("hidden", 3, kernel_regularizer=penalty))

    plan = plan_of(write_model(config, {"hidden": configs.dense_arrays(4, 3)}))

    assert len(plan.moves) == 2


@pytest.mark.parametrize("name", ["maximum", "average", "minimum", "BatchNorm", "relu"])
def test_no_value_is_named_like_a_function_of_the_source(
    write_model: Any, configs: Any, name: str
) -> None:
    config = configs.functional(
        {"x": (None, 4)}, [(configs.layer("Maximum", name), ["x", "x"])], [name]
    )

    plan = plan_of(write_model(config, {}))

    assert plan.architecture.outputs == (f"{name}_2",)


def test_model_is_never_named_like_a_class_of_the_source(write_model: Any, configs: Any) -> None:
    config = configs.sequential(configs.dense("hidden", 3))
    config["config"]["name"] = "batch_norm"

    plan = plan_of(write_model(config, {"hidden": configs.dense_arrays(4, 3)}))

    assert plan.architecture.name == "BatchNorm_2"


def test_input_size_is_taken_from_the_first_kernel_where_nothing_states_it(
    write_model: Any, configs: Any
) -> None:
    config = {
        "class_name": "Sequential",
        "config": [configs.layer("Dropout", "drop", rate=0.5), configs.dense("hidden", 3)],
    }

    plan = plan_of(write_model(config, {"hidden": configs.dense_arrays(4, 3)}, version="2.0.8"))

    assert plan.architecture.inputs[0].shape == (None, 4)


def test_layer_made_frozen_trains_where_keras_3_0_has_slots_for_it(tmp_path: Path) -> None:
    fixture = FIXTURES / "k30_opt_sgd_momentum" / "model.keras"
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(fixture) as given, zipfile.ZipFile(path, "w") as written:
        for name in given.namelist():
            content = given.read(name)
            if name == "config.json":
                config = json.loads(content)
                dense = [x for x in config["config"]["layers"] if x["class_name"] == "Dense"]
                dense[0]["config"]["trainable"] = False
                content = json.dumps(config).encode()
            written.writestr(name, content)

    plan = plan_of(path)

    assert len(plan.parameters) == 6
    assert any("trainable=False too late: dense" in note for note in plan.notes)


@pytest.mark.parametrize("kind", ["Adam", "Adafactor", "NoSuchOptimizer"])
def test_an_optimizer_that_fits_nothing_never_keeps_the_weights_from_converting(
    small_model: Path, kind: str
) -> None:
    checkpoint = read_checkpoint(small_model)
    weights = plan_conversion(checkpoint).moves
    odd = ArrayInfo("Adam/m/other:0", (7,), np.dtype("float32"), lambda: np.zeros(7, "float32"))
    state = OptimizerState(kind, {"learning_rate": 0.1}, [odd], False, 2)

    plan = plan_conversion(replace(checkpoint, optimizer=state))

    assert plan.moves == weights
    assert plan.optimizer is None
    assert plan.slots == ()
    assert any("the optimizer state is not converted: " in note for note in plan.notes)
    assert [name for name, reason in plan.ignored if "optimizer" in reason] == ["Adam/m/other:0"]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_counter_that_is_no_number_leaves_the_optimizer_behind_and_not_the_weights(
    small_model: Path, value: float
) -> None:
    counter = ArrayInfo(
        "SGD/iterations:0", (), np.dtype("float32"), lambda: np.array(value, "float32")
    )
    state = OptimizerState("SGD", {"lr": 0.1}, [counter], True, 2)

    plan = plan_conversion(replace(read_checkpoint(small_model), optimizer=state))

    assert len(plan.moves) == 4
    assert plan.optimizer is None
    assert f"its counter 'SGD/iterations:0' is {value}" in plan.notes[0]


@pytest.mark.parametrize(
    ("option", "expected"), [("clipvalue", True), ("clipnorm", True), ("decay", False)]
)
def test_clipping_of_rows_that_repeat_is_noted(
    write_model: Any, configs: Any, option: str, expected: bool
) -> None:
    table = configs.layer("Embedding", "table", input_dim=3, output_dim=2, input_length=1)
    rows = np.zeros((3, 2), "float32")
    path = write_model(configs.sequential(table), {"table": {"embeddings": rows}})
    state = OptimizerState("SGD", {"learning_rate": 0.1, option: 0.5}, [], True, 2)

    plan = plan_conversion(replace(read_checkpoint(path), optimizer=state))

    assert any("clips the gradient of each time" in note for note in plan.notes) == expected
