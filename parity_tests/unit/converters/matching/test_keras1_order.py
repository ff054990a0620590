from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from converters.plan import plan_conversion
from converters.planned import Plan
from converters.readers import read_checkpoint

Arrays = dict[str, NDArray[np.float32]]
SIZE, UNITS = 4, 3
ADAM = {"lr": 0.01, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8, "decay": 0.0}


def lstm_names(name: str) -> list[str]:
    return [f"{name}_{kind}_{gate}" for gate in "icfo" for kind in "WUb"]


def lstm_shape(name: str) -> tuple[int, ...]:
    return {"W": (SIZE, UNITS), "U": (UNITS, UNITS), "b": (UNITS,)}[name.rsplit("_", 2)[1]]


def write_keras1(
    path: Path,
    layers: Sequence[Mapping[str, object]],
    weights: dict[str, Arrays],
    slots: list[Arrays],
) -> None:
    """Write a file as Keras 1.2.2 does: slots by the order of names, the counter before them."""
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = b"1.2.2"
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": layers})
        config = {"class_name": "Adam", "config": ADAM}
        file.attrs["training_config"] = json.dumps({"optimizer_config": config, "loss": "mse"})
        root = file.create_group("model_weights")
        root.attrs["layer_names"] = [name.encode() for name in weights]
        for layer, arrays in weights.items():
            group = root.create_group(layer)
            group.attrs["weight_names"] = [f"{name}:0".encode() for name in arrays]
            for name, array in arrays.items():
                group[f"{name}:0"] = array
        group = file.create_group("optimizer_weights")
        stored: list[NDArray[np.float32]] = [np.float32(7) * np.ones((), np.float32)]
        for block in slots:
            stored += [block[name] for name in sorted(block, key=lambda name: f"{name}:0")]
        names = [f"Variable_{index}:0" for index in range(len(stored))]
        group.attrs["weight_names"] = [name.encode() for name in names]
        for name, array in zip(names, stored, strict=True):
            group[name] = array


def drawn(shapes: Mapping[str, tuple[int, ...]], seed: int) -> Arrays:
    draws = np.random.default_rng(seed)
    return {
        name: np.abs(draws.normal(size=shape)).astype(np.float32) for name, shape in shapes.items()
    }


def slot_of(plan: Plan, parameter: str, slot: str) -> NDArray[np.float32]:
    move = plan.slots[plan.parameters.index(parameter)][slot]
    return np.asarray(move.layout.apply(move.source.read()))


def test_slots_of_gates_follow_their_names_and_lie_side_by_side(tmp_path: Path) -> None:
    shapes = {name: lstm_shape(name) for name in lstm_names("lstm_1")}
    moments = [drawn(shapes, 1), drawn(shapes, 2)]
    layer = {
        "class_name": "LSTM",
        "config": {"name": "lstm_1", "output_dim": UNITS, "batch_input_shape": [None, 5, SIZE]},
    }
    write_keras1(tmp_path / "model.h5", [layer], {"lstm_1": drawn(shapes, 0)}, moments)

    plan = plan_conversion(read_checkpoint(tmp_path / "model.h5"))

    assert plan.optimizer is not None
    assert plan.optimizer.read_iterations() == 7
    slots = list(plan.slots[0])
    for slot, block in zip(slots, moments, strict=True):
        for parameter, kind in (("weight_ih", "W"), ("weight_hh", "U"), ("bias", "b")):
            gates = [block[f"lstm_1_{kind}_{gate}"] for gate in "ifco"]
            wanted = np.concatenate(gates, axis=-1).T
            np.testing.assert_array_equal(slot_of(plan, f"lstm_1.{parameter}", slot), wanted)


def test_tenth_layer_comes_before_the_second(tmp_path: Path) -> None:
    sizes = {
        f"dense_{index}_{role}": shape
        for index in range(1, 12)
        for role, shape in (("W", (SIZE, SIZE)), ("b", (SIZE,)))
    }
    layers: list[dict[str, object]] = [
        {
            "class_name": "Dense",
            "config": {
                "name": f"dense_{index}",
                "output_dim": SIZE,
                "activation": "linear",
                "input_dim": SIZE,
            },
        }
        for index in range(1, 12)
    ]
    values = drawn(sizes, 0)
    weights = {
        f"dense_{index}": {name: values[name] for name in (f"dense_{index}_W", f"dense_{index}_b")}
        for index in range(1, 12)
    }
    moments = [drawn(sizes, 1), drawn(sizes, 2)]
    write_keras1(tmp_path / "model.h5", layers, weights, moments)

    plan = plan_conversion(read_checkpoint(tmp_path / "model.h5"))

    slot = next(iter(plan.slots[0]))
    for index in (1, 2, 10, 11):
        found = slot_of(plan, f"dense_{index}.weight", slot)
        np.testing.assert_array_equal(found, moments[0][f"dense_{index}_W"].T)


def test_slots_that_fit_in_no_order_stay_behind_with_the_reason(tmp_path: Path) -> None:
    shapes = {name: lstm_shape(name) for name in lstm_names("lstm_1")}
    layer = {
        "class_name": "LSTM",
        "config": {"name": "lstm_1", "output_dim": UNITS, "batch_input_shape": [None, 5, SIZE]},
    }
    moments = drawn(shapes, 1)
    moments["lstm_1_W_i"] = moments["lstm_1_W_i"].T
    write_keras1(tmp_path / "model.h5", [layer], {"lstm_1": drawn(shapes, 0)}, [moments, moments])

    plan = plan_conversion(read_checkpoint(tmp_path / "model.h5"))

    assert plan.optimizer is None
    [reason] = [note for note in plan.notes if "the optimizer state is not converted" in note]
    assert "lstm_1_W_i" in reason
