from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

import torchward
from converters.errors import OutputError, UnsupportedError
from converters.registry import LAYERS
from converters.targets import TARGETS
from converters.writers import output_file
from parity_tests import FIXTURES

WITH_OPTIMIZER = FIXTURES / "k315_dqn_seed" / "model.keras"


@pytest.mark.parametrize("format", ["pth", "safetensors"])
def test_same_input_gives_the_same_bytes_under_any_name(format: str, tmp_path: Path) -> None:
    names = [f"first.{format}", f"a quite different name.{format}"]
    (tmp_path / "other folder").mkdir()
    outputs = [tmp_path / names[0], tmp_path / "other folder" / names[1]]
    source = tmp_path / "other folder" / "model.keras"
    shutil.copyfile(WITH_OPTIMIZER, source)

    torchward.convert(WITH_OPTIMIZER, outputs[0], format=format)
    torchward.convert(source, outputs[1], format=format)
    first = outputs[0].read_bytes()
    torchward.convert(WITH_OPTIMIZER, outputs[0], format=format, force=True)

    assert outputs[0].read_bytes() == first
    assert outputs[1].read_bytes() == first


@pytest.mark.slow
def test_same_input_gives_the_same_bytes_in_every_process(tmp_path: Path) -> None:
    agent, made = FIXTURES / "baselines_deepq_cartpole" / "model.pkl", []
    for seed in ("0", "1"):  # of the hashes that sets are ordered by
        output = tmp_path / f"{seed}.pth"
        code = f"import torchward; torchward.convert({str(agent)!r}, {str(output)!r})"
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, "-c", code], env=environment, check=True)
        made.append(output.read_bytes())

    assert made[0] == made[1]


def test_sidecar_says_what_was_done(small_model: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.pth"

    report = torchward.convert(small_model, output, source_code=tmp_path / "net.py")

    sidecar = json.loads((tmp_path / "out.pth.json").read_text())
    assert sidecar == json.loads(json.dumps(report.to_data()))
    assert sidecar["input"]["file"] == "model.h5"
    assert sidecar["input"]["sha256"] == hashlib.sha256(small_model.read_bytes()).hexdigest()
    assert sidecar["input"]["size"] == small_model.stat().st_size
    assert sidecar["output"] == {
        "file": "out.pth",
        "format": "pth",
        "sha256": hashlib.sha256(output.read_bytes()).hexdigest(),
        "size": output.stat().st_size,
        "source_code": "net.py",
    }
    assert sidecar["layers"] == {"Dense": 2}
    assert sidecar["parameters"] == 4 * 3 + 3 + 3 * 2 + 2
    assert sidecar["tensors"][0] == {
        "source": "model_weights/hidden/hidden/kernel:0",
        "source_shape": [4, 3],
        "target": "hidden.weight",
        "target_shape": [3, 4],
        "layout": "in out -> out in",
    }
    assert sidecar["ignored"] == []
    assert str(tmp_path) not in json.dumps(sidecar)


def test_metadata_inside_is_the_report_without_the_files_own_checksum(
    small_model: Path, tmp_path: Path
) -> None:
    report = torchward.convert(small_model, tmp_path / "out.pth")

    stored = torch.load(tmp_path / "out.pth", weights_only=True)["metadata"]

    wanted = json.loads(json.dumps(report.to_data()))
    del wanted["output"]
    assert stored.pop("legacy")["format"] == "keras-h5"  # for the way back
    assert stored == wanted


def folder_content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("taken", ["out.pth", "out.pth.json", "net.py"])
def test_existing_output_is_refused_before_anything_is_read(taken: str, tmp_path: Path) -> None:
    (tmp_path / taken).write_text("mine")
    damaged = tmp_path / "damaged.h5"
    damaged.write_bytes(b"not a model")

    with pytest.raises(OutputError, match="exists already") as caught:
        torchward.convert(damaged, tmp_path / "out.pth", source_code=tmp_path / "net.py")

    assert caught.value.exit_code == 6
    assert "--force" in str(caught.value.hint)
    assert folder_content(tmp_path) == {taken: b"mine", "damaged.h5": b"not a model"}


def test_force_replaces_all_outputs(small_model: Path, tmp_path: Path) -> None:
    for name in ("out.pth", "out.pth.json", "net.py"):
        (tmp_path / name).write_text("old")

    torchward.convert(
        small_model, tmp_path / "out.pth", source_code=tmp_path / "net.py", force=True
    )

    assert all(content != b"old" for content in folder_content(tmp_path).values())
    assert len(folder_content(tmp_path)) == 4


@pytest.mark.parametrize("force", [False, True])
def test_input_is_never_replaced(small_model: Path, tmp_path: Path, force: bool) -> None:
    before = small_model.read_bytes()
    os.link(small_model, tmp_path / "same.h5")

    for target in (small_model, tmp_path / "same.h5"):
        with pytest.raises(OutputError, match="would replace the input"):
            torchward.convert(small_model, target, format="pth", force=force)

    assert small_model.read_bytes() == before


def test_folder_as_output_takes_the_inputs_name(small_model: Path, tmp_path: Path) -> None:
    (tmp_path / "converted").mkdir()

    torchward.convert(small_model, tmp_path / "converted", format="safetensors")

    names = {path.name for path in (tmp_path / "converted").iterdir()}
    assert names == {"model.safetensors", "model.safetensors.json"}


def test_missing_folder_is_named_with_the_way_out(small_model: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="does not exist") as caught:
        torchward.convert(small_model, tmp_path / "new" / "out.pth")

    assert str(caught.value.hint).startswith("mkdir -p ")


class FullDisk:
    """`os.fsync` of a disk that is full when the file of this number is written."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __call__(self, _descriptor: int) -> None:
        self.number -= 1
        if self.number == 0:
            raise OSError(28, "No space left on device")


@pytest.mark.parametrize("number", [1, 2, 3], ids=["weights", "source", "report"])
def test_nothing_is_left_when_writing_fails(
    small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    (tmp_path / "out.pth").write_bytes(b"old")
    before = folder_content(tmp_path)
    monkeypatch.setattr(output_file.os, "fsync", FullDisk(number))

    with pytest.raises(OutputError, match="cannot be written: No space left on device"):
        torchward.convert(
            small_model, tmp_path / "out.pth", source_code=tmp_path / "net.py", force=True
        )

    assert folder_content(tmp_path) == before


@pytest.mark.skipif(sys.platform == "win32", reason="folders have no write bit there")
@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser writes everywhere")
def test_folder_without_permission_is_an_output_error(small_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)

    with pytest.raises(OutputError, match="cannot be written"):
        torchward.convert(small_model, folder / "out.pth")


def test_nan_is_kept_and_refused_when_strict(
    write_model: Any, configs: Any, tmp_path: Path
) -> None:
    arrays = configs.dense_arrays(4, 3)
    arrays["kernel"][1, 2] = np.nan
    path = write_model(configs.sequential(configs.dense("hidden", 3)), {"hidden": arrays})

    with pytest.raises(UnsupportedError, match="NaN or infinity: model_weights/hidden") as caught:
        torchward.convert(path, tmp_path / "strict.pth", strict=True)
    report = torchward.convert(path, tmp_path / "kept.pth")

    assert caught.value.exit_code == 4
    assert not any(tmp_path.glob("strict*"))
    (warning,) = report.warnings
    assert warning.startswith("arrays with NaN or infinity: model_weights/hidden")
    stored = torch.load(tmp_path / "kept.pth", weights_only=True)["metadata"]
    assert stored["warnings"] == [warning]
    assert torchward.load(tmp_path / "kept.pth").state_dict()["hidden.weight"][2, 1].isnan()


def test_infinity_in_the_state_of_an_optimizer_is_refused_when_strict(tmp_path: Path) -> None:
    path = tmp_path / "model.h5"
    shutil.copyfile(FIXTURES / "k315_actor_critic" / "model.h5", path)
    with h5py.File(path, "r+") as file:
        momentum = []
        file["optimizer_weights"].visititems(
            lambda _, entry: momentum.append(entry) if getattr(entry, "ndim", 0) else None
        )
        momentum[0][0] = np.inf

    with pytest.raises(UnsupportedError, match="NaN or infinity: adam/common_bias"):
        torchward.convert(path, tmp_path / "strict.pth", strict=True)
    torchward.convert(path, tmp_path / "kept.pth")


@pytest.mark.parametrize(
    ("options", "useless"),
    [
        ({"names": {"a": "b"}}, "--map: without a meaning without --into"),
        ({"into": "net:Net", "inputs": ["s:0"]}, "--inputs: without a meaning with --into"),
        ({"into": "net:Net", "source_code": "a.py"}, "--source-code: without a meaning with"),
        ({"to": "sb3", "strict": True}, "--strict: without a meaning with --to"),
        ({"to": "sb3", "into": "net:Net", "format": "pth"}, "--format, --into: without a meaning"),
        (
            {"into": "torch_impl:DQNAgent", "strict": True, "normalizer": "n.pkl"},
            "--strict, --normalizer: without a meaning with --into one of our agents",
        ),
    ],
)
def test_options_that_another_way_of_converting_would_pass_over_are_refused(
    options: Any, useless: str, tmp_path: Path
) -> None:
    agent = FIXTURES / "sb_dqn_mlp_cartpole" / "model.zip"

    with pytest.raises(UnsupportedError, match=f"^{useless}"):
        torchward.convert(agent, tmp_path / "new.pth", **options)


def test_only_known_libraries_are_written_for(tmp_path: Path) -> None:
    agent = FIXTURES / "sb_dqn_mlp_cartpole" / "model.zip"

    with pytest.raises(UnsupportedError, match="'DQNAgent' is no library"):
        torchward.convert(agent, tmp_path / "new.pth", to="DQNAgent")


@pytest.mark.parametrize(("number", "accepted"), [(10**600, True), (10**700, False)])
def test_integer_is_written_or_refused_but_never_cut(
    write_model: Any, configs: Any, tmp_path: Path, number: int, accepted: bool
) -> None:
    config = configs.sequential(configs.dense("hidden", 3))
    training = {"loss": "mse", "loss_weights": [number]}
    path = write_model(config, {"hidden": configs.dense_arrays(4, 3)}, training=training)

    if accepted:
        torchward.convert(path, tmp_path / "out.pth")
        stored = torch.load(tmp_path / "out.pth", weights_only=True)
        assert stored["metadata"]["training"]["loss_weights"] == [number]
    else:
        with pytest.raises(UnsupportedError, match="an integer of 2326 bits"):
            torchward.convert(path, tmp_path / "out.pth")
        assert [entry.name for entry in tmp_path.iterdir()] == ["model.h5"]


def test_unknown_format_names_the_known_ones(small_model: Path, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="no output format 'tflite'") as caught:
        torchward.convert(small_model, tmp_path / "out.tflite", format="tflite")

    assert caught.value.hint is not None
    assert caught.value.hint.startswith("formats: onnx, pt2, pth, safetensors")


def test_rules_of_a_users_module_convert_a_users_layer(
    write_model: Any, configs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_rules.py").write_text(
        "from converters.registry import TorchStep, layer\n"
        "from converters.targets import Target, register_target\n"
        "def doubled(x):\n    return x + x\n"
        "register_target('my.doubled', Target('my_rules:doubled'))\n"
        "@layer('my_package>Double')\n"
        "def double(layer, *shapes):\n    return [TorchStep('my.doubled')]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for table, name in ((LAYERS, "my_package>Double"), (TARGETS, "my.doubled")):
        monkeypatch.setitem(table, name, None)  # so that what the rule adds is taken out again
        del table[name]
    path = write_model(configs.sequential(configs.layer("my_package>Double", "twice")), {})

    with pytest.raises(UnsupportedError, match="no rule for Keras layer 'my_package>Double'"):
        torchward.convert(path, tmp_path / "m.pth")
    torchward.convert(path, tmp_path / "m.pth", rules=["my_rules"])

    model: Any = torchward.load(tmp_path / "m.pth", rules=["my_rules"])
    assert model(torch.ones(1, 4)).tolist() == [[2.0, 2.0, 2.0, 2.0]]


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", ">f8", "<f2"])
def test_byte_order_and_precision_of_the_file_are_kept_or_turned(
    write_model: Any, configs: Any, tmp_path: Path, dtype: str
) -> None:
    policy = np.dtype(dtype).name
    config = configs.sequential(configs.dense("hidden", 3, dtype=policy))
    arrays = {role: array.astype(dtype) for role, array in configs.dense_arrays(4, 3).items()}
    path = write_model(config, {"hidden": arrays})

    torchward.convert(path, tmp_path / "m.pth")

    weight = torchward.load(tmp_path / "m.pth").state_dict()["hidden.weight"]
    assert str(weight.dtype) == f"torch.{policy}"
    np.testing.assert_array_equal(weight.numpy(), arrays["kernel"].T)
