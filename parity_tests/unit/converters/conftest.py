"""Small legacy files, written for one test each with h5py: no Keras is needed to make them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from converters.readers.hdf5 import processes
from parity_tests.unit.converters.hostile_files import InProcess

Arrays = Mapping[str, Mapping[str, NDArray]]
Entry = Mapping[str, object]


class Configs:
    """Configurations and arrays as Keras would have stored them."""

    @staticmethod
    def sequential(*layers: Entry, shape: Sequence[int | None] = (None, 4)) -> dict[str, object]:
        """Return a Sequential configuration with an input layer in front."""
        first = {"class_name": "InputLayer", "config": {"name": "x", "batch_shape": list(shape)}}
        config = {"name": "network", "layers": [first, *layers]}
        return {"class_name": "Sequential", "config": config}

    @staticmethod
    def layer(class_name: str, name: str, **settings: object) -> Entry:
        return {"class_name": class_name, "config": {"name": name, **settings}}

    @staticmethod
    def dense(name: str, units: int, activation: str = "linear", **settings: object) -> Entry:
        config = {"name": name, "units": units, "activation": activation, **settings}
        return {"class_name": "Dense", "config": config}

    @staticmethod
    def dense_arrays(rows: int, columns: int, seed: int = 0) -> dict[str, NDArray]:
        draws = np.random.default_rng(seed)
        return {
            "kernel": draws.normal(size=(rows, columns)).astype(np.float32),
            "bias": draws.normal(size=columns).astype(np.float32),
        }

    @staticmethod
    def functional(
        inputs: Mapping[str, Sequence[int | None]],
        layers: Sequence[tuple[Entry, Sequence[str]]],
        outputs: Sequence[str],
    ) -> dict[str, object]:
        """Return a Functional configuration of Keras 2: each layer with the names of the layers it takes."""
        entries: list[Entry] = [
            {
                "class_name": "InputLayer",
                "name": name,
                "config": {"name": name, "batch_input_shape": list(shape)},
                "inbound_nodes": [],
            }
            for name, shape in inputs.items()
        ]
        for entry, sources in layers:
            config = entry["config"]
            assert isinstance(config, Mapping)
            node = [[source, 0, 0, {}] for source in sources]
            entries.append({**entry, "name": config["name"], "inbound_nodes": [node]})
        config = {
            "name": "network",
            "layers": entries,
            "input_layers": [[name, 0, 0] for name in inputs],
            "output_layers": [[name, 0, 0] for name in outputs],
        }
        return {"class_name": "Functional", "config": config}


@pytest.fixture
def configs() -> Configs:
    return Configs()


class WriteModel(Protocol):
    """Write a whole-model .h5 of tf.keras 2.15 and return its path."""

    def __call__(
        self,
        config: Entry | None,
        arrays: Arrays,
        *,
        name: str = "model.h5",
        training: Entry | None = None,
        version: str = "2.15.0",
    ) -> Path: ...


@pytest.fixture
def write_model(tmp_path: Path) -> WriteModel:
    def write(
        config: Entry | None,
        arrays: Arrays,
        *,
        name: str = "model.h5",
        training: Entry | None = None,
        version: str = "2.15.0",
    ) -> Path:
        path = tmp_path / name
        with h5py.File(path, "w") as file:
            root = file
            if config is not None:
                file.attrs["model_config"] = json.dumps(config)
                if training is not None:
                    file.attrs["training_config"] = json.dumps(training)
                root = file.create_group("model_weights")
            for target in {file, root}:
                target.attrs["keras_version"], target.attrs["backend"] = version, "tensorflow"
            root.attrs["layer_names"] = [layer.encode() for layer in arrays]
            for layer, weights in arrays.items():
                group = root.create_group(layer)
                names = [f"{layer}/{role}:0" for role in weights]
                group.attrs["weight_names"] = [text.encode() for text in names]
                for text, array in zip(names, weights.values(), strict=True):
                    group[text] = array
        return path

    return write


@pytest.fixture
def small_model(write_model: WriteModel, configs: Configs) -> Path:
    """Return a file with two Dense layers, 4 -> 3 -> 2, relu between them."""
    config = configs.sequential(configs.dense("hidden", 3, "relu"), configs.dense("q_values", 2))
    arrays = {
        "hidden": configs.dense_arrays(4, 3),
        "q_values": configs.dense_arrays(3, 2, seed=1),
    }
    return write_model(config, arrays)


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read HDF5 files in this process: the worker's limits and answers without its start."""
    monkeypatch.setattr(processes, "take_worker", InProcess)
    monkeypatch.setattr(processes, "_idle", [])
