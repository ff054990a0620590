"""What legacy files hold that no fixture has: split attributes, names with slashes, wrong lists."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from converters.errors import UnreadableFileError, UnsafeFileError
from converters.readers import read_checkpoint

Layers = dict[str, dict[str, tuple[int, ...]]]


def write_weights(
    path: Path, layers: Layers, *, text: str = "bytes", version: str | None = "2.3.1"
) -> None:
    """Write a weights file as Keras does, each array filled with its running number."""
    number = 0
    with h5py.File(path, "w") as file:
        if version:
            file.attrs["keras_version"] = version
        file.attrs["layer_names"] = encode(list(layers), text)
        for layer, arrays in layers.items():
            group = file.create_group(layer)
            group.attrs["weight_names"] = encode(list(arrays), text)
            for name, shape in arrays.items():
                group[name] = np.full(shape, number, np.float32)
                number += 1


def encode(names: list[str], text: str) -> object:
    return names if text == "str" or not names else [name.encode() for name in names]


@pytest.mark.parametrize("text", ["bytes", "str"])
def test_layers_come_in_the_order_of_layer_names(tmp_path: Path, text: str) -> None:
    path = tmp_path / "w.h5"
    names = [f"dense_{number}" for number in (1, 2, 10, 9)]
    write_weights(path, {name: {f"{name}/kernel:0": (4, 3)} for name in names}, text=text)

    layers = read_checkpoint(path).layers

    assert [layer.name for layer in layers] == names
    assert [layer.arrays["kernel"].read()[0, 0] for layer in layers] == [0, 1, 2, 3]


def test_attributes_split_over_several_are_joined(tmp_path: Path) -> None:
    path = tmp_path / "w.h5"
    write_weights(path, {f"d{n}": {f"d{n}/kernel:0": (4, 3)} for n in range(3)})
    with h5py.File(path, "r+") as file:
        del file.attrs["layer_names"]
        file.attrs["layer_names0"] = [b"d2", b"d0"]
        file.attrs["layer_names1"] = [b"d1"]

    assert [layer.name for layer in read_checkpoint(path).layers] == ["d2", "d0", "d1"]


def test_layer_name_with_a_slash_is_a_nested_group(tmp_path: Path) -> None:
    path = tmp_path / "w.h5"
    write_weights(
        path,
        {"actor/fc1": {"actor/fc1/kernel:0": (4, 3)}, "actor/out": {"actor/out/kernel:0": (3, 2)}},
    )

    layers = read_checkpoint(path).layers

    assert [(layer.path, list(layer.arrays)) for layer in layers] == [
        ("actor/fc1", ["kernel"]),
        ("actor/out", ["kernel"]),
    ]


@pytest.mark.parametrize(
    ("stored", "roles"),
    [
        (["lstm/lstm_cell/kernel:0", "lstm/lstm_cell/bias:0"], ["kernel", "bias"]),
        (["q_network/fc/kernel", "q_network/fc/bias"], ["kernel", "bias"]),
        (["kernel", "bias"], ["kernel", "bias"]),
        (
            ["b/forward_lstm/cell/kernel:0", "b/backward_lstm/cell/kernel:0"],
            ["b/forward_lstm/cell/kernel", "b/backward_lstm/cell/kernel"],
        ),
        (["layer_W_i:0", "layer_running_std:0"], ["W_i", "running_std"]),
        (["other_1_W:0", "other_2_W:0"], ["other_1_W", "other_2_W"]),
        (["kernel:0", "kernel:1"], ["kernel:0", "kernel:1"]),
        (["layer_W_2:0", "layer_running_std_2:0"], ["W", "running_std"]),
    ],
    ids=[
        "cell",
        "keras 3.15",
        "keras 3.0",
        "bidirectional",
        "keras 1",
        "keras 1 nested",
        "only numbers differ",
        "keras 1 numbered",
    ],
)
def test_roles_are_unique_and_short_where_they_can_be(
    tmp_path: Path, stored: list[str], roles: list[str]
) -> None:
    path = tmp_path / "w.h5"
    write_weights(path, {"layer": dict.fromkeys(stored, (4, 3))})

    (layer,) = read_checkpoint(path).layers

    assert list(layer.arrays) == roles


def test_role_of_keras_1_follows_the_name_of_a_layer_with_a_slash(tmp_path: Path) -> None:
    path = tmp_path / "w.h5"
    write_weights(path, {"actor/fc_1": {"actor/fc_1_W:0": (4, 3), "actor/fc_1_b:0": (3,)}})

    (layer,) = read_checkpoint(path).layers

    assert list(layer.arrays) == ["W", "b"]


@pytest.mark.parametrize(
    ("name", "generation"), [("dense_1_W:0", 1), ("dense_1/kernel:0", 2)], ids=["flat", "nested"]
)
def test_file_without_version_is_dated_by_its_names(
    tmp_path: Path, name: str, generation: int
) -> None:
    path = tmp_path / "w.h5"
    write_weights(path, {"dense_1": {name: (4, 3)}}, version=None)

    assert read_checkpoint(path).provenance.generation == generation


def test_bare_variables_and_arrays_in_no_list_are_extras(tmp_path: Path) -> None:
    path = tmp_path / "w.h5"
    write_weights(path, {"dense": {"dense/kernel:0": (4, 3)}})
    with h5py.File(path, "r+") as file:
        group = file.create_group("top_level_model_weights")
        group.attrs["weight_names"] = [b"log_std:0"]
        group["log_std:0"] = np.zeros(2, np.float32)
        file["dense/forgotten"] = np.zeros(5, np.float32)

    extras = read_checkpoint(path).extras

    assert [array.name for array in extras] == [
        "top_level_model_weights/log_std:0",
        "dense/forgotten",
    ]


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        (["dense/kernel:0", "dense/bias:0"], "lists 'dense/bias:0', which is not stored there"),
        (["dense/kernel:0", "dense/kernel:0"], "lists 'dense/kernel:0' twice"),
        (["../other/kernel:0"], "lists '../other/kernel:0', which is not stored there"),
        (["/other/kernel:0"], "lists '/other/kernel:0', which is not stored there"),
    ],
    ids=["missing", "twice", "parent folder", "absolute"],
)
def test_wrong_weight_names_are_refused(tmp_path: Path, listed: list[str], message: str) -> None:
    path = tmp_path / "w.h5"
    write_weights(path, {"dense": {"dense/kernel:0": (4, 3)}, "other": {"kernel:0": (4, 3)}})
    with h5py.File(path, "r+") as file:
        file["dense"].attrs["weight_names"] = [name.encode() for name in listed]

    with pytest.raises(UnreadableFileError, match=r"w\.h5: 'weight_names' of 'dense' ") as caught:
        read_checkpoint(path)
    assert message in str(caught.value)


def test_layer_name_without_group_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.h5"
    write_weights(path, {"dense": {"dense/kernel:0": (4, 3)}})
    with h5py.File(path, "r+") as file:
        file.attrs["layer_names"] = [b"dense", b"ghost"]

    with pytest.raises(UnreadableFileError, match="lists 'ghost', but there is no such group"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    "options", [{}, {"compression": "gzip", "shuffle": True}, {"compression": "lzf"}], ids=str
)
@pytest.mark.parametrize("dtype", ["<f4", ">f4", ">f8", "<f2", "<i8", "|b1", "|u1"])
def test_packed_and_swapped_numbers_are_read_as_h5py_reads_them(
    tmp_path: Path, options: dict[str, object], dtype: str
) -> None:
    path = tmp_path / "w.h5"
    values = np.random.default_rng(7).integers(0, 2, (37, 5)).astype(dtype)
    write_weights(path, {"dense": {}})
    with h5py.File(path, "r+") as file:
        chunks = {"chunks": (8, 3)} if options else {}
        file["dense"].create_dataset("kernel:0", data=values, **chunks, **options)
        file["dense"].attrs["weight_names"] = [b"kernel:0"]

    array = read_checkpoint(path).layers[0].arrays["kernel"]

    assert array.dtype == np.dtype(dtype).newbyteorder("=")
    assert array.read().dtype == array.dtype
    assert np.array_equal(array.read(), values)


def test_large_array_is_a_view_of_the_file_and_cannot_be_written(tmp_path: Path) -> None:
    path = tmp_path / "w.h5"
    write_weights(path, {"dense": {"kernel:0": (1024, 513)}})

    array = read_checkpoint(path).layers[0].arrays["kernel"].read()

    assert array.base is not None
    with pytest.raises(ValueError, match="read-only"):
        array[0, 0] = 1


def test_array_above_the_limit_is_refused(tmp_path: Path) -> None:
    from converters.limits import Limits

    path = tmp_path / "w.h5"
    write_weights(path, {"dense": {"kernel:0": (20, 30)}})

    with pytest.raises(UnsafeFileError, match="declares 2,400 bytes, at most 2,399 are read"):
        read_checkpoint(path, limits=Limits(max_array_bytes=2399))
