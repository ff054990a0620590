"""TensorFlow checkpoints, SavedModels and lists of weights: what is found where, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from converters.errors import (
    AmbiguousTargetError,
    ConversionError,
    MismatchError,
    UnreadableFileError,
    UnsafeFileError,
    UnsupportedError,
)
from converters.readers import read_checkpoint
from converters.readers.files.places import main_file
from parity_tests import FIXTURES

CHECKPOINT = FIXTURES / "k315_lstm_policy" / "ckpt_object"
MANAGED = FIXTURES / "tf215_actor_critic" / "ckpt_dir"
SAVED_MODEL = FIXTURES / "tf215_dueling_gap" / "savedmodel"
OLD_SAVED_MODEL = FIXTURES / "tf115keras_savedmodels" / "savedmodel"
WEIGHTS = FIXTURES / "k315_dueling_gap" / "weights.npz"


@pytest.mark.parametrize(
    "path",
    [
        CHECKPOINT,
        CHECKPOINT.with_name("ckpt_object.index"),
        CHECKPOINT.with_name("ckpt_object.data-00000-of-00001"),
    ],
)
def test_checkpoint_is_found_by_prefix_and_by_each_of_its_files(path: Path) -> None:
    checkpoint = read_checkpoint(path)

    assert checkpoint.provenance.format == "tf2-checkpoint"
    assert checkpoint.provenance.size == sum(
        file.stat().st_size for file in CHECKPOINT.parent.glob("ckpt_object.*")
    )


def test_folder_gives_its_newest_checkpoint_wherever_it_was_written(tmp_path: Path) -> None:
    for file in MANAGED.iterdir():
        shutil.copy(file, tmp_path / file.name)
        shutil.copy(file, tmp_path / file.name.replace("ckpt-4", "ckpt-3"))
    state = 'model_checkpoint_path: "/home/someone/runs/ckpt-3"\n'
    (tmp_path / "checkpoint").write_text(state)

    assert main_file(tmp_path).name == "ckpt-3.index"
    (tmp_path / "checkpoint").unlink()
    with pytest.raises(AmbiguousTargetError, match="2 checkpoints") as caught:
        main_file(tmp_path)
    assert caught.value.hint is not None


def test_state_file_names_nothing_outside_its_folder(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    for file in CHECKPOINT.parent.glob("ckpt_object.*"):
        shutil.copy(file, tmp_path / file.name)
    (inside / "checkpoint").write_text('model_checkpoint_path: "../ckpt_object"\n')

    with pytest.raises(UnreadableFileError, match="is a folder"):
        main_file(inside)


@pytest.mark.parametrize("path", [SAVED_MODEL, OLD_SAVED_MODEL])
def test_saved_model_brings_its_configuration_and_its_optimizer(path: Path) -> None:
    checkpoint = read_checkpoint(path)

    assert checkpoint.graph is not None
    assert checkpoint.optimizer is not None
    assert checkpoint.optimizer.kind == "Adam"
    assert checkpoint.provenance.producer is not None
    assert checkpoint.provenance.producer.startswith("TensorFlow ")
    assert all(layer.name for layer in checkpoint.layers)


def test_checkpoint_without_configuration_names_layers_by_attributes() -> None:
    names = {layer.name for layer in read_checkpoint(CHECKPOINT).layers}

    assert any(name is not None and name.endswith("cell") for name in names)


def test_of_several_models_the_one_of_the_configuration_is_taken_and_named(tmp_path: Path) -> None:
    folder = FIXTURES / "k315_agent_checkpoint"

    checkpoint = read_checkpoint(folder / "agent-1", architecture=folder / "actor.json")

    kernels = [
        entry.arrays["kernel"].shape for entry in checkpoint.layers if "kernel" in entry.arrays
    ]
    assert kernels == [(4, 8), (8, 2)]
    assert checkpoint.notes == (
        "'actor' is converted; the checkpoint also holds critic, target_actor",
    )
    assert checkpoint.optimizer is not None
    assert checkpoint.optimizer.kind == "Adam"
    assert any("learning_rate" in key for key in checkpoint.optimizer.config)

    other = json.loads((folder / "actor.json").read_text())
    other["config"]["layers"][1]["config"]["units"] = 9
    (tmp_path / "other.json").write_text(json.dumps(other))
    with pytest.raises(AmbiguousTargetError, match="actor, critic, target_actor"):
        read_checkpoint(folder / "agent-1", architecture=tmp_path / "other.json")


def test_stored_learning_rate_and_betas_are_the_optimizer_s_settings() -> None:
    checkpoint = read_checkpoint(FIXTURES / "tf215_opt_legacy_adam" / "ckpt_object")

    assert checkpoint.optimizer is not None
    assert {"learning_rate", "beta_1", "beta_2", "decay"} <= set(checkpoint.optimizer.config)
    assert checkpoint.optimizer.variables[0].name.endswith("iter:0")


def test_hash_is_that_of_the_lines_of_sha256sum(tmp_path: Path) -> None:
    before = read_checkpoint(CHECKPOINT).provenance.sha256
    for file in CHECKPOINT.parent.glob("ckpt_object.*"):
        shutil.copy(file, tmp_path / file.name)

    assert read_checkpoint(tmp_path / "ckpt_object").provenance.sha256 == before
    index = tmp_path / "ckpt_object.index"
    assert read_checkpoint(index).provenance.sha256 == before


def test_other_model_s_configuration_is_refused(tmp_path: Path) -> None:
    layers = [{"class_name": "Dense", "config": {"name": "dense", "units": 4}}]
    model = {"class_name": "Sequential", "config": {"name": "other", "layers": layers}}
    config = tmp_path / "config.json"
    config.write_text(json.dumps(model))

    with pytest.raises(MismatchError, match=r"ckpt_object: found \d layers"):
        read_checkpoint(CHECKPOINT, architecture=config)


def test_saved_model_without_configuration_has_its_graph(tmp_path: Path) -> None:
    folder = tmp_path / "savedmodel"
    shutil.copytree(SAVED_MODEL, folder)
    (folder / "keras_metadata.pb").unlink()

    checkpoint = read_checkpoint(folder)

    assert checkpoint.graph is None
    assert checkpoint.program is not None
    assert "serving_default" in checkpoint.program().graph.signatures


def without_variables(folder: Path) -> None:
    shutil.rmtree(folder / "variables")


def with_damaged_metadata(folder: Path) -> None:
    (folder / "keras_metadata.pb").write_bytes(b"\x0a\xff\x01")


def with_linked_metadata(folder: Path) -> None:
    (folder / "keras_metadata.pb").rename(folder / "metadata")
    (folder / "keras_metadata.pb").symlink_to(folder / "metadata")


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (without_variables, UnreadableFileError, "there is no such file"),
        (with_damaged_metadata, UnreadableFileError, "claims 255 bytes"),
        (with_linked_metadata, UnsafeFileError, "links are not followed"),
    ],
)
def test_incomplete_saved_model_is_refused(
    tmp_path: Path, change: Callable[[Path], None], kind: type[ConversionError], message: str
) -> None:
    folder = tmp_path / "savedmodel"
    shutil.copytree(SAVED_MODEL, folder)
    change(folder)

    with pytest.raises(kind, match=message) as caught:
        read_checkpoint(folder)

    assert str(caught.value).startswith("savedmodel: ")


def test_numbered_arrays_are_a_list_in_their_order() -> None:
    (entry,) = read_checkpoint(WEIGHTS).layers

    with np.load(WEIGHTS) as stored:
        for index, array in enumerate(entry.arrays.values()):
            np.testing.assert_array_equal(array.read(), stored[f"arr_{index}"])


@pytest.mark.parametrize(
    ("arrays", "kind", "message"),
    [
        ({"policy": np.zeros(3)}, UnsupportedError, "holds named arrays"),
        ({"arr_0": np.array([{}])}, UnsafeFileError, "only numbers are read"),
    ],
)
def test_other_numpy_archives_are_refused(
    tmp_path: Path,
    arrays: dict[str, NDArray[np.generic]],
    kind: type[ConversionError],
    message: str,
) -> None:
    path = tmp_path / "other.npz"
    np.savez(path, allow_pickle=True, **arrays)

    with pytest.raises(kind, match=message):
        read_checkpoint(path)
