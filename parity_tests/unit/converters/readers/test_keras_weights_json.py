"""Sharded weights are read as one file, and no file is opened that the map could have chosen."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from converters.errors import UnreadableFileError, UnsafeFileError
from converters.readers import read_checkpoint

KERNEL = np.arange(6, dtype=np.float32).reshape(2, 3)
BIAS = np.array([7, 8, 9], np.float32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A map with a layer whose two weights lie in two shards, as Keras 3.15 writes it."""
    names = ["net_00000.weights.h5", "net_00001.weights.h5"]
    with h5py.File(tmp_path / names[0], "w") as file:
        file["layers/dense/vars/0"] = KERNEL
        file["layers/dense/vars"].attrs["name"] = "first"
    with h5py.File(tmp_path / names[1], "w") as file:
        file["layers/dense/vars/1"] = BIAS
        file["optimizer/vars/0"] = np.int64(3)
    write_map(tmp_path, {"/layers/dense/vars": names, "/optimizer/vars": names[1]})
    return tmp_path / "net.weights.json"


def write_map(folder: Path, weight_map: object) -> None:
    text = json.dumps({"metadata": {"total_size": 36.0}, "weight_map": weight_map})
    (folder / "net.weights.json").write_text(text)


def test_layer_over_two_shards_is_one(path: Path) -> None:
    checkpoint = read_checkpoint(path)

    [layer] = checkpoint.layers
    assert (layer.path, layer.name) == ("layers/dense", "first")
    np.testing.assert_array_equal(layer.arrays["0"].read(), KERNEL)
    np.testing.assert_array_equal(layer.arrays["1"].read(), BIAS)
    assert checkpoint.provenance.format == "keras-weights-json"
    assert set(checkpoint.provenance.details) == {"net_00000.weights.h5", "net_00001.weights.h5"}


@pytest.mark.parametrize(
    "name",
    [
        "../other.h5",
        "/etc/passwd",
        "net_00007.weights.h5",
        "other_00000.weights.h5",
        "",
        3,
        ["net_00001.weights.h5"],
    ],
)
def test_map_that_names_another_file_is_refused(name: object, path: Path) -> None:
    write_map(path.parent, {"/layers/dense/vars": ["net_00000.weights.h5", name]})

    with pytest.raises(UnsafeFileError, match="no other file is opened"):
        read_checkpoint(path)


def test_shard_that_is_a_link_is_refused(path: Path) -> None:
    shard = path.with_name("net_00001.weights.h5")
    shard.rename(path.with_name("elsewhere.h5"))
    shard.symlink_to(path.with_name("elsewhere.h5"))

    with pytest.raises(UnsafeFileError, match="is a symbolic link"):
        read_checkpoint(path)


def test_missing_shard_is_said(path: Path) -> None:
    path.with_name("net_00001.weights.h5").unlink()

    with pytest.raises(UnreadableFileError, match=r"shard 'net_00001\.weights\.h5' is missing"):
        read_checkpoint(path)


def test_array_in_two_shards_is_refused(path: Path) -> None:
    with h5py.File(path.with_name("net_00001.weights.h5"), "a") as file:
        file["layers/dense/vars/0"] = KERNEL

    with pytest.raises(UnsafeFileError, match="which an earlier shard holds"):
        read_checkpoint(path)


def test_empty_map_is_refused(path: Path) -> None:
    write_map(path.parent, {})

    with pytest.raises(UnreadableFileError, match="names 0 shards"):
        read_checkpoint(path)
