"""Every recorded file against h5py's own reading of it, and the fixtures against their checksums."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from converters import readers
from converters.checkpoint import ArrayInfo, Checkpoint
from parity_tests import FIXTURES

HDF5_MAGIC = b"\x89HDF"
FILES = sorted(
    path
    for path in FIXTURES.glob("*/*")
    if path.suffix in (".h5", ".h5f", ".keras")
)  # fmt: skip


@cache
def read_checkpoint(path: Path, *, architecture: Path | None = None) -> Checkpoint:
    return readers.read_checkpoint(path, architecture=architecture)


def name(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def read_with_h5py(path: Path) -> dict[str, NDArray]:
    source: object = path
    if path.read_bytes()[:4] != HDF5_MAGIC:
        source = io.BytesIO(zipfile.ZipFile(path).read("model.weights.h5"))
    found: dict[str, NDArray] = {}
    with h5py.File(source) as file:
        file.visititems(
            lambda key, entry: found.update(
                {key: entry[()]} if isinstance(entry, h5py.Dataset) else {}
            )
        )
    return found


def all_arrays(checkpoint: Checkpoint) -> list[tuple[str, ArrayInfo]]:
    arrays = [array for layer in checkpoint.layers for array in layer.arrays.values()]
    slots = checkpoint.optimizer.variables if checkpoint.optimizer else ()
    in_slots = "optimizer_weights/" if checkpoint.provenance.format == "keras-h5" else ""
    return [(array.name, array) for array in [*arrays, *checkpoint.extras]] + [
        (in_slots + slot.name, slot) for slot in slots
    ]


def test_checksums_list_every_fixture_and_hold() -> None:
    lines = (FIXTURES / "sha256sums.txt").read_text().splitlines()
    listed = {path: digest for digest, path in (line.split("  ") for line in lines)}
    found = [*FIXTURES.glob("*.json"), *FIXTURES.glob("*/**/*")]
    files = (path for path in found if path.is_file())
    stored = {str(path.relative_to(FIXTURES)): path for path in files}

    assert set(listed) == set(stored)
    for path, file in stored.items():
        assert hashlib.sha256(file.read_bytes()).hexdigest() == listed[path]


@pytest.mark.parametrize("path", FILES, ids=name)
def test_every_array_is_read_once_and_as_h5py_reads_it(path: Path) -> None:
    expected = read_with_h5py(path)

    read = all_arrays(read_checkpoint(path))

    assert sorted(key for key, _ in read) == sorted(expected)
    for key, array in read:
        values = array.read()
        assert values.shape == array.shape == expected[key].shape
        assert values.dtype == array.dtype == expected[key].dtype
        assert np.array_equal(values, expected[key])


@pytest.mark.parametrize("path", FILES, ids=name)
def test_provenance_names_file_hash_size_and_generation(path: Path) -> None:
    meta: Mapping[str, Mapping[str, Mapping[str, str]]] = json.loads(
        (path.parent / "meta.json").read_text()
    )
    version = meta["producer"]["versions"].get("keras", "2")

    provenance = read_checkpoint(path).provenance

    assert provenance.file == path.name
    assert provenance.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert provenance.size == path.stat().st_size
    assert provenance.generation == int(version[0])


@pytest.mark.parametrize(
    ("case", "file", "expected"),
    [
        ("k122_dqn", "model.h5", "keras-h5"),
        ("k231_dqn_cartpole", "model_noopt.h5", "keras-h5"),
        ("k122_dqn", "weights.h5", "keras-h5-weights"),
        ("kerasrl_dqn_cartpole", "dqn_CartPole-v0_weights.h5f", "keras-h5-weights"),
        ("tf212_actor_critic", "model.keras", "keras-h5"),
        ("tf212_actor_critic", "model_v3.keras", "keras-archive"),
        ("tf212_subclassed_dqn", "model.weights.h5", "keras-weights-h5"),
        ("k315_dqn_seed", "model.keras", "keras-archive"),
    ],
)
def test_format_is_recognized_by_content(case: str, file: str, expected: str) -> None:
    assert read_checkpoint(FIXTURES / case / file).provenance.format == expected


@pytest.mark.parametrize(
    "path", [p for p in FILES if "weights" not in p.name and p.name != "q.h5"], ids=name
)
def test_whole_models_have_a_graph_with_the_recorded_layers(path: Path) -> None:
    meta = json.loads((path.parent / "meta.json").read_text())

    graph = read_checkpoint(path).graph

    assert graph is not None
    recorded = [layer["name"] for layer in meta["layers"]]
    assert [layer.name for layer in graph.layers if layer.name in recorded] == recorded


@pytest.mark.parametrize(
    ("case", "file", "kind", "legacy", "generation", "count"),
    [
        # Counts and orders: FORMATS of each writer, checked by hand in one file of each.
        ("k122_dqn", "model.h5", "RMSprop", True, 1, 6),
        ("k208_bn_actor_critic", "model.h5", "SGD", True, 2, 8),
        ("k231_dqn_cartpole", "model.h5", "Adam", True, 2, 19),
        ("tf115keras_ddpg_critic_bn", "model.h5", "SGD", True, 2, 8),
        ("tf212_opt_legacy_adam", "model.h5", "Adam", True, 2, 13),
        ("tf212_opt_legacy_adam", "model_v3.keras", "Adam", True, 2, 0),
        ("tf215_opt_adamw", "model.h5", "AdamW", False, 2, 13),
        ("tf215_opt_adamw", "model.keras", "AdamW", False, 2, 13),
        ("tf215_dqn_seed", "model.weights.h5", None, False, 2, 17),
        ("k315_dqn_seed", "model.keras", "Adam", False, 3, 18),
        ("k315_mlp_named", "model.keras", None, False, 3, 14),
    ],
)
def test_optimizer_state_says_what_the_file_says(
    case: str, file: str, kind: str | None, legacy: bool, generation: int, count: int
) -> None:
    optimizer = read_checkpoint(FIXTURES / case / file).optimizer

    assert optimizer is not None
    assert (optimizer.kind, optimizer.legacy, optimizer.generation) == (kind, legacy, generation)
    assert len(optimizer.variables) == count


def test_file_without_optimizer_has_none() -> None:
    checkpoint = read_checkpoint(FIXTURES / "k231_dqn_cartpole" / "model_noopt.h5")

    assert checkpoint.optimizer is None
    assert checkpoint.training is None


def test_training_configuration_comes_as_stored() -> None:
    checkpoint = read_checkpoint(FIXTURES / "k208_bn_actor_critic" / "model.h5")

    assert checkpoint.training is not None
    assert checkpoint.training["loss"] == ["categorical_crossentropy", "mse"]
    assert checkpoint.optimizer is not None
    assert checkpoint.optimizer.config["momentum"] == pytest.approx(0.9)


def test_optimizer_variables_follow_weight_names_not_the_alphabet() -> None:
    checkpoint = read_checkpoint(FIXTURES / "tf215_dqn_seed" / "model.h5")

    assert checkpoint.optimizer is not None
    names = [array.name for array in checkpoint.optimizer.variables]
    assert names[:3] == ["iteration:0", "Adam/m/dense/kernel:0", "Adam/v/dense/kernel:0"]


def test_optimizer_variables_of_a_container_are_sorted_by_number() -> None:
    checkpoint = read_checkpoint(FIXTURES / "k315_dqn_seed" / "model.weights.h5")

    assert checkpoint.optimizer is not None
    assert [array.name for array in checkpoint.optimizer.variables] == [
        f"optimizer/vars/{number}" for number in range(18)
    ]


def test_nested_model_keeps_the_stored_order_trainable_weights_first() -> None:
    layers = {
        layer.path: layer
        for layer in read_checkpoint(FIXTURES / "tf215_nested_bn" / "model.h5").layers
    }

    roles = list(layers["encoder"].arrays)

    assert roles[:2] == ["dense/kernel", "dense/bias"]
    assert [role.rsplit("/", 1)[-1] for role in roles[-4:]] == [
        "moving_mean",
        "moving_variance",
    ] * 2
    assert list(layers["q"].arrays) == ["kernel", "bias"]


def test_keras_1_names_become_roles() -> None:
    layers = read_checkpoint(FIXTURES / "k122_dqn" / "weights.h5").layers

    assert [(layer.path, list(layer.arrays)) for layer in layers] == [
        ("dense_1", ["W", "b"]),
        ("dense_2", ["W", "b"]),
        ("dense_3", ["W", "b"]),
    ]


def test_container_entries_know_their_layer_names_where_keras_stores_them() -> None:
    layers = read_checkpoint(FIXTURES / "k315_mlp_named" / "model.weights.h5").layers

    assert [(layer.path, layer.name) for layer in layers] == [
        ("layers/dense", "fc1"),
        ("layers/dense_1", "fc2"),
        ("layers/dense_2", "q_values"),
    ]


def test_metrics_of_a_container_are_extras() -> None:
    extras = read_checkpoint(FIXTURES / "tf215_subclassed_dqn" / "model.weights.h5").extras

    assert [array.name for array in extras] == ["metrics/mean/vars/0", "metrics/mean/vars/1"]


def test_architecture_file_gives_weights_their_graph_and_optimizer() -> None:
    case = FIXTURES / "k315_dqn_seed"

    checkpoint = read_checkpoint(case / "model.weights.h5", architecture=case / "model.json")

    assert checkpoint.graph is not None
    assert checkpoint.graph.generation == 3
    assert [layer.class_name for layer in checkpoint.graph.layers].count("Dense") == 4
    assert checkpoint.provenance.details["architecture"] == "model.json"


@pytest.mark.parametrize("file", ["model.keras", "model.h5"])
def test_whole_model_gives_weights_its_configuration_and_its_own_stay_unread(file: str) -> None:
    case = FIXTURES / "k315_gru_policy"

    alone = read_checkpoint(case / "model.weights.h5", architecture=case / file)

    whole = read_checkpoint(case / file)
    assert alone.graph is not None
    assert whole.graph is not None
    assert [layer.class_name for layer in alone.graph.layers] == [
        layer.class_name for layer in whole.graph.layers
    ]
    assert {info.name for entry in alone.layers for info in entry.arrays.values()} == {
        info.name
        for entry in read_checkpoint(case / "model.weights.h5").layers
        for info in entry.arrays.values()
    }
    assert alone.provenance.details["architecture_sha256"] == whole.provenance.sha256


def test_architecture_file_wins_over_the_one_inside_and_is_recorded() -> None:
    other = FIXTURES / "k122_dqn" / "model.json"

    checkpoint = read_checkpoint(FIXTURES / "k231_dqn_cartpole" / "model.h5", architecture=other)

    assert checkpoint.graph is not None
    assert checkpoint.graph.generation == 1
    digest = hashlib.sha256(other.read_bytes()).hexdigest()
    assert checkpoint.provenance.details["architecture_sha256"] == digest
