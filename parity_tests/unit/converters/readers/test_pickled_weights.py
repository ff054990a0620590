"""What `get_weights()` gave, pickled or by `numpy.save`: with a configuration, or into a module of the user's own."""

from __future__ import annotations

import json
import pickle  # noqa: TID251  # written, never loaded
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import torchward
from converters.errors import AmbiguousTargetError, UnsupportedError

SIZES = ((4, 6), (6, 6), (6, 6), (6, 3))
INPUTS = np.random.default_rng(4).standard_normal((5, 4)).astype(np.float32)


class Net(nn.Module):
    """What a user would write for it; two layers have one shape."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3, self.out = (nn.Linear(*size) for size in SIZES)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.out(self.fc3(self.fc2(self.fc1(x).relu()).relu()).relu())
        return result


def draw() -> list[NDArray[np.float32]]:
    random = np.random.default_rng(3)
    shapes = [shape for size in SIZES for shape in (size, size[1:])]
    return [random.standard_normal(shape).astype(np.float32) for shape in shapes]


def by_hand(weights: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    x = INPUTS
    for index in range(0, len(weights), 2):
        x = x @ weights[index] + weights[index + 1]
        x = np.maximum(x, 0) if index + 2 < len(weights) else x
    return x


def write(path: Path, weights: list[NDArray[np.float32]]) -> Path:
    if path.suffix == ".npz":
        np.savez(path, *weights)
    elif path.suffix == ".npy":
        objects = np.empty(len(weights), object)
        objects[:] = weights
        np.save(path, objects, allow_pickle=True)
    else:
        path.write_bytes(pickle.dumps(weights))
    return path


def configuration(folder: Path) -> Path:
    layers = [
        {"class_name": "Dense", "config": {"name": f"dense_{index}", "units": units, "activation": kind}}
        for index, ((_, units), kind) in enumerate(zip(SIZES, ["relu"] * 3 + ["linear"], strict=True))
    ]  # fmt: skip
    start = {"class_name": "InputLayer", "config": {"name": "x", "batch_shape": [None, 4]}}
    text = {
        "class_name": "Sequential",
        "config": {"name": "net", "layers": [start, *layers]},
        "keras_version": "3.15.1",
    }
    (folder / "model.json").write_text(json.dumps(text))
    return folder / "model.json"


@pytest.mark.parametrize("name", ["w.pkl", "w.npy", "w.npz"])
def test_weights_in_order_fill_the_layers_of_the_configuration(name: str, tmp_path: Path) -> None:
    weights = draw()
    path = write(tmp_path / name, weights)

    torchward.convert(path, tmp_path / "net.pth", architecture=configuration(tmp_path))

    with torch.no_grad():
        found = torchward.load(tmp_path / "net.pth")(torch.from_numpy(INPUTS)).numpy()
    np.testing.assert_allclose(found, by_hand(weights), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["w.pkl", "w.npy", "w.npz"])
def test_the_table_proposed_for_a_module_names_every_layer_and_works_as_it_is(
    name: str, tmp_path: Path
) -> None:
    weights = draw()
    path = write(tmp_path / name, weights)
    table = tmp_path / "names.toml"
    with pytest.raises(AmbiguousTargetError, match="fc2 or fc3"):
        torchward.convert(path, tmp_path / "net.pth", into=Net(), names=table)

    torchward.convert(path, tmp_path / "net.pth", into=Net(), names=table)

    net = Net()
    net.load_state_dict(torch.load(tmp_path / "net.pth", weights_only=True)["model_state_dict"])
    with torch.no_grad():
        found = net(torch.from_numpy(INPUTS)).numpy()
    np.testing.assert_allclose(found, by_hand(weights), rtol=1e-5, atol=1e-5)


def test_pickle_of_protocol_0_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "w.pkl").write_bytes(pickle.dumps(draw(), protocol=0))

    with pytest.raises(UnsupportedError, match="protocol 0") as refused:
        torchward.convert(tmp_path / "w.pkl", tmp_path / "net.pth")

    assert "numpy.savez" in str(refused.value.hint)


def test_array_of_other_objects_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "w.npy", np.array([{"a": 1}, None], dtype=object), allow_pickle=True)

    with pytest.raises(Exception, match="without the variables of an agent"):
        torchward.convert(tmp_path / "w.npy", tmp_path / "net.pth")
