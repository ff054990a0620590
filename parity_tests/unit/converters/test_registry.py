from __future__ import annotations

import importlib
import inspect

import pytest

from converters.errors import UnsupportedError, UsageError
from converters.graph import Layer
from converters.layers.activations import ACTIVATIONS, activation_steps
from converters.registry import LAYERS, Lowered, find_layer_rule, layer
from converters.support import SECTIONS, supported
from converters.targets import STOCK_MODULES, TARGETS, Target, register_target


def lower(class_name: str, size: int = 4, **config: object) -> list[tuple[str, dict[str, object]]]:
    rule = find_layer_rule(class_name)
    steps = rule.lower(Layer("layer", class_name, config), (None, size))
    return [(step.op, dict(step.kwargs)) for step in steps]


def test_class_of_a_package_is_near_to_what_is_named_like_itself() -> None:
    with pytest.raises(UnsupportedError) as caught:
        find_layer_rule("Custom>Noisy")

    assert str(caught.value) == "no rule for Keras layer 'Custom>Noisy'"


def test_unknown_layer_names_the_nearest() -> None:
    with pytest.raises(UnsupportedError, match="'Desne'; nearest: Dense"):
        find_layer_rule("Desne")


def test_layer_has_one_rule() -> None:
    with pytest.raises(UsageError, match=r"'Dense' has two rules, converters\.layers\S+ and \S+"):
        layer("Dense")(find_layer_rule("Dense").lower)


def test_operation_has_one_target() -> None:
    with pytest.raises(ValueError, match=r"'nn\.Linear' exists already"):
        register_target("nn.Linear", Target("os:system"))


@pytest.mark.parametrize("key", sorted(TARGETS))
def test_target_exists_and_takes_its_arguments(key: str) -> None:
    target = TARGETS[key]
    module, _, name = target.path.partition(":")

    found = getattr(importlib.import_module(module), name)

    try:
        parameters = inspect.signature(found).parameters
    except ValueError:  # built into torch, where no signature is kept
        assert module in STOCK_MODULES
    else:
        if module == "operator":  # a number beside the tensors, or what stands between brackets
            assert target.kwargs == (("left", "right") if target.infix else ("index",))
        elif not any(value.kind is value.VAR_POSITIONAL for value in parameters.values()):
            assert set(target.kwargs) <= set(parameters)


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_activation_is_an_operation_of_the_table_with_its_arguments(name: str) -> None:
    for step in activation_steps(Layer("a", "Dense", {}), name):
        assert set(step.kwargs) <= set(TARGETS[step.op].kwargs)


def test_layers_of_keras_1_and_2_only_are_lowered_as_worked_by_hand() -> None:
    assert lower("ThresholdedReLU", theta=0.5) == [("compat.thresholded_relu", {"theta": 0.5})]
    assert lower("ThresholdedReLU") == [("compat.thresholded_relu", {"theta": 1.0})]
    assert lower("Activation", activation="hard_sigmoid_keras2") == [
        ("compat.hard_sigmoid_keras2", {})
    ]


@pytest.mark.parametrize("name", ["RandomHeight", "RandomWidth", "Equalization"])
def test_augmentations_that_keras_3_cannot_build_leave_images_as_they_are(name: str) -> None:
    rule = find_layer_rule(name)

    assert rule.lower(Layer("layer", name, {}), (None, 4, 5, 3)) == Lowered((), ("input_0",))
    assert rule.idle_in_training


def test_activation_may_be_a_layer_of_its_own() -> None:
    nested = {"class_name": "LeakyReLU", "config": {"negative_slope": 0.1}}

    assert lower("Dense", units=3, activation=nested)[1] == (
        "F.leaky_relu",
        {"negative_slope": 0.1},
    )


@pytest.mark.parametrize(
    ("activation", "message"),
    [
        ("no_such", "no rule for activation 'no_such'"),
        ({"class_name": "function", "config": "my_function"}, "no rule for activation"),
        ({"class_name": "PReLU", "config": {}}, "has weights"),
        ({"class_name": "Lambda", "config": {}}, "Keras layer 'Lambda' is not converted"),
        ({"class_name": 3}, "is not readable"),
        (["relu"], "no rule for activation"),
    ],
)
def test_activation_without_a_rule_is_refused(activation: object, message: str) -> None:
    with pytest.raises(UnsupportedError, match=message):
        lower("Dense", units=3, activation=activation)


@pytest.mark.parametrize(
    ("class_name", "config", "message"),
    [
        ("Dense", {}, "setting 'units' is None, needed is an integer"),
        ("Dense", {"units": True}, "setting 'units' is True"),
        ("Dense", {"units": 3, "use_bias": "yes"}, "needed is true or false"),
        ("LayerNormalization", {"axis": 0}, "needed is axes of fixed size"),
        ("GroupNormalization", {"groups": 3}, "a divisor of the 4 channels"),
        ("Dropout", {"rate": 0.1, "noise_shape": [1]}, "noise_shape"),
        ("Dropout", {"rate": 0.1, "noise_shape": [None, 3]}, "noise_shape"),
        ("Normalization", {"mean": [float("nan")], "variance": [1.0]}, "finite numbers"),
        ("Discretization", {"bin_boundaries": None}, "a list of finite numbers"),
        ("CategoryEncoding", {"num_tokens": 3, "output_mode": "tf_idf"}, "one_hot, multi_hot"),
        ("LeakyReLU", {"negative_slope": float("nan")}, "needed is a finite number"),
    ],
)
def test_setting_without_a_counterpart_is_refused(
    class_name: str, config: dict[str, object], message: str
) -> None:
    with pytest.raises(UnsupportedError, match=message):
        lower(class_name, **config)


def test_support_lists_every_registry() -> None:
    table = supported()

    assert tuple(table) == SECTIONS
    operations = {f"ops.{name}" for name in table["operations"]}
    assert set(table["layers"]) | operations == set(LAYERS)
    assert {"Dense", "LSTM"} <= set(table["layers"])
    assert {"ops.Add", "ops.Matmul"} <= operations
    assert {"Adam", "SGD"} <= set(table["optimizers"])
    formats = ["onnx", "pt2", "pth", "safetensors", "ur-json", "ur-json-torch"]
    assert table["outputs"] == formats
    assert all(names == sorted(names) and names for names in table.values())


@pytest.mark.parametrize(
    "word", [{"mask": "keep"}, {"numbers": "integers"}], ids=["mask", "numbers"]
)
def test_word_that_a_rule_cannot_say_is_refused(word: dict[str, str]) -> None:
    [(name, value)] = word.items()
    with pytest.raises(ValueError, match=f"{name}='{value}': needed is one of"):
        layer("Unheard", **word)
