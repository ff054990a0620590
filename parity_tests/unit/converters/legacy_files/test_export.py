"""The way back without Keras: what was converted comes back identical, what was trained on comes back changed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import torchward
from converters.checkpoint import StoredFile
from converters.errors import (
    ConversionError,
    MismatchError,
    OutputError,
    UnreadableFileError,
    UnsupportedError,
)
from converters.readers import read_checkpoint
from parity_tests.recorded_layers import LAYERS
from parity_tests.unit.converters.conftest import Configs, WriteModel

FIXTURES = Path(__file__).parents[3] / "fixtures"
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


def contents(path: Path) -> tuple[StoredFile, dict[str, NDArray[Any]]]:
    stored = read_checkpoint(path).stored
    assert stored is not None
    return stored, {name: info.read() for name, info in stored.arrays.items()}


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


@pytest.fixture
def converted(tmp_path: Path) -> Path:
    """Return a converted file of Keras 2.15 with Adam's state."""
    torchward.convert(FIXTURES / "tf215_dqn_seed" / "model.h5", tmp_path / "agent.pth")
    return tmp_path / "agent.pth"


def rewrite(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    content = torch.load(path, weights_only=True)
    change(content)
    torch.save(content, path)
    return path


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


def test_a_changed_weight_comes_back_where_it_was(small_model: Path, tmp_path: Path) -> None:
    torchward.convert(small_model, tmp_path / "agent.pth")
    model = torchward.load(tmp_path / "agent.pth")
    with torch.no_grad():
        model.get_parameter("hidden.weight")[2, 1] = 7.0  # out, in

    torchward.save(tmp_path / "trained.pth", model)
    torchward.export(tmp_path / "trained.pth", tmp_path / "back.h5")

    legacy, back = contents(small_model)[1], contents(tmp_path / "back.h5")[1]
    changed = {
        (name, *place)
        for name, array in back.items()
        for place in zip(*np.nonzero(array != legacy[name]), strict=True)
    }
    assert changed == {("model_weights/hidden/hidden/kernel:0", 1, 2)}  # in, out


def test_a_trained_optimizer_comes_back_with_its_steps(converted: Path, tmp_path: Path) -> None:
    model, optimizer = torchward.load(converted, optimizer=True)
    before = contents(FIXTURES / "tf215_dqn_seed" / "model.h5")[1]
    model(torch.ones(2, 12)).sum().backward()
    optimizer.step()

    torchward.save(tmp_path / "trained.pth", model, optimizer)
    report = torchward.export(tmp_path / "trained.pth", tmp_path / "back.h5")

    after = contents(tmp_path / "back.h5")[1]
    step = "optimizer_weights/iteration:0"
    moment = "optimizer_weights/Adam/m/dense_3/bias:0"
    gradient = 2.0  # of the sum over a batch of two with respect to the bias of the last layer
    assert after[step] == before[step] + 1
    assert report.optimizer == ("Adam", int(after[step]))
    np.testing.assert_allclose(after[moment], 0.9 * before[moment] + 0.1 * gradient, rtol=1e-5)


def test_a_saved_file_is_loaded_and_trained_on(converted: Path, tmp_path: Path) -> None:
    model, optimizer = torchward.load(converted, optimizer=True)
    torchward.save(tmp_path / "trained.pth", model, optimizer)

    again, optimizer_again = torchward.load(tmp_path / "trained.pth", optimizer=True)

    assert optimizer_again.state_dict()["param_groups"] == optimizer.state_dict()["param_groups"]
    x = torch.ones(1, 12)
    assert torch.equal(again.eval()(x), model.eval()(x))


def test_a_changed_learning_rate_stands_in_the_configuration(
    converted: Path, tmp_path: Path
) -> None:
    model, optimizer = torchward.load(converted, optimizer=True)
    optimizer.param_groups[0]["lr"] = 0.125
    torchward.save(tmp_path / "trained.pth", model, optimizer)

    report = torchward.export(tmp_path / "trained.pth", tmp_path / "back.h5")

    # Keras 2 keeps the number in the configuration only.
    training = json.loads(contents(tmp_path / "back.h5")[0].attributes[""]["training_config"])  # type: ignore[arg-type]
    assert training["optimizer_config"]["config"]["learning_rate"] == 0.125
    assert "learning_rate 0.125" in report.notes[0]


def test_the_legacy_file_can_be_named_for_a_bare_state_dict(
    converted: Path, tmp_path: Path
) -> None:
    state = torch.load(converted, weights_only=True)["model_state_dict"]
    torch.save(state, tmp_path / "bare.pth")
    legacy = FIXTURES / "tf215_dqn_seed" / "model.h5"

    report = torchward.export(tmp_path / "bare.pth", tmp_path / "back.h5", like=legacy)

    before, after = contents(legacy)[1], contents(tmp_path / "back.h5")[1]
    weights = [name for name in before if name.startswith("model_weights/")]
    assert set(after) == set(weights)
    assert all(np.array_equal(after[name], before[name]) for name in weights)
    assert report.optimizer is None
    assert report.lost[0][0] == "optimizer state"


def test_the_state_of_torch_adam_goes_back_to_keras_adam(converted: Path, tmp_path: Path) -> None:
    model = torchward.load(converted)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(2, 12)).sum().backward()
    optimizer.step()
    content = {
        "model_state_dict": model.state_dict(),
        "optimizer_state_dict": optimizer.state_dict(),
    }
    torch.save(content, tmp_path / "own.pth")

    torchward.export(tmp_path / "own.pth", tmp_path / "back.h5", like=converted)

    after = contents(tmp_path / "back.h5")[1]
    assert after["optimizer_weights/iteration:0"] == 1
    moment = after["optimizer_weights/Adam/m/dense_3/bias:0"]
    np.testing.assert_allclose(moment, 0.1 * 2.0, rtol=1e-6)


def test_the_state_of_another_torch_optimizer_is_not_carried(
    converted: Path, tmp_path: Path
) -> None:
    model = torchward.load(converted)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(torch.ones(2, 12)).sum().backward()
    optimizer.step()
    torchward.save(tmp_path / "trained.pth", model, optimizer)

    report = torchward.export(tmp_path / "trained.pth", tmp_path / "back.h5")

    assert report.optimizer is None
    assert "torch.optim" in report.lost[0][1]
    assert not [name for name in contents(tmp_path / "back.h5")[1] if "optimizer" in name]


def test_a_module_of_emitted_source_is_saved_like_the_file_it_loads(
    converted: Path, tmp_path: Path
) -> None:
    plain = torch.nn.Module()
    for name, layer in torchward.load(converted).named_children():
        plain.add_module(name, layer)

    with pytest.raises(UnsupportedError, match="does not say which converted file") as refused:
        torchward.save(tmp_path / "trained.pth", plain)
    torchward.save(tmp_path / "trained.pth", plain, like=converted)

    assert "like=" in str(refused.value.hint)
    assert torchward.export(tmp_path / "trained.pth", tmp_path / "back.h5").parameters > 0


def drop_tensor(content: dict[str, Any]) -> None:
    del content["model_state_dict"]["dense.weight"]


def add_tensor(content: dict[str, Any]) -> None:
    content["model_state_dict"]["other.weight"] = torch.zeros(2)


def transpose_tensor(content: dict[str, Any]) -> None:
    state = content["model_state_dict"]
    state["dense.weight"] = state["dense.weight"].T.contiguous()


@pytest.mark.parametrize("change", [drop_tensor, add_tensor, transpose_tensor])
def test_the_state_of_another_module_is_refused(
    change: Callable[[dict[str, Any]], None], converted: Path, tmp_path: Path
) -> None:
    rewrite(converted, change)

    with pytest.raises(MismatchError, match=r"dense\.weight|other\.weight"):
        torchward.export(converted, tmp_path / "back.h5")

    assert not (tmp_path / "back.h5").exists()


def test_fewer_steps_of_the_optimizer_are_not_made_up(converted: Path, tmp_path: Path) -> None:
    rewrite(converted, lambda content: content["optimizer_state_dict"]["state"].pop(3))

    report = torchward.export(converted, tmp_path / "back.h5")

    assert report.optimizer is None
    assert "has no 'exp_avg'" in report.lost[0][1]


def no_record(record: dict[str, Any]) -> None:
    record.clear()


def wrong_format(record: dict[str, Any]) -> None:
    record["format"] = "onnx"


def negative_size(record: dict[str, Any]) -> None:
    record["arrays"][0][2] = [-1]


def huge_size(record: dict[str, Any]) -> None:
    record["arrays"][0][2] = [2**40]


def object_dtype(record: dict[str, Any]) -> None:
    record["arrays"][0][1] = "|O8"


def kept_of_another_size(record: dict[str, Any]) -> None:
    record["kept"][record["arrays"][0][0]] = "AAA="


def slot_of_no_array(record: dict[str, Any]) -> None:
    record["optimizer"]["slots"]["exp_avg"][0] = "nowhere"


def number_as_text(record: dict[str, Any]) -> None:
    record["groups"] = [1]


def text_as_attributes(record: dict[str, Any]) -> None:
    record["attributes"] = {"": "model_config"}


@pytest.mark.parametrize(
    "change",
    [
        no_record,
        wrong_format,
        negative_size,
        huge_size,
        object_dtype,
        kept_of_another_size,
        slot_of_no_array,
        number_as_text,
        text_as_attributes,
    ],
)
def test_a_damaged_record_is_one_clear_error(
    change: Callable[[dict[str, Any]], None], converted: Path, tmp_path: Path
) -> None:
    rewrite(converted, lambda content: change(content["metadata"]["legacy"]))

    with pytest.raises(UnreadableFileError, match="legacy file"):
        torchward.export(converted, tmp_path / "back.h5")


@pytest.mark.parametrize("path", ["../outside", "/absolute", "a\0b", "model_weights"])
def test_names_that_make_no_file_are_refused(path: str, converted: Path, tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        record = content["metadata"]["legacy"]
        record["arrays"].append([path, "<f4", []])
        record["kept"][path] = "AAAAAA=="

    rewrite(converted, change)

    with pytest.raises(ConversionError):
        torchward.export(converted, tmp_path / "back.h5")

    assert sorted(file.name for file in tmp_path.iterdir()) == ["agent.pth", "agent.pth.json"]


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


@pytest.mark.parametrize("name", ["k231_dqn_cartpole/model.h5", "k122_dqn/model.h5"])
def test_old_configurations_are_not_put_into_archives(name: str, tmp_path: Path) -> None:
    torchward.convert(FIXTURES / name, tmp_path / "agent.pth")

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
    assert "wrote           back.h5" in printed


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
