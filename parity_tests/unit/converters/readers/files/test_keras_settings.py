from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from converters.checkpoint import ArrayInfo
from converters.errors import UnreadableFileError, UnsafeFileError
from converters.limits import Limits
from converters.readers.files.keras_settings import (
    decode_text,
    optimizer_state,
    parse_architecture,
    read_architecture,
    version_numbers,
)


def slots(*names: str) -> list[ArrayInfo]:
    return [ArrayInfo(name, (), np.dtype("f4"), lambda: np.zeros(())) for name in names]


@pytest.mark.parametrize(
    ("stored", "names", "generation", "version", "legacy"),
    [
        ({"class_name": "Adam", "config": {"lr": 0.1}}, ["Variable:0"], 1, "1.2.2", True),
        ({"class_name": "Adam", "config": {}}, ["Adam/iterations:0"], 2, "2.3.1", True),
        ({"class_name": "Adam", "config": {}}, ["training/Adam/iter:0"], 2, "2.2.4-tf", True),
        ({"class_name": "Adam", "config": {}}, ["Adam/iter:0"], 2, "2.15.0", True),
        ({"class_name": "Custom>Adam", "config": {"is_legacy_optimizer": False}}, ["iteration:0"], 2, "2.15.0", False),
        ({"class_name": "Custom>Adam", "config": {}}, ["iteration:0"], 2, "2.12.0", False),
        ({"module": "keras.optimizers.legacy", "class_name": "Adam", "config": {}}, [], 2, "2.15.0", True),
        ({"module": "keras.optimizers", "class_name": "Adam", "config": {}}, ["optimizer/vars/0"], 2, None, False),
        (
            {"class_name": "LossScaleOptimizerV3", "config": {"inner_optimizer": {"class_name": "Custom>Adam"}}},
            ["iteration:0"], 2, "2.15.0", False,
        ),
        (None, ["iteration:0"], 2, "2.15.0", False),
        (None, ["training/Adam/iter:0"], 2, "2.15.0", True),
        (None, ["optimizer/vars/0"], 2, None, False),
        ({"class_name": "Adam", "config": {}}, ["adam/iteration"], 3, "3.15.1", False),
    ],
)  # fmt: skip
def test_old_optimizers_are_told_from_new_ones(
    stored: dict[str, object] | None,
    names: list[str],
    generation: int,
    version: str | None,
    legacy: bool,
) -> None:
    training = {"optimizer_config": stored} if stored else None

    state = optimizer_state(training, slots(*names), generation=generation, version=version)

    assert state is not None
    assert state.legacy is legacy


def test_prefix_of_the_class_name_is_taken_off() -> None:
    training = {"optimizer": {"class_name": "Custom>AdamW", "config": {"weight_decay": 0.1}}}

    state = optimizer_state(training, [], generation=2, version="2.15.0")

    assert state is not None
    assert (state.kind, dict(state.config)) == ("AdamW", {"weight_decay": 0.1})


@pytest.mark.parametrize("training", [None, {}, {"loss": "mse"}, {"optimizer": "adam"}], ids=str)
def test_no_configuration_and_no_slots_is_no_optimizer(training: dict[str, object] | None) -> None:
    assert optimizer_state(training, [], generation=3, version=None) is None


@pytest.mark.parametrize(
    ("extra", "generation"),
    [
        ({"keras_version": "1.2.2"}, 1),
        ({"keras_version": "2.2.4-tf"}, 2),
        ({"module": "keras", "config": {"layers": [{"config": {"batch_shape": [None, 4]}}]}}, 3),
        (
            {
                "module": "keras",
                "config": {"layers": [{"config": {"batch_input_shape": [None, 4]}}]},
            },
            2,
        ),
        ({}, 2),
    ],
    ids=["version 1", "version 2", "Keras 3", "Keras 2 with modules", "nothing"],
)
def test_generation_of_a_text_is_found(extra: dict[str, object], generation: int) -> None:
    text = json.dumps({"class_name": "Sequential", "config": {}, **extra})

    assert parse_architecture(text, "a.json", Limits()).generation == generation


@pytest.mark.parametrize(
    ("version", "numbers"),
    [("2.2.4-tf", (2, 2, 4)), ("3.15.1", (3, 15, 1)), ("2.16.0rc1", (2, 16)), ("x", ())],
)
def test_version_is_its_leading_numbers(version: str, numbers: tuple[int, ...]) -> None:
    assert version_numbers(version) == numbers


def test_byte_order_mark_is_skipped_and_other_encodings_are_refused(tmp_path: Path) -> None:
    assert decode_text(b"\xef\xbb\xbf{}", "a.json", "text") == "{}"

    with pytest.raises(UnreadableFileError, match=r"a.json: the text is not UTF-8 text \(byte 0\)"):
        decode_text("{}".encode("utf-16"), "a.json", "text")


def test_architecture_text_larger_than_the_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"class_name": "Sequential", "config": {"padding": " " * 500}}))

    with pytest.raises(UnsafeFileError, match="limit is 400"):
        read_architecture(path, Limits(max_json_bytes=400))


def test_configuration_in_yaml_is_read_as_that_in_json(tmp_path: Path) -> None:
    config = {"class_name": "Sequential", "config": [], "keras_version": "1.2.2"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "config.yaml").write_text(
        "class_name: Sequential\nconfig: []\nkeras_version: 1.2.2\n"
    )

    as_json, as_yaml = (
        read_architecture(tmp_path / f"config.{suffix}", Limits()) for suffix in ("json", "yaml")
    )

    assert as_json is not None
    assert as_yaml is not None
    assert (as_yaml.config, as_yaml.version) == (as_json.config, as_json.version)
    assert json.loads(as_yaml.text) == config


def test_file_of_neither_holds_no_configuration(tmp_path: Path) -> None:
    (tmp_path / "config.txt").write_text("class: Sequential\n")

    assert read_architecture(tmp_path / "config.txt", Limits()) is None


@pytest.mark.parametrize(
    ("config", "class_name", "generation"),
    [
        ([{"class_name": "Dense", "config": {}}], "Sequential", 2),
        ({"name": "net", "layers": [{"class_name": "Dense"}]}, "Sequential", 2),
        ({"layers": [{"module": "keras.layers"}]}, "Sequential", 3),
        ({"layers": [{"module": "keras.layers"}], "output_layers": []}, "Functional", 3),
    ],
    ids=["list", "Keras 2", "Keras 3", "functional"],
)
def test_result_of_get_config_is_read_as_that_of_to_json(
    tmp_path: Path, config: object, class_name: str, generation: int
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))

    found = read_architecture(tmp_path / "config.json", Limits())

    assert found is not None
    assert (found.config["class_name"], found.config["config"]) == (class_name, config)
    assert found.generation == generation
