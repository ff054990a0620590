from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import torchward
from converters.checkpoint import ArrayInfo
from converters.errors import MismatchError, UnreadableFileError
from converters.layouts import Layout
from converters.moves import Move
from converters.verify import _identical
from parity_tests import FIXTURES

CASE = FIXTURES / "k315_mlp_named"


@pytest.fixture
def converted(tmp_path: Path) -> Path:
    torchward.convert(CASE / "model.keras", tmp_path / "m.pth")
    return tmp_path / "m.pth"


def checks_of(source: Path, converted: Path, **options: Any) -> dict[str, bool]:
    report = torchward.verify(source, converted, **options)
    return {check.name: check.passed for check in report.checks}


@pytest.mark.parametrize(
    ("case", "file"),
    [
        ("k315_mlp_named", "model.keras"),
        ("k315_bn_mlp", "model.h5"),
        ("k315_actor_critic", "model.weights.h5"),
        ("tf215_dqn_seed", "model.h5"),
        ("k224_ddpg_critic_bn", "model.h5"),
    ],
)
def test_recorded_model_is_verified_with_all_checks(case: str, file: str, tmp_path: Path) -> None:
    folder = FIXTURES / case
    architecture = folder / "model.json" if file == "model.weights.h5" else None
    torchward.convert(folder / file, tmp_path / "m.pth", architecture=architecture)

    report = torchward.verify(
        folder / file,
        tmp_path / "m.pth",
        expected=folder / "expected.npz",
        architecture=architecture,
    )

    assert report.passed
    names = [check.name for check in report.checks]
    assert names[:3] == ["values", "optimizer", "outputs"]
    assert json.loads(json.dumps(report.to_data()))["passed"] is True


def test_a_kernel_of_one_input_is_compared_whatever_its_strides(tmp_path: Path) -> None:
    kernel = np.arange(3, dtype=np.float32).reshape(1, 3)
    weight = torch.from_numpy(kernel).T
    source = ArrayInfo("kernel", kernel.shape, kernel.dtype, lambda: kernel)
    move = Move(source, "weight", Layout.parse("in out -> out in"))

    assert weight.is_contiguous()
    assert weight.stride() != (1, 1)
    assert _identical(move, weight)
    assert not _identical(move, weight + 1)


def test_training_is_continued_with_moving_statistics_and_all_losses(tmp_path: Path) -> None:
    for case in ("k315_bn_mlp", "k224_a3c_two_heads"):
        source = min(p for p in (FIXTURES / case).glob("model.*") if p.suffix in (".h5", ".keras"))
        torchward.convert(source, tmp_path / "m.pth", force=True)

        found = checks_of(source, tmp_path / "m.pth", expected=FIXTURES / case / "expected.npz")

        assert found["continued losses"]
        assert found["continued outputs"]


@pytest.mark.parametrize(
    "fault", ["one bit", "transposed square", "optimizer state", "swapped layers", "minus zero"]
)
def test_changed_file_fails_its_check(
    fault: str, write_model: Any, configs: Any, tmp_path: Path
) -> None:
    if fault == "optimizer state":
        source = CASE / "model.keras"
    else:
        arrays = {"a": configs.dense_arrays(4, 4), "b": configs.dense_arrays(4, 4, 1)}
        arrays["a"]["bias"][0] = 0.0
        config = configs.sequential(configs.dense("a", 4), configs.dense("b", 4))
        source = write_model(config, arrays)
    torchward.convert(source, tmp_path / "m.pth")
    stored = torch.load(tmp_path / "m.pth", weights_only=True)
    state = stored["model_state_dict"]
    if fault == "one bit":
        state["a.weight"].view(torch.int32)[0, 0] ^= 1
    elif fault == "transposed square":
        state["a.weight"] = state["a.weight"].T.contiguous()
    elif fault == "swapped layers":
        state["a.weight"], state["b.weight"] = state["b.weight"], state["a.weight"]
    elif fault == "minus zero":
        state["a.bias"][0] = -0.0
    else:
        next(iter(stored["optimizer_state_dict"]["state"][1].values()))[0] += 1
    torch.save(stored, tmp_path / "m.pth")

    found = checks_of(source, tmp_path / "m.pth")

    assert found["values"] is (fault == "optimizer state")
    assert found.get("optimizer", True) is (fault != "optimizer state")


@pytest.mark.parametrize(
    ("key", "check"),
    [("y0", "outputs"), ("yafter0", "continued outputs"), ("resume_loss", "continued losses")],
)
@pytest.mark.parametrize("value", [1e-2, np.nan], ids=["off", "NaN"])
def test_other_recorded_numbers_fail_their_check(
    key: str, check: str, value: float, converted: Path, tmp_path: Path
) -> None:
    with np.load(CASE / "expected.npz") as file:
        arrays = {name: file[name] for name in file.files}
    arrays[key] = arrays[key] + np.float32(value)
    np.savez(tmp_path / "other.npz", **arrays)

    found = checks_of(CASE / "model.keras", converted, expected=tmp_path / "other.npz")

    assert [name for name, passed in found.items() if not passed] == [check]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "hold no x0, ... with y0"),
        (
            {"x0": np.zeros((2, 6)), "y0": np.zeros((2, 1)), "y1": np.zeros(2)},
            "1 outputs, recorded are 2",
        ),
    ],
)
def test_recorded_arrays_of_another_model_are_refused(
    arrays: dict[str, Any], message: str, small_model: Path, tmp_path: Path
) -> None:
    torchward.convert(small_model, tmp_path / "m.pth")
    if "x0" in arrays:
        arrays = {**arrays, "x0": np.zeros((2, 4), np.float32)}
    np.savez(tmp_path / "other.npz", **arrays)

    with pytest.raises(MismatchError, match=message):
        torchward.verify(small_model, tmp_path / "m.pth", expected=tmp_path / "other.npz")


def test_nan_in_a_later_output_fails_the_check(tmp_path: Path) -> None:
    case = FIXTURES / "k315_actor_critic"
    torchward.convert(case / "model.keras", tmp_path / "m.pth")
    with np.load(case / "expected.npz") as file:
        arrays = {name: file[name] for name in ("x0", "y0", "y1")}
    arrays["y1"].flat[0] = np.nan
    np.savez(tmp_path / "other.npz", **arrays)

    found = checks_of(case / "model.keras", tmp_path / "m.pth", expected=tmp_path / "other.npz")

    assert not found["outputs"]


@pytest.mark.parametrize("damage", ["one array", "compression", "method"])
def test_file_of_no_readable_arrays_is_one_error(
    damage: str, converted: Path, tmp_path: Path
) -> None:
    path = tmp_path / "other.npz"
    np.savez_compressed(path, x0=np.random.default_rng(0).normal(size=1000))
    data = bytearray(path.read_bytes())
    if damage == "compression":
        data[200:260] = bytes([255] * 60)
    else:
        data[data.rfind(b"PK\x01\x02") + 10] = 99
    path.write_bytes(data)
    if damage == "one array":
        with path.open("wb") as file:
            np.save(file, np.zeros(3))

    with pytest.raises(UnreadableFileError, match=r"other\.npz: is no \.npz of recorded arrays"):
        torchward.verify(CASE / "model.keras", converted, expected=path)


def test_recorded_objects_are_not_unpickled(converted: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "objects.npz", x0=np.array([{}], dtype=object))

    with pytest.raises(UnreadableFileError, match=r"objects\.npz"):
        torchward.verify(CASE / "model.keras", converted, expected=tmp_path / "objects.npz")


def test_inputs_of_another_width_are_one_error(converted: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", x0=np.zeros((2, 99), np.float32), y0=np.zeros((2, 3)))

    with pytest.raises(MismatchError, match=r"does not take the recorded inputs \(\(2, 99\)"):
        torchward.verify(CASE / "model.keras", converted, expected=tmp_path / "other.npz")


def test_file_of_another_model_fails(converted: Path) -> None:
    other = FIXTURES / "k315_opt_sgd" / "model.keras"

    assert not torchward.verify(other, converted).passed


def test_check_counts_the_tensors_that_are_equal(
    write_model: Any, configs: Any, tmp_path: Path
) -> None:
    layers = [f"layer{index}" for index in range(4)]
    arrays = {name: configs.dense_arrays(4, 4, index) for index, name in enumerate(layers)}
    config = configs.sequential(*(configs.dense(name, 4) for name in layers))
    torchward.convert(write_model(config, arrays), tmp_path / "m.pth")
    others = {name: configs.dense_arrays(4, 4, 10 + index) for index, name in enumerate(layers)}
    others["layer3"]["kernel"] = arrays["layer3"]["kernel"]

    report = torchward.verify(write_model(config, others, name="others.h5"), tmp_path / "m.pth")

    (values,) = report.checks
    assert values.compared == "1 of 8 tensors, bit for bit"
    assert values.problem is not None
    assert values.problem.endswith("layer2.weight and 2 more")


def test_what_both_files_assume_is_not_told_as_proved(tmp_path: Path) -> None:
    case = FIXTURES / "k315_subclassed_dqn"
    torchward.convert(case / "model.weights.h5", tmp_path / "m.pth")

    alone = torchward.verify(case / "model.weights.h5", tmp_path / "m.pth")
    recorded = torchward.verify(
        case / "model.weights.h5", tmp_path / "m.pth", expected=case / "expected.npz"
    )

    assert "is assumed" in alone.verdict
    assert any("relu after 'layers/dense'" in note for note in alone.notes)
    assert (recorded.verdict, recorded.notes) == ("the two files hold the same model", ())


def edited(converted: Path, edit: dict[str, str], **metadata: str) -> None:
    """Replace operations in a converted file, or what it says of itself."""
    stored = torch.load(converted, weights_only=True)
    for step in stored["architecture"]["steps"]:
        step["op"] = edit.get(step["op"], step["op"])
    stored["metadata"].update(metadata)
    torch.save(stored, converted)


def test_file_with_the_same_arrays_and_another_activation_fails(converted: Path) -> None:
    assert checks_of(CASE / "model.keras", converted) == {"values": True, "optimizer": True}
    edited(converted, {"torch.tanh": "F.relu"})

    report = torchward.verify(CASE / "model.keras", converted)

    [problem] = [check.problem for check in report.checks if not check.passed]
    assert problem is not None
    assert problem.startswith("not that of the source: ")
    assert problem.endswith(": F.relu, in the source torch.tanh")


def test_computation_in_a_file_of_another_version_is_said_to_be_left_out(converted: Path) -> None:
    edited(converted, {"torch.tanh": "F.relu"}, torchward_version="0.0.1")

    report = torchward.verify(CASE / "model.keras", converted)

    assert report.passed
    [check] = [check for check in report.checks if check.name == "computation"]
    assert check.skipped
    assert "written by torchward 0.0.1" in check.compared


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
def test_images_in_another_layout_are_no_other_computation(layout: str, tmp_path: Path) -> None:
    source = FIXTURES / "k315_conv_bn" / "model.h5"
    torchward.convert(source, tmp_path / "m.pth", input_layout=layout)

    assert all(checks_of(source, tmp_path / "m.pth").values())
    assert "computation" not in checks_of(source, tmp_path / "m.pth")
