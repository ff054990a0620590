"""HDF5 files of `model.save` and `save_weights` of Keras 1 to 3 (`.h5`, `.hdf5`, keras-rl's `.h5f`; TF 2.12 `.keras`).

Order comes from the attributes `layer_names` and `weight_names`; HDF5's own order is alphabetical. A nested model
is one entry with all its weights, the trainable ones first: the plan knows the nested layers and deals them out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from converters.checkpoint import ArrayInfo, Checkpoint, LayerArrays, StoredFile
from converters.configuration.unnamed_models import name_unnamed
from converters.errors import UnreadableFileError
from converters.graph import Graph
from converters.limits import Limits
from converters.matching.keras1_groups import ROLE, split_name
from converters.readers.files.keras_settings import (
    Architecture,
    major_version,
    optimizer_state,
    parse_architecture,
    parse_object,
    provenance,
)
from converters.readers.files.natural_order import natural_key
from converters.readers.files.source import Source, quote
from converters.readers.hdf5.client import Hdf5Index, index_of, require_index


class KerasH5:
    """Reader of both kinds of file; a whole model has the group `model_weights`."""

    def recognizes(self, source: Source, limits: Limits) -> bool:
        """Tell whether the file has layer names where Keras writes them."""
        index = index_of(source, limits)
        if index is None:
            return False
        return _weights_root(index) is not None or index.text("", "model_config") is not None

    def read(self, source: Source, architecture: Architecture | None, limits: Limits) -> Checkpoint:
        """Return the content of the file."""
        index = require_index(source, limits)
        whole = _weights_root(index) != ""
        root = "model_weights" if whole else ""
        layers = read_layers(index, source.name)
        version = index.text("", "keras_version") or index.text(root, "keras_version")
        generation = _generation(version, index, root, layers)
        architecture = architecture or _own_architecture(
            index, source.name, generation, version, limits
        )
        training = _training(index, source.name, limits)
        variables = _optimizer_variables(index, source.name)
        file_format = "keras-h5" if whole else "keras-h5-weights"
        return Checkpoint(
            layers=layers,
            graph=_graph(architecture, layers, limits),
            optimizer=optimizer_state(
                training or (architecture.training if architecture else None),
                variables,
                generation=generation,
                version=version,
            ),
            training=training,
            extras=_extras(index, root, layers, source.name),
            provenance=provenance(
                source,
                file_format,
                version=version,
                generation=generation,
                backend=index.text("", "backend") or index.text(root, "backend"),
                architecture=architecture,
            ),
            stored=StoredFile(
                file_format,
                index.groups,
                index.attributes,
                index.arrays,
                {},
                architecture.text if architecture else None,
                version,
            ),
        )


READER = KerasH5()


def read_layers(index: Hdf5Index, file: str) -> list[LayerArrays]:
    """Return the arrays layer by layer, in stored order. Raises UnreadableFileError."""
    root = _weights_root(index)
    root = "model_weights" if root is None else root
    return [_layer(index, root, name, file) for name in _layer_names(index, root, file)]


def _weights_root(index: Hdf5Index) -> str | None:
    """Return the group that holds the layer groups, or None."""
    return next(
        (g for g in ("model_weights", "") if index.texts(g, "layer_names") is not None), None
    )


def _layer_names(index: Hdf5Index, root: str, file: str) -> Sequence[str]:
    names = index.texts(root, "layer_names")
    if names is None:
        message = f"{file}: group 'model_weights' has no attribute 'layer_names'."
        raise UnreadableFileError(message)
    if len(set(names)) != len(names):
        message = f"{file}: attribute 'layer_names' lists {quote(_first_double(names))} twice."
        raise UnreadableFileError(message)
    return names


def _listed_arrays(index: Hdf5Index, group: str, file: str) -> dict[str, ArrayInfo]:
    """Return stored weight name to array in the order of `weight_names`."""
    names = index.texts(group, "weight_names")
    if names is None:
        message = f"{file}: group {quote(group)} has no attribute 'weight_names'."
        raise UnreadableFileError(message)
    if len(set(names)) != len(names):
        message = (
            f"{file}: 'weight_names' of {quote(group)} lists {quote(_first_double(names))} twice."
        )
        raise UnreadableFileError(message)
    found = {}
    for name in names:
        array = index.arrays.get(f"{group}/{name}")
        if array is None:
            message = f"{file}: 'weight_names' of {quote(group)} lists {quote(name)}, which is not stored there."
            raise UnreadableFileError(message)
        found[name] = array
    return found


def _first_double(names: Sequence[str]) -> str:
    return next(name for place, name in enumerate(names) if name in names[:place])


def _layer(index: Hdf5Index, root: str, name: str, file: str) -> LayerArrays:
    group = f"{root}/{name}" if root else name
    if group not in index.groups:
        message = f"{file}: 'layer_names' lists {quote(name)}, but there is no such group."
        raise UnreadableFileError(message)
    return LayerArrays(
        path=name, name=name, arrays=_by_role(_listed_arrays(index, group, file), name)
    )


def _by_role(stored: Mapping[str, ArrayInfo], layer: str) -> dict[str, ArrayInfo]:
    """Name arrays by their role, or all by their stored names where roles repeat (nested, bidirectional)."""
    whole = {re.sub(r":\d+$", "", name): array for name, array in stored.items()}
    roles = {_role(name, layer): array for name, array in whole.items()}
    if len(roles) == len(stored):
        return roles
    return whole if len(whole) == len(stored) else dict(stored)


def _role(name: str, layer: str) -> str:
    own = name.removeprefix(f"{layer}_")
    if own != name and "/" not in own:  # of Keras 1
        match = ROLE.fullmatch(own)
        return match[1] if match else own
    last = PurePosixPath(name).name
    split = split_name(last) if "/" not in name else None
    return split[1] if split else last


def _generation(
    version: str | None, index: Hdf5Index, root: str, layers: Sequence[LayerArrays]
) -> int:
    generation = major_version(version) if version else None
    if generation is not None:
        return generation
    # Only Keras 1 leaves the version out of weight files, and its names have no slash (`dense_1_W:0`).
    groups = (f"{root}/{layer.path}" if root else layer.path for layer in layers)
    names = [name for group in groups for name in index.texts(group, "weight_names") or ()]
    return 2 if any("/" in name for name in names) else 1


def _own_architecture(
    index: Hdf5Index, file: str, generation: int, version: str | None, limits: Limits
) -> Architecture | None:
    text = index.text("", "model_config")
    if text is None:
        return None
    return parse_architecture(text, file, limits, generation=generation, version=version)


def _graph(
    architecture: Architecture | None, layers: Sequence[LayerArrays], limits: Limits
) -> Graph | None:
    graph = architecture.graph(limits) if architecture else None
    return name_unnamed(graph, [entry.path for entry in layers]) if graph else None


def _training(index: Hdf5Index, file: str, limits: Limits) -> Mapping[str, object] | None:
    text = index.text("", "training_config")
    if text is None:
        return None
    return parse_object(text, file, "training configuration", limits)


def _optimizer_variables(index: Hdf5Index, file: str) -> list[ArrayInfo]:
    if "optimizer_weights" not in index.groups:
        return []
    return [
        replace(array, name=name)
        for name, array in _listed_arrays(index, "optimizer_weights", file).items()
    ]


def _extras(
    index: Hdf5Index, root: str, layers: Sequence[LayerArrays], file: str
) -> list[ArrayInfo]:
    """Return all arrays that no layer and no optimizer list names, bare variables of the model first."""
    group = f"{root}/top_level_model_weights" if root else "top_level_model_weights"
    extras = list(_listed_arrays(index, group, file).values()) if group in index.groups else []
    claimed = {array.name for layer in layers for array in layer.arrays.values()}
    claimed |= {
        f"optimizer_weights/{name}"
        for name in index.texts("optimizer_weights", "weight_names") or ()
    }
    claimed |= {array.name for array in extras}
    rest = sorted(set(index.arrays) - claimed, key=natural_key)
    return extras + [index.arrays[name] for name in rest]
