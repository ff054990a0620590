"""JSON weights of the Royal Game of Ur trainer: the value and the policy network in one file.

The file has no layer names and no configuration of Keras, but it is always the same two networks, so both are made
here: one functional model with the submodels `value` and `policy`, as `legacy_tf/ur_networks.py` builds it. By them the file
goes through the converter like a Keras file, and back to a .h5 that Keras loads.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from converters.checkpoint import ArrayInfo, Checkpoint, LayerArrays, StoredFile
from converters.errors import UnreadableFileError
from converters.limits import Limits
from converters.readers.files.keras_settings import (
    Architecture,
    decode_text,
    parse_architecture,
    provenance,
)
from converters.readers.files.source import Source
from experience.ur_networks import FEATURES, OUTPUTS
from experience.ur_weights import UrWeights, UrWeightsError, parse_ur_weights

FORMAT = "ur-weights-json"
KERAS_VERSION = "3.15.1"
"""Whose configuration the made model has."""
DROPOUT = 0.1
"""The original's; the file does not say it."""
MAX_METADATA_CHARACTERS = 64_000
"""Of the training figures that are carried along."""
_ROOT = "model_weights"
_FUNCTIONAL = "keras.src.models.functional"
"""Where Keras 3 itself says that the class is; it does not find it as `keras.Functional`."""
_LAST: dict[str, tuple[str, dict[str, object]]] = {
    "value": ("Activation", {"activation": "tanh"}),
    "policy": ("Softmax", {"axis": -1}),
}


class UrWeightsJson:
    """Reader of the trainer's JSON."""

    def recognizes(self, source: Source, limits: Limits) -> bool:
        """Tell whether the file is JSON with the list of a value network."""
        if not source.prefix.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
            return False
        # The key may stand behind a list of a megabyte, so the whole text is searched.
        return b'"value_weights"' in source.file.read(0, limits.max_json_bytes)

    def read(self, source: Source, architecture: Architecture | None, limits: Limits) -> Checkpoint:
        """Return both networks as one model.

        Raises:
            UnreadableFileError: The file is not as `experience.ur_weights` says, or a configuration was given.
        """
        if architecture is not None:
            message = (
                f"{source.name}: says itself which networks it holds; leave --architecture out."
            )
            raise UnreadableFileError(message)
        data = source.file.read(0, limits.max_json_bytes + 1)
        if len(data) > limits.max_json_bytes:
            message = f"{source.name}: is longer than the {limits.max_json_bytes:,} bytes of JSON that are read."
            raise UnreadableFileError(message)
        try:
            found = parse_ur_weights(decode_text(data, source.name, "file of weights"), source.name)
        except UrWeightsError as error:
            raise UnreadableFileError(str(error)) from error
        text = make_configuration(found)
        made = parse_architecture(
            text,
            source.name,
            limits,
            generation=3,
            version=KERAS_VERSION,
            details=_details(found),
        )
        layers = [_layer(name, found) for name in OUTPUTS]
        return Checkpoint(
            layers=layers,
            graph=made.graph(limits),
            optimizer=None,
            training=None,
            extras=[],
            provenance=provenance(source, FORMAT, version=None, generation=3, architecture=made),
            stored=_stored(layers, text),
        )


READER = UrWeightsJson()


def make_configuration(found: UrWeights) -> str:
    """Return the configuration of Keras 3 for a model of both networks."""
    dtype = str(found.weights["value/fc1/kernel"].dtype)
    entry = _input(dtype)
    outer = [entry, *(_network(name, found, dtype) for name in OUTPUTS)]
    return json.dumps(
        {
            "module": _FUNCTIONAL,
            "class_name": "Functional",
            "config": {
                "name": "ur_networks",
                "trainable": True,
                "layers": outer,
                "input_layers": ["features", 0, 0],
                "output_layers": [[name, 1, 0] for name in OUTPUTS],
            },
            "registered_name": "Functional",
        }
    )


def _network(name: str, found: UrWeights, dtype: str) -> dict[str, object]:
    """Return one network as a layer of the model."""
    layers, last = [_input(dtype)], "features"

    def add(kind: str, layer: str, size: int, **config: object) -> str:
        layers.append(_layer_entry(kind, layer, {**config, "dtype": dtype}, last, size, dtype))
        return layer

    units = FEATURES
    for number, size in enumerate(found.hidden_sizes, start=1):
        last = add("Dense", f"fc{number}", units, units=size, activation="linear", use_bias=True)
        units = size
        last = add("ReLU", f"relu{number}", units)
        last = add("Dropout", f"dropout{number}", units, rate=DROPOUT)
    number = len(found.hidden_sizes) + 1
    outputs = OUTPUTS[name]
    last = add("Dense", f"fc{number}", units, units=outputs, activation="linear", use_bias=True)
    kind, config = _LAST[name]
    last = add(kind, kind.lower(), outputs, **config)
    inner = {
        "name": name,
        "trainable": True,
        "layers": layers,
        "input_layers": ["features", 0, 0],
        "output_layers": [last, 0, 0],
    }
    return _layer_entry("Functional", name, inner, "features", FEATURES, dtype)


def _input(dtype: str) -> dict[str, object]:
    config = {"batch_shape": [None, FEATURES], "dtype": dtype, "name": "features"}
    return {
        "module": "keras.layers",
        "class_name": "InputLayer",
        "config": config,
        "registered_name": None,
        "name": "features",
        "inbound_nodes": [],
    }


def _layer_entry(
    kind: str, name: str, config: dict[str, object], source: str, units: int, dtype: str
) -> dict[str, object]:
    tensor = {"shape": [None, units], "dtype": dtype, "keras_history": [source, 0, 0]}
    return {
        "module": _FUNCTIONAL if kind == "Functional" else "keras.layers",
        "class_name": kind,
        "config": {**config, "name": name, "trainable": True},
        "registered_name": "Functional" if kind == "Functional" else None,
        "name": name,
        "inbound_nodes": [
            {"args": [{"class_name": "__keras_tensor__", "config": tensor}], "kwargs": {}}
        ],
    }


def _layer(network: str, found: UrWeights) -> LayerArrays:
    arrays = {
        name.removeprefix(f"{network}/"): ArrayInfo(
            f"{_ROOT}/{name}", array.shape, array.dtype, _constant(array)
        )
        for name, array in found.weights.items()
        if name.startswith(f"{network}/")
    }
    return LayerArrays(network, network, arrays)


def _constant(array: NDArray[np.floating]) -> Callable[[], NDArray[np.floating]]:
    return partial(np.asarray, array)


def _stored(layers: list[LayerArrays], text: str) -> StoredFile:
    """Return how Keras would have laid the model out in a .h5, for the way back."""
    version: dict[str, str | list[str]] = {"keras_version": KERAS_VERSION, "backend": "tensorflow"}
    groups = {"", _ROOT, f"{_ROOT}/features", f"{_ROOT}/top_level_model_weights"}
    attributes: dict[str, dict[str, str | list[str]]] = {
        "": {**version, "model_config": text},
        _ROOT: {**version, "layer_names": ["features", *OUTPUTS]},
        f"{_ROOT}/features": {"weight_names": []},
        f"{_ROOT}/top_level_model_weights": {"weight_names": []},
    }
    for layer in layers:
        groups |= {f"{_ROOT}/{layer.path}"}
        groups |= {f"{_ROOT}/{layer.path}/{name.partition('/')[0]}" for name in layer.arrays}
        attributes[f"{_ROOT}/{layer.path}"] = {"weight_names": list(layer.arrays)}
    arrays = {info.name: info for layer in layers for info in layer.arrays.values()}
    return StoredFile("keras-h5", frozenset(groups), attributes, arrays, {}, text, KERAS_VERSION)


def _details(found: UrWeights) -> dict[str, str]:
    """Return the layout and the training figures of the file, for the report and for the way back."""
    details = {"weight_layout": found.layout}
    training = json.dumps(dict(found.metadata), sort_keys=True)
    if found.metadata and len(training) <= MAX_METADATA_CHARACTERS:
        details["training"] = training
    return details
