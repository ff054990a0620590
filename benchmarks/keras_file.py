"""Keras 2.15 whole-model .h5 files written without Keras: what the conversion benchmark converts.

Group by group the layout that `model.save("model.h5")` of TensorFlow 2.15 leaves (seen in recorded files), with random
weights and Adam moments, so that the benchmark needs no TensorFlow and can ask for any size.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import h5py
import numpy as np

GUIDE_SIZES = (12, 128, 64, 32, 5)
"""Observation, three hidden layers, actions: 12,165 parameters."""
LARGE_SIZES = (5000,) * 6
"""Five kernels of 100 MB each: 500 MB without optimizer state."""
KERAS_VERSION = "2.15.0"


def write_keras_file(
    path: Path, sizes: Sequence[int] = GUIDE_SIZES, *, optimizer: bool = True
) -> None:
    """Write a model of Dense layers with ReLU between them to `path`.

    Args:
        path: is replaced.
        sizes: width of the input and of each layer.
        optimizer: also write Adam's moments and step.
    """
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        file.attrs["backend"] = "tensorflow"
        file.attrs["keras_version"] = KERAS_VERSION
        file.attrs["model_config"] = json.dumps(model_config(sizes))
        weights = file.create_group("model_weights")
        weights.attrs["backend"] = "tensorflow"
        weights.attrs["keras_version"] = KERAS_VERSION
        weights.attrs["layer_names"] = [layer_name(index) for index in range(len(sizes) - 1)]
        for index in range(len(sizes) - 1):
            group = weights.create_group(layer_name(index))
            shapes = dict(weight_shapes(sizes, index))
            group.attrs["weight_names"] = list(shapes)
            for name, shape in shapes.items():
                group[name] = _draw(rng, shape)
        weights.create_group("top_level_model_weights").attrs["weight_names"] = np.zeros(0, "S1")
        if optimizer:
            file.attrs["training_config"] = json.dumps(TRAINING_CONFIG)
            _write_optimizer(file.create_group("optimizer_weights"), sizes, rng)


def layer_name(index: int) -> str:
    """Return the name that Keras gives the layer of that place."""
    return "dense" if index == 0 else f"dense_{index}"


def weight_shapes(sizes: Sequence[int], index: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield (stored name, shape) of the kernel, (in, out), and the bias of one layer."""
    yield f"{layer_name(index)}/kernel:0", (sizes[index], sizes[index + 1])
    yield f"{layer_name(index)}/bias:0", (sizes[index + 1],)


def model_config(sizes: Sequence[int]) -> dict[str, object]:
    """Return the architecture in the words of Keras 2.15."""
    first: dict[str, object] = {
        "batch_input_shape": [None, sizes[0]],
        "dtype": "float32",
        "sparse": False,
        "ragged": False,
        "name": "input_1",
    }
    layers: list[dict[str, object]] = [{"class_name": "InputLayer", "config": first}]
    last = len(sizes) - 2
    for index, units in enumerate(sizes[1:]):
        config: dict[str, object] = {
            "name": layer_name(index),
            "trainable": True,
            "dtype": "float32",
            "units": units,
            "activation": "linear" if index == last else "relu",
            "use_bias": True,
            "kernel_regularizer": None,
            "bias_regularizer": None,
            "activity_regularizer": None,
            "kernel_constraint": None,
            "bias_constraint": None,
        }
        layers.append({"class_name": "Dense", "config": config})
        if index < min(2, last):  # the guide's network drops out after the first two layers
            name = "dropout" if index == 0 else f"dropout_{index}"
            dropout = {"name": name, "trainable": True, "dtype": "float32", "rate": 0.2}
            layers.append({"class_name": "Dropout", "config": dropout})
    return {"class_name": "Sequential", "config": {"name": "sequential", "layers": layers}}


TRAINING_CONFIG = {
    "loss": "mse",
    "metrics": None,
    "optimizer_config": {
        "class_name": "Custom>Adam",
        "config": {
            "name": "Adam",
            "weight_decay": None,
            "clipnorm": None,
            "global_clipnorm": None,
            "clipvalue": None,
            "use_ema": False,
            "is_legacy_optimizer": False,
            "learning_rate": 0.001,
            "beta_1": 0.9,
            "beta_2": 0.999,
            "epsilon": 1e-7,
            "amsgrad": False,
        },
    },
}


def _write_optimizer(group: h5py.Group, sizes: Sequence[int], rng: np.random.Generator) -> None:
    names = ["iteration:0"]
    group[names[0]] = np.int64(
        1969
    )  # 100 episodes of 20 steps, less the first 31 without a full batch
    for index in range(len(sizes) - 1):
        for name, shape in weight_shapes(sizes, index):
            for slot in ("m", "v"):
                stored = f"Adam/{slot}/{name}"
                group[stored] = np.abs(_draw(rng, shape)) * np.float32(1e-3)
                names.append(stored)
    group.attrs["weight_names"] = names


def _draw(
    rng: np.random.Generator, shape: tuple[int, ...]
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return rng.standard_normal(shape, dtype=np.float32) * np.float32(0.1)
