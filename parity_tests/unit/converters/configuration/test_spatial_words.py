from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from converters.configuration.models import parse_model_config
from converters.graph import Layer


def parse_layer(
    class_name: str, config: Mapping[str, object], *, generation: int, version: str | None = None
) -> Layer:
    entries = [{"class_name": class_name, "config": {"name": "layer", **config}}]
    text = json.dumps({"class_name": "Sequential", "config": entries})
    return parse_model_config(text, generation=generation, version=version).layer("layer")


@pytest.mark.parametrize(
    ("class_name", "padding", "wanted"),
    [
        ("ZeroPadding2D", [1, 0, 2, 3], [[1, 0], [2, 3]]),
        ("ZeroPadding2D", [1, 2], [1, 2]),
        ("ZeroPadding2D", {"top_pad": 1, "right_pad": 2}, [[1, 0], [0, 2]]),
        ("ZeroPadding1D", {"left_pad": 2}, [2, 0]),
    ],
    ids=["four sides", "two axes", "named sides", "one named side"],
)
def test_padding_of_keras_1_states_sides_in_four_ways(
    class_name: str, padding: object, wanted: object
) -> None:
    layer = parse_layer(class_name, {"padding": padding}, generation=1)

    assert layer.config["padding"] == wanted


def test_convolution_of_keras_1_is_read_in_words_of_keras_3() -> None:
    config = {
        "nb_filter": 6,
        "nb_row": 3,
        "nb_col": 2,
        "border_mode": "same",
        "subsample": [2, 1],
        "dim_ordering": "tf",
        "bias": False,
    }

    layer = parse_layer("Convolution2D", config, generation=1)

    assert layer.class_name == "Conv2D"
    assert layer.config == {
        "name": "layer",
        "filters": 6,
        "kernel_size": [3, 2],
        "padding": "same",
        "strides": [2, 1],
        "data_format": "channels_last",
        "use_bias": False,
    }


def test_pooling_of_keras_1_is_read_in_words_of_keras_3() -> None:
    layer = parse_layer(
        "MaxPooling1D", {"pool_length": 3, "stride": 2, "border_mode": "valid"}, generation=1
    )

    assert layer.config == {"name": "layer", "pool_size": 3, "strides": 2, "padding": "valid"}


def test_theanos_order_is_channels_first_where_there_is_no_kernel() -> None:
    layer = parse_layer("MaxPooling2D", {"dim_ordering": "th"}, generation=1)

    assert layer.config["data_format"] == "channels_first"


def test_kernel_in_theanos_order_is_said_to_have_the_channels_first() -> None:
    layer = parse_layer("Convolution2D", {"dim_ordering": "th"}, generation=1)

    assert layer.config["data_format"] == "channels_first"
    assert layer.config["kernel_order"] == "channels first"


@pytest.mark.parametrize(("order", "wanted"), [("th", "channels_first"), ("tf", None)])
def test_layers_of_keras_1_without_an_order_take_that_of_the_others(
    order: str, wanted: str | None
) -> None:
    entries = [
        {"class_name": "ZeroPadding2D", "config": {"name": "pad", "padding": [1, 1]}},
        {"class_name": "MaxPooling2D", "config": {"name": "pool", "dim_ordering": order}},
    ]
    text = json.dumps({"class_name": "Sequential", "config": entries})

    layer = parse_model_config(text, generation=1).layer("pad")

    assert layer.config.get("data_format") == wanted


def test_keras_3_words_are_left_alone() -> None:
    layer = parse_layer("MaxPooling1D", {"stride": 2}, generation=3)

    assert layer.config["stride"] == 2


@pytest.mark.parametrize(
    ("generation", "version", "dtype", "ranks"),
    [
        (2, "2.15.0", "float32", (4, 5)),
        (2, "2.2.4-tf", "float32", (4,)),
        (2, "2.1.2", "float32", ()),
        (2, "2.2.4", "float32", (4,)),
        (3, "3.15.1", "float32", ()),
        (2, "2.15.0", "float64", None),
    ],
)
def test_keras_2_normalized_images_with_the_fused_kernel(
    generation: int, version: str, dtype: str, ranks: tuple[int, ...] | None
) -> None:
    layer = parse_layer(
        "BatchNormalization", {"dtype": dtype}, generation=generation, version=version
    )

    assert layer.config.get("fused_ranks") == ranks


@pytest.mark.parametrize(
    ("version", "word"), [("2.2.4", "bilinear between corners"), ("2.2.4-tf", "bilinear")]
)
def test_bilinear_of_standalone_keras_2_is_another(version: str, word: str) -> None:
    config = {"interpolation": "bilinear"}

    layer = parse_layer("UpSampling2D", config, generation=2, version=version)

    assert layer.config["interpolation"] == word


def test_number_stored_as_an_array_is_read_as_a_number() -> None:
    stored = {"class_name": "__numpy__", "config": {"value": 6.0, "dtype": "float32"}}

    assert parse_layer("ReLU", {"max_value": stored}, generation=2).config["max_value"] == 6.0
