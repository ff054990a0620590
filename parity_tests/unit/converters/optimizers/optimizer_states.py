"""Optimizer states to plan: read from real files of every Keras generation, and made by hand for what these lack."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Sequence
from typing import Any

import h5py
import numpy as np

from converters.checkpoint import ArrayInfo, OptimizerState
from converters.optimizers.plan import OptimizerPlan
from parity_tests import FIXTURES

Shape = tuple[int, ...]
WEIGHTS: list[tuple[str, Shape]] = [
    ("dense/dense/kernel:0", (4, 3)),
    ("dense/dense/bias:0", (3,)),
    ("dense_1/dense_1/kernel:0", (3, 2)),
]


def text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def array(name: str, shape: Shape = (), value: float = 0.0, dtype: str = "float32") -> ArrayInfo:
    filled = np.full(shape, value, dtype=dtype)
    return ArrayInfo(name, shape, filled.dtype, lambda: filled)


def stored(dataset: h5py.Dataset, name: str) -> ArrayInfo:
    values = dataset[()]
    return ArrayInfo(name, dataset.shape, dataset.dtype, lambda: values)


def read_h5(case: str) -> tuple[OptimizerState, list[tuple[str, Shape]]]:
    """Read a whole-model .h5 of any generation: the optimizer and the trainable weights."""
    with h5py.File(FIXTURES / case / "model.h5") as file:
        weights = []
        for layer in map(text, file["model_weights"].attrs["layer_names"]):
            for name in map(text, file["model_weights"][layer].attrs["weight_names"]):
                if not re.search("moving_|running_|seed", name):
                    shape = file["model_weights"][layer][name].shape
                    weights.append((f"{layer}/{name}", shape))
        group = file["optimizer_weights"]
        names = [text(name) for name in group.attrs["weight_names"]]
        variables = [stored(group[name], name) for name in names]
        generation = int(text(file.attrs["keras_version"])[0])
        entry = json.loads(text(file.attrs["training_config"]))["optimizer_config"]
    legacy = generation < 3 and not entry["class_name"].startswith("Custom>")
    state = OptimizerState(entry["class_name"], entry["config"], variables, legacy, generation)
    return state, weights


def read_archive(case: str) -> tuple[OptimizerState, list[tuple[str, Shape]]]:
    """Read a .keras of stacked Dense layers, whose variables are numbers only."""
    with zipfile.ZipFile(FIXTURES / case / "model.keras") as archive:
        entry = json.loads(archive.read("config.json"))["compile_config"]["optimizer"]
        generation = int(json.loads(archive.read("metadata.json"))["keras_version"][0])
        content = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(content) as file:
        numbered = file["optimizer/vars"]
        variables = [stored(numbered[n], f"optimizer/vars/{n}") for n in sorted(numbered, key=int)]
        weights = [
            (f"layers/{layer}/vars/{index}", file[f"layers/{layer}/vars/{index}"].shape)
            for layer in ("dense", "dense_1", "dense_2")
            for index in ("0", "1")
        ]
    state = OptimizerState(entry["class_name"], entry["config"], variables, False, generation)
    return state, weights


def numbers(plan: OptimizerPlan, slot: str) -> list[int]:
    return [int(array.name.rsplit("/", 1)[-1]) for array in plan.slots[slot]]


def assert_complete(plan: OptimizerPlan, state: OptimizerState) -> None:
    """Every stored array is used once or ignored with a reason."""
    used = [array.name for slot in plan.slots.values() for array in slot]
    used += [array.name for slot in plan.partial.values() for array in slot.values()]
    used += [array.name for array, reason in plan.ignored if reason]
    used += [array.name for array in plan.numbers.values()]
    for single in (plan.iterations, plan.learning_rate):
        used += [single.name] if isinstance(single, ArrayInfo) else []
    assert sorted(used) == sorted(variable.name for variable in state.variables)


def numbered(
    count: int, shapes: Sequence[Shape], config: dict[str, Any] | None, kind: str | None = "Adam"
) -> OptimizerState:
    """A Keras 3 file: `count` single numbers, then arrays of the shapes."""
    variables = [array("optimizer/vars/0", dtype="int64")]
    variables += [array(f"optimizer/vars/{index}") for index in range(1, count)]
    variables += [
        array(f"optimizer/vars/{index}", shape) for index, shape in enumerate(shapes, count)
    ]
    return OptimizerState(kind, config or {}, variables, False, 3)


ONE, TWO, THREE = (shape for _, shape in WEIGHTS)
PAIRS = [ONE, ONE, TWO, TWO, THREE, THREE]
