"""The converted networks as their users have them without torchward: the same file, loaded by Keras with its torch backend."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.subjects import MissingExtraError, Prepared
from benchmarks.subjects.converted import (
    DIFFERENCE,
    LEARNING_RATE,
    build_converted,
    check_outputs,
    draw_inputs,
)
from benchmarks.subjects.keras_networks import CONFIGURATIONS
from converters.legacy_files.export import export

IMAGE_AXES = 4


def import_keras() -> Any:  # noqa: ANN401
    """Return Keras on torch. Any: it has no types.

    Raises:
        ModuleNotFoundError: Keras is not installed.
        MissingExtraError: It is one without a torch backend, or was imported with another one before.
    """
    os.environ["KERAS_BACKEND"] = "torch"
    import keras

    if (backend := keras.backend.backend()) != "torch":
        message = f"Keras 3 on torch is needed, found Keras {keras.__version__} on {backend}: pip install keras"
        raise MissingExtraError(message)
    return keras


def build_model(keras: Any, name: str) -> Any:  # noqa: ANN401
    """Return the network of that name, built by Keras from its configuration; its weights are of no interest."""
    config: Any = CONFIGURATIONS[name]()["config"]
    values: dict[str, Any] = {}
    for entry in config["layers"]:
        sources = [values[source[0]] for node in entry["inbound_nodes"] for source in node]
        if not sources:
            value = keras.Input(**entry["config"])
        else:
            layer = getattr(keras.layers, entry["class_name"])(**entry["config"])
            value = layer(sources) if entry["class_name"] == "Add" else layer(*sources)
        values[entry["name"]] = value
    return keras.Model(values[config["input_layers"][0][0]], values[config["output_layers"][0][0]])


def write_model_file(keras: Any, name: str, folder: Path) -> Path:  # noqa: ANN401
    """Write the Keras file of a network with the weights that the converted one is timed with; return its path."""
    layout, state = folder / f"{name}-layout.keras", folder / f"{name}.pth"
    build_model(keras, name).save(layout)
    torch.save({"model_state_dict": build_converted(name).state_dict()}, state)
    target = folder / f"{name}.keras"
    export(state, target, like=layout)
    return target


class KerasOnTorch:
    """One of the networks as a task "resnet forward 32" or "lstm train 32", see `NetworkSubject`.

    Forward is the model's call without gradients, a training step its `train_on_batch`: what Keras offers for one batch.

    Args:
        threads: of torch within an operation.

    Raises:
        MissingExtraError: There is no Keras with a torch backend.
    """

    def __init__(self, *, threads: int) -> None:
        self._keras = import_keras()
        torch.set_num_threads(threads)

    def prepare(self, task: str) -> Prepared:
        """Return a forward pass or a training step of a network, ready to be timed.

        Raises:
            ValueError: Keras computes something else than the network written by hand.
        """
        name, kind, batch = task.split()
        model = self._keras.saving.load_model(_model_file(name))
        x, labels = draw_inputs(name, int(batch))
        difference = check_outputs(name, lambda x: model(_channels_last(x), training=False), x)
        details = {DIFFERENCE: difference, "version": str(self._keras.__version__)}
        x = _channels_last(x).contiguous()
        if kind == "forward":
            return Prepared(lambda count: _forward(model, x, count), details=details)
        loss = self._keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(optimizer=self._keras.optimizers.SGD(LEARNING_RATE), loss=loss)
        return Prepared(lambda count: _train(model, x, labels, count), details=details)

    def sizes(self, folder: str) -> Iterable[tuple[str, int]]:
        """Return nothing: these networks are not compared in size."""
        del folder
        return ()


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    """Return the folder of the files; it goes when the process ends."""
    return tempfile.TemporaryDirectory(prefix="torchward-bench-")


@cache
def _model_file(name: str) -> Path:
    return write_model_file(import_keras(), name, Path(_folder().name))


def _channels_last(x: Tensor) -> Tensor:
    return x.movedim(1, -1) if x.ndim == IMAGE_AXES else x


def _forward(model: Any, x: Tensor, count: int) -> None:  # noqa: ANN401
    with torch.inference_mode():
        for _ in range(count):
            model(x, training=False)


def _train(model: Any, x: Tensor, labels: Tensor, count: int) -> None:  # noqa: ANN401
    for _ in range(count):
        model.train_on_batch(x, labels)
