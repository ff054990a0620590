"""The recorded files of one network each: what their recipes noted, what was recorded, and architectures for weights alone."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from converters.readers.files.places import main_file
from parity_tests import FIXTURES
from parity_tests.recorded_layers import LAYERS

WHOLE = ("keras-h5-full", "keras-v3-zip", "savedmodel-keras2")
WEIGHTS = (
    *("keras-h5-weights-legacy", "keras-weights-h5-v3", "npz-get_weights"),
    *("tf2-checkpoint-object", "tf2-checkpoint-save_weights", "tf2-checkpoint-manager"),
)
ROLES = {"depthwise_kernel": "kernel"}
"""Names of weights before Keras 3, to today's."""
FIRST_LOSS_IS_A_MEAN = ("k30_opt_sgd_momentum", "k30_gru_policy")
"""Keras 3.0.5 had not reset its metric: the first recorded number is a mean with the loss of the last update before the
file was saved. `loss_infer` holds the loss at the saved state."""


def dense_chain(
    names: Sequence[str], units: Sequence[int], *, shape: Sequence[int], flatten: bool = False
) -> dict[str, object]:
    """Return a Sequential configuration with relu between Dense layers, as a user would write it by hand."""
    layers: list[dict[str, object]] = [
        {"class_name": "InputLayer", "config": {"name": "x", "batch_shape": [None, *shape]}}
    ]
    if flatten:
        layers.append({"class_name": "Flatten", "config": {"name": "flatten"}})
    for name, size in zip(names, units, strict=True):
        activation = "linear" if name == names[-1] else "relu"
        config = {"name": name, "units": size, "activation": activation}
        layers.append({"class_name": "Dense", "config": config})
    return {"class_name": "Sequential", "config": {"name": "dqn", "layers": layers}}


NUMBERED = ("dense", "dense_1", "dense_2")
ATTRIBUTES = ("trunk/dense", "trunk/dense_1", "out")
WRITTEN_BY_HAND = {
    "kerasrl_dqn_cartpole-dqn_CartPole-v0_weights.h5f": dense_chain(
        ("dense_1", "dense_2", "dense_3"), (16, 16, 2), shape=(1, 4), flatten=True
    ),
    "k315_subclassed_dqn-model.weights.h5": dense_chain(NUMBERED, (17, 17, 3), shape=(7,)),
    "tf212_subclassed_dqn-weights.h5": dense_chain(NUMBERED, (19, 19, 3), shape=(7,)),
    "tf212_subclassed_dqn-model.weights.h5": dense_chain(NUMBERED, (19, 19, 3), shape=(7,)),
    "tf215_subclassed_dqn-weights.h5": dense_chain(NUMBERED, (16, 16, 3), shape=(7,)),
    # The container of a subclassed model groups arrays by the attributes that hold the layers.
    "tf215_subclassed_dqn-model.weights.h5": dense_chain(ATTRIBUTES, (16, 16, 3), shape=(7,)),
}
"""Architectures for files of models whose own is code, from the layers that `meta.json` lists."""


@dataclass(frozen=True)
class Recorded:
    """One file of a case."""

    case: str
    file: str
    format: str
    has_optimizer: bool

    @property
    def path(self) -> Path:
        """Return where the file lies."""
        return FIXTURES / self.case / self.file

    @property
    def meta(self) -> Mapping[str, Any]:
        """Return what the recipe noted."""
        return read_meta(self.case)

    @property
    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """Return what was recorded."""
        return read_arrays(self.case)

    @property
    def tolerance(self) -> float:
        """Return how far outputs may be off, relative to the largest."""
        hint = self.meta.get("tolerance_hint")
        return max(hint if isinstance(hint, float) else 0.0, 1e-5)

    @property
    def layers(self) -> Mapping[str, str]:
        """Return the user's own layers, for a file that holds code."""
        return LAYERS.get(self.case, {})

    @property
    def continues(self) -> bool:
        """Tell whether further updates were recorded."""
        return self.has_optimizer and "resume_loss" in self.arrays

    def __str__(self) -> str:
        return f"{self.case}-{self.file}"


@cache
def read_meta(case: str) -> dict[str, Any]:
    """Return what the recipe of a case noted."""
    meta: dict[str, Any] = json.loads((FIXTURES / case / "meta.json").read_text())
    return meta


@cache
def read_arrays(case: str) -> dict[str, NDArray[Any]]:
    """Return what was recorded of a case."""
    with np.load(FIXTURES / case / "expected.npz", allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


AGENTS = ("tfagents_", "sonnet_", "dopamine_", "tf215_dqn_with_target")
"""Checkpoints of several networks, which have tests of their own (`test_recorded_agents.py`)."""


def recorded_files() -> list[Recorded]:
    """Return every file of the fixtures that holds one network."""
    return [
        Recorded(meta.parent.name, entry["path"], entry["format"], bool(entry["optimizer_state"]))
        for meta in sorted(FIXTURES.glob("*/meta.json"))
        if not meta.parent.name.startswith(AGENTS)
        for entry in json.loads(meta.read_text())["artifacts"]
        if entry["format"] in (*WHOLE, *WEIGHTS) and main_file(meta.parent / entry["path"]).exists()
    ]


def architecture_for(item: Recorded, folder: Path) -> Path | None:
    """Return a configuration for files with weights only: recorded, inside another file, or written by hand."""
    if item.format in WHOLE:
        return None
    part = item.path.stem.rsplit("_", 1)[-1]  # ddpg_weights_actor.h5 goes with actor.json
    for name in (f"{part}.json", "model.json"):
        if (FIXTURES / item.case / name).exists():
            return FIXTURES / item.case / name
    beside = [entry["path"] for entry in item.meta["artifacts"] if entry["format"] == "keras-json"]
    if beside:
        return FIXTURES / item.case / str(beside[0])
    written = folder / "architecture.json"
    written.write_text(configuration_of(item))
    return written


def configuration_of(item: Recorded) -> str:
    """Return the architecture of a file with weights only, as JSON."""
    if str(item) in WRITTEN_BY_HAND:
        return json.dumps(WRITTEN_BY_HAND[str(item)])
    archive = FIXTURES / item.case / "model.keras"
    if zipfile.is_zipfile(archive):
        return zipfile.ZipFile(archive).read("config.json").decode()
    with h5py.File(FIXTURES / item.case / "model.h5") as file:
        stored = file.attrs["model_config"]
    return stored if isinstance(stored, str) else stored.decode()


def inputs_of(item: Recorded) -> list[Tensor]:
    """Return the recorded inputs in the order of the call."""
    names = [name for name in item.arrays if name[0] == "x" and name[1:].isdigit()]
    ordered = sorted(names, key=lambda name: int(name[1:]))
    if item.case == "kerasrl2_ddpg_pendulum":
        # The case records both networks: x0 is the observation, x1 the action; the critic takes the action first.
        ordered = ["x0"] if "actor" in item.file else ["x1", "x0"]
    return [torch.from_numpy(item.arrays[name].copy()) for name in ordered]


def outputs_of(item: Recorded) -> list[NDArray[Any]]:
    """Return the recorded outputs for `inputs_of`."""
    if item.case == "kerasrl2_ddpg_pendulum":
        return [item.arrays["actor_y0" if "actor" in item.file else "critic_y0"]]
    return numbered(item, "y")


def numbered(item: Recorded, letter: str) -> list[NDArray[Any]]:
    """Return the recorded arrays of a letter with a number, in their order."""
    names = [name for name in item.arrays if name.removeprefix(letter).isdigit()]
    return [
        item.arrays[name] for name in sorted(names, key=lambda name: int(name.removeprefix(letter)))
    ]


def recorded_learning_rate(item: Recorded) -> float:
    """Return the learning rate of the recipe, for files that do not hold it."""
    return float(item.meta["optimizer"]["config"]["learning_rate"])


def recorded_losses(item: Recorded) -> NDArray[Any]:
    """Return the losses before every further update."""
    losses = item.arrays["resume_loss"].copy()
    if item.case in FIRST_LOSS_IS_A_MEAN:
        losses[0] = item.arrays["loss_infer"]
    return losses


def recorded_weights(item: Recorded, known: set[str]) -> dict[tuple[str, str], NDArray[Any]]:
    """Return the weights after the recorded updates by (layer, role); inner layers go by the layer around them."""
    order, layers = item.meta["weight_order"], item.meta["layers"]
    if (
        item.case == "k224_ddpg_critic_bn"
    ):  # recorded layer by layer, its order lists the statistics last
        order = [name for layer in layers for name, _ in layer["weights"]]
    weights = {}
    for index, name in enumerate(order):
        parts = str(name).removesuffix(":0").split("/")
        layer = next((part for part in reversed(parts[:-1]) if part in known), parts[-2])
        if str(item) in WRITTEN_BY_HAND and "trunk" in json.dumps(WRITTEN_BY_HAND[str(item)]):
            layer = ATTRIBUTES[NUMBERED.index(layer)]
        weights[layer, ROLES.get(parts[-1], parts[-1])] = item.arrays[f"after_{index:03}"]
    if len(weights) != len(order):
        msg = f"{item}: {len(order)} recorded weights have {len(weights)} names"
        raise ValueError(msg)
    return weights
