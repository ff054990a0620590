"""The way back without Keras: what was converted comes back identical, what was trained on comes back changed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import h5py
import pytest
import torch

import torchward
from converters.errors import (
    OutputError,
    UnreadableFileError,
    UnsupportedError,
)
from converters.legacy_files.export import changed_options
from parity_tests import FIXTURES
from parity_tests.recorded_layers import LAYERS
from parity_tests.unit.converters.conftest import Configs, WriteModel
from parity_tests.unit.converters.legacy_files.converted_files import (
    contents,
    rewrite,
)

SUFFIXES = {"keras-weights-h5": ".weights.h5", "keras-archive": ".keras"}
# One of every producer, format and family of optimizers; the others are slow only by their number.
QUICK = (
    "k122_dqn/model.h5",
    "k208_dqn/weights.h5",
    "k224_recurrent/model.h5",
    "k231_nested_and_dropout/model.h5",
    "tf115keras_recurrent/model.h5",
    "tf212_actor_critic/model.keras",
    "tf212_conv_bn/model_v3.keras",
    "tf215_opt_legacy_adam/model.h5",
    "tf215_dqn_seed/model.weights.h5",
    "tf215_nested_bn/model.keras",
    "k30_gru_policy/model.h5",
    "k315_nested_bn/model.keras",
    "k315_opt_adam_amsgrad/model.keras",
    "k315_dqn_seed/model.weights.h5",
)


def fixtures() -> list[Any]:
    """Return every fixture that converts: whole models, and weights beside a configuration."""
    found = [path for pattern in ("*/*.h5", "*/*.keras") for path in FIXTURES.glob(pattern)]
    whole = [
        str(path.relative_to(FIXTURES))
        for path in sorted(found)
        if path.name.startswith("model") or (path.parent / "model.json").exists()
    ]
    without_configuration = [
        name
        for name in whole
        if name.endswith(".weights.h5") and not (FIXTURES / name).with_name("model.json").exists()
    ]
    names = [name for name in whole if name not in without_configuration]
    marks = {name: () if name in QUICK else (pytest.mark.slow,) for name in names}
    return [pytest.param(name, marks=marks[name]) for name in names]


def convert_fixture(name: str, target: Path) -> str:
    """Convert a fixture and return the ending of its format."""
    source = FIXTURES / name
    architecture = source.with_name("model.json")
    is_whole = source.name.startswith("model") and not source.name.endswith(".weights.h5")
    layers = LAYERS.get(source.parent.name)
    torchward.convert(
        source, target, architecture=None if is_whole else architecture, layers=layers
    )
    return SUFFIXES.get(contents(source)[0].format, ".h5")


@pytest.mark.parametrize("name", fixtures())
def test_a_file_comes_back_with_identical_arrays_names_and_texts(name: str, tmp_path: Path) -> None:
    suffix = convert_fixture(name, tmp_path / "converted.pth")

    report = torchward.export(tmp_path / "converted.pth", tmp_path / f"back{suffix}")

    legacy, legacy_arrays = contents(FIXTURES / name)
    back, back_arrays = contents(tmp_path / f"back{suffix}")
    assert set(back_arrays) == set(legacy_arrays)
    for path, array in legacy_arrays.items():
        assert back_arrays[path].dtype == array.dtype, path
        assert back_arrays[path].shape == array.shape, path
        assert back_arrays[path].tobytes() == array.tobytes(), path
    assert (back.groups, back.attributes, back.members) == (
        legacy.groups,
        legacy.attributes,
        legacy.members,
    )
    assert report.lost == ()


@pytest.mark.parametrize("name", ["tf215_dqn_seed/model.h5", "k315_gru_policy/model.keras"])
def test_the_same_file_gives_the_same_bytes(name: str, tmp_path: Path) -> None:
    suffix = convert_fixture(name, tmp_path / "converted.pth")

    for output in ("a", "b"):
        torchward.export(tmp_path / "converted.pth", tmp_path / f"{output}{suffix}")

    first, second = ((tmp_path / f"{output}{suffix}").read_bytes() for output in ("a", "b"))
    assert first == second


def test_safetensors_goes_back_like_pth(tmp_path: Path) -> None:
    convert_fixture("k315_gru_policy/model.keras", tmp_path / "agent.safetensors")
    convert_fixture("k315_gru_policy/model.keras", tmp_path / "agent.pth")

    for name in ("agent.safetensors", "agent.pth"):
        torchward.export(tmp_path / name, tmp_path / f"{name}.keras")

    both = [(tmp_path / f"agent.{kind}.keras").read_bytes() for kind in ("safetensors", "pth")]
    assert both[0] == both[1]


def test_an_existing_output_is_kept_without_force(converted: Path, tmp_path: Path) -> None:
    (tmp_path / "back.h5").write_text("mine")

    with pytest.raises(OutputError, match="exists already"):
        torchward.export(converted, tmp_path / "back.h5")
    torchward.export(converted, tmp_path / "back.h5", force=True)

    assert h5py.is_hdf5(tmp_path / "back.h5")


@pytest.mark.parametrize("name", ["agent.h5", "agent.keras"])
def test_a_legacy_file_is_not_exported(name: str, tmp_path: Path) -> None:
    shutil.copy(FIXTURES / "tf215_dqn_seed" / f"model{Path(name).suffix}", tmp_path / name)

    with pytest.raises(UnreadableFileError, match="is a legacy file already"):
        torchward.export(tmp_path / name, tmp_path / "back.h5")


def test_a_file_without_record_asks_for_the_legacy_file(converted: Path, tmp_path: Path) -> None:
    rewrite(converted, lambda content: content["metadata"].pop("legacy"))

    with pytest.raises(UnsupportedError, match="does not say which legacy file") as refused:
        torchward.export(converted, tmp_path / "back.h5")

    assert "--like" in str(refused.value.hint)


def test_an_unknown_ending_is_refused(converted: Path, tmp_path: Path) -> None:
    with pytest.raises(UnreadableFileError, match="no legacy format has this ending"):
        torchward.export(converted, tmp_path / "back.onnx")


def test_half_precision_is_written_in_the_type_of_the_legacy_file(
    small_model: Path, tmp_path: Path
) -> None:
    torchward.convert(small_model, tmp_path / "agent.pth")
    torchward.save(tmp_path / "half.pth", torchward.load(tmp_path / "agent.pth").bfloat16())

    report = torchward.export(tmp_path / "half.pth", tmp_path / "back.h5")

    assert {array.dtype.str for array in contents(tmp_path / "back.h5")[1].values()} == {"<f4"}
    assert report.notes == (
        "tensors of type bfloat16 are written as float32, the type of the legacy file",
    )


@pytest.mark.slow
def test_long_lists_of_names_are_split_as_keras_does(
    write_model: WriteModel, configs: Configs, tmp_path: Path
) -> None:
    names = [f"layer_{index:03}_{'x' * 600}" for index in range(120)]  # 73,320 bytes
    config = configs.sequential(*(configs.dense(name, 4) for name in names))
    arrays = {name: configs.dense_arrays(4, 4, seed) for seed, name in enumerate(names)}
    source = write_model(config, {}, name="long.h5")
    with h5py.File(source, "r+") as file:
        root = file["model_weights"]
        del root.attrs["layer_names"]
        for part in (0, 1):
            half = names[60 * part : 60 * (part + 1)]
            root.attrs[f"layer_names{part}"] = [name.encode() for name in half]
        for name, weights in arrays.items():
            group = root.create_group(name)
            group.attrs["weight_names"] = [role.encode() for role in weights]
            for role, array in weights.items():
                group[role] = array
    torchward.convert(source, tmp_path / "agent.pth")

    torchward.export(tmp_path / "agent.pth", tmp_path / "back.h5")

    with h5py.File(tmp_path / "back.h5") as file:
        attributes = file["model_weights"].attrs
        assert "layer_names" not in attributes
        parts = [*attributes["layer_names0"], *attributes["layer_names1"]]
        assert [name.decode() for name in parts] == names
        assert max(attributes[f"layer_names{part}"].nbytes for part in (0, 1)) <= 64512


CROSSINGS = [
    ("k315_nested_bn/model.keras", "back.h5"),
    ("k315_nested_bn/model.h5", "back.keras"),
    ("k315_gru_policy/model.h5", "back.weights.h5"),
    ("k315_lstm_stack_td/model.keras", "back.h5"),
    ("k30_dqn_seed/model.h5", "back.keras"),
    ("tf215_nested_bn/model.h5", "back.weights.h5"),
    ("tf215_lstm_policy/model.keras", "back.h5"),
]


@pytest.mark.parametrize(("name", "output"), CROSSINGS, ids=[f"{n} to {o}" for n, o in CROSSINGS])
def test_another_format_converts_to_the_same_module(name: str, output: str, tmp_path: Path) -> None:
    torchward.convert(FIXTURES / name, tmp_path / "first.pth")
    configuration = None
    if output.endswith(".weights.h5"):
        text = contents(FIXTURES / name)[0].attributes[""]["model_config"]
        configuration = tmp_path / "model.json"
        assert isinstance(text, str)
        configuration.write_text(
            json.dumps(
                {
                    **json.loads(text),
                    "keras_version": "3.0.0" if name.startswith("k3") else "2.15.0",
                }
            )
        )

    torchward.export(tmp_path / "first.pth", tmp_path / output)
    torchward.convert(tmp_path / output, tmp_path / "second.pth", architecture=configuration)

    first, second = (
        torch.load(tmp_path / file, weights_only=True) for file in ("first.pth", "second.pth")
    )
    assert list(first["model_state_dict"]) == list(second["model_state_dict"])
    for key, tensor in first["model_state_dict"].items():
        assert torch.equal(tensor, second["model_state_dict"][key]), key
    if configuration is None:
        states = [file["optimizer_state_dict"] for file in (first, second)]
        assert states[0]["param_groups"] == states[1]["param_groups"]
        for index, slots in states[0]["state"].items():
            for slot, tensor in slots.items():
                assert torch.equal(tensor, states[1]["state"][index][slot]), (index, slot)


def test_configurations_of_keras_1_are_not_put_into_archives(tmp_path: Path) -> None:
    torchward.convert(FIXTURES / "k122_dqn/model.h5", tmp_path / "agent.pth")

    with pytest.raises(UnsupportedError, match=r"Keras \d") as refused:
        torchward.export(tmp_path / "agent.pth", tmp_path / "back.keras")

    assert ".h5" in str(refused.value.hint)


def test_the_command_says_what_went_back_and_what_did_not(
    converted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rewrite(converted, lambda content: content.update(optimizer_state_dict=None))

    code = torchward.main(["export", str(converted), "-o", str(tmp_path / "back.h5")])

    printed = capsys.readouterr().out
    assert code == 0
    assert "goes back to Keras 2.15.0, keras-h5" in printed
    assert "not carried: optimizer state" in printed
    assert f"wrote           {tmp_path / 'back.h5'}" in printed


def test_the_command_ends_with_one_line_for_a_legacy_file(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = torchward.main(["export", str(FIXTURES / "tf215_dqn_seed" / "model.h5")])

    error, hint = capsys.readouterr().err.splitlines()
    assert code == 3
    assert error.startswith("error: ")
    assert hint.startswith("hint: torchward convert ")


def test_json_names_every_array(
    converted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torchward.main(["export", str(converted), "-o", str(tmp_path / "back.h5"), "--json"])

    report = json.loads(capsys.readouterr().out)
    assert {path for path, _ in report["arrays"]} == set(contents(tmp_path / "back.h5")[1])
    assert report["optimizer"]["class"] == "Adam"


def test_a_loss_scale_that_moved_is_no_changed_option() -> None:
    converted = {"dynamic_scale": 16.0, "rho": 0.5, "momentum": 0.5}
    group = {"dynamic_scale": 32.0, "rho": 0.25, "momentum": 0.5}
    assert changed_options(converted, group) == {"rho": 0.25}
