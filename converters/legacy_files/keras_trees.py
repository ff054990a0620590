"""Restored arrays arranged as a Keras file has them: as the legacy file was, or in another of Keras's formats.

The legacy layout groups arrays by layer name and lists their names in attributes; the container of Keras 3 groups
them by class name and counter, in the order of the configuration (`converters.matching.groups` reads both).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from converters.checkpoint import ArrayInfo
from converters.errors import UnsupportedError
from converters.graph import Graph, Layer
from converters.legacy_files.keras_texts import archive_members, h5_attributes
from converters.legacy_files.record import OPTIMIZER_GROUPS, LegacyRecord
from converters.legacy_files.restore import Restored
from converters.limits import Limits
from converters.matching.containers import CELL_LISTS, snake_case
from converters.matching.groups import match_arrays
from converters.matching.model_weights import Path, leaves, stored_weights
from converters.matching.stored_quantization import graph_as_stored
from converters.names import taken_names, unique
from converters.readers.files.keras_settings import parse_architecture
from converters.readers.files.natural_order import natural_key
from converters.readers.hdf5.client import Hdf5Index
from converters.readers.keras_h5 import read_layers
from converters.readers.keras_weights_h5 import read_container
from converters.registry import Weight
from converters.writers.keras_files import KerasTree

CONTAINERS = ("keras-weights-h5", "keras-archive")
CELL_LAYERS = (
    *("SimpleRNN", "LSTM", "GRU"),
    *("ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"),
)
"""Layers whose weights lie in their cell."""
HIDDEN_PARTS = ("GroupQueryAttention",)
"""Layers made of layers that Keras keeps under names with an underscore in front."""

Arrays = Mapping[Path, Mapping[str, ArrayInfo]]


@dataclass(slots=True)
class Tree:
    """A tree of groups and arrays that grows."""

    groups: list[str] = field(default_factory=list)
    attributes: dict[str, dict[str, str | list[str]]] = field(default_factory=dict)
    arrays: dict[str, ArrayInfo] = field(default_factory=dict)

    def add_names(self, group: str, arrays: Mapping[str, ArrayInfo]) -> None:
        """Add a group of the legacy layout: a list of names, and the arrays under them."""
        self.groups.append(group)
        self.attributes[group] = {"weight_names": list(arrays)}
        self.arrays |= {f"{group}/{name}": info for name, info in arrays.items()}

    def add_variables(self, group: str, name: str, arrays: Sequence[ArrayInfo]) -> None:
        """Add a group of the container: numbered arrays, and the name of their owner."""
        self.groups.append(f"{group}vars")
        self.attributes[f"{group}vars"] = {"name": name}
        self.arrays |= {f"{group}vars/{index}": info for index, info in enumerate(arrays)}

    def finish(self, members: Mapping[str, str]) -> KerasTree:
        """Return what is written, with the texts beside the arrays."""
        return KerasTree(tuple(self.groups), self.attributes, self.arrays, members)


def arrange(record: LegacyRecord, restored: Restored, file_format: str) -> KerasTree:
    """Return the tree of a file of `file_format`.

    Raises:
        UnsupportedError: The format needs what the legacy file did not have, or holds a layer whose place in it is
            not known.
        MismatchError: Arrays and configuration do not belong together.
    """
    in_container = record.format in CONTAINERS
    if file_format == record.format or (in_container and file_format in CONTAINERS):
        members = archive_members(record) if file_format == "keras-archive" else {}
        return _as_stored(record, restored, members)
    if file_format == "keras-h5-weights" and record.format == "keras-h5":
        return _weights_of_whole(_as_stored(record, restored, {}))
    graph, arrays = read_layout(record, restored)
    if file_format in CONTAINERS:
        members = archive_members(record) if file_format == "keras-archive" else {}
        return _container(record, restored, graph, arrays).finish(members)
    texts = h5_attributes(record) if file_format == "keras-h5" else {}
    return _legacy_file(record, restored, graph, arrays, texts).finish({})


def read_layout(record: LegacyRecord, restored: Restored) -> tuple[Graph, Arrays]:
    """Return the graph of the configuration and the restored arrays by layer and role."""
    if record.configuration is None:
        msg = "the model's configuration is not in the file: the legacy file had weights only"
        raise UnsupportedError(
            msg, hint="export to the format it had, or convert again with --architecture"
        )
    architecture = parse_architecture(
        record.configuration,
        "configuration",
        Limits(),
        generation=record.generation,
        version=record.version,
    )
    graph = architecture.graph(Limits())
    if graph is None:
        msg = f"the legacy model's class '{architecture.foreign_class}' is not one of Keras's own"
        raise UnsupportedError(msg, hint="export to the format that the legacy file had")
    index = Hdf5Index(frozenset(record.groups), record.attributes, restored.arrays)
    in_container = record.format in CONTAINERS
    entries = (
        read_container(index).layers if in_container else read_layers(index, "the legacy file")
    )
    matched = match_arrays(graph, entries)
    return graph_as_stored(matched.graph, matched.arrays), matched.arrays


def _as_stored(record: LegacyRecord, restored: Restored, members: Mapping[str, str]) -> KerasTree:
    """Return the legacy file's own tree, without the optimizer's part where that is not carried."""
    prefix = OPTIMIZER_GROUPS[record.format]

    def is_carried(path: str) -> bool:
        return restored.slots is not None or path.split("/")[0] != prefix

    return KerasTree(
        tuple(group for group in record.groups if is_carried(group)),
        {group: found for group, found in record.attributes.items() if is_carried(group)},
        {p: restored.arrays[p] for p in record.arrays if is_carried(p) and p in restored.arrays},
        members,
    )


def _weights_of_whole(tree: KerasTree) -> KerasTree:
    """Return the part of a whole-model .h5 that `save_weights` writes."""
    root = "model_weights"

    def inside(path: str) -> bool:
        return path == root or path.startswith(f"{root}/")

    cut = len(root) + 1
    return KerasTree(
        tuple(group[cut:] for group in tree.groups if inside(group)),
        {group[cut:]: found for group, found in tree.attributes.items() if inside(group)},
        {path[cut:]: info for path, info in tree.arrays.items() if inside(path)},
        {},
    )


def _layers(graph: Graph) -> Iterator[Layer]:
    """Yield the layers that Keras lists: Sequential does not count its input."""
    for layer in graph.layers:
        if layer.class_name != "InputLayer" or graph.class_name != "Sequential":
            yield layer


def _legacy_file(
    record: LegacyRecord,
    restored: Restored,
    graph: Graph,
    arrays: Arrays,
    texts: Mapping[str, str],
) -> Tree:
    tree = Tree()
    root = "model_weights" if texts else ""
    colon = ":0" if record.generation < 3 else ""
    about = {
        "keras_version": record.version or f"{record.generation}.0.0",
        "backend": "tensorflow",
    }
    names: dict[str, str | list[str]] = {"layer_names": [layer.name for layer in _layers(graph)]}
    tree.attributes[root] = {**names, **about}
    if texts:
        tree.attributes[""] = dict(texts)
    for layer in sorted(_layers(graph), key=lambda layer: layer.name):
        own = layer.path_in(())
        parts = leaves(layer.graph, own) if layer.graph else [(own, layer)]
        weights = [
            (path, weight, part.trainable and layer.trainable and weight.trainable)
            for path, part in parts
            for weight in stored_weights(part)
        ]
        # Keras lists what trains before what does not.
        weights.sort(key=lambda item: not item[2])
        taken = taken_names()
        found = {
            unique("/".join((*path, weight.role)), taken) + colon: arrays[path][weight.role]
            for path, weight, _ in weights
        }
        tree.add_names(f"{root}/{layer.name}" if root else layer.name, found)
    if texts and restored.slots is not None and record.optimizer is not None:
        variables = {f"{name}{colon}": info for name, info in _variables(record, restored)}
        tree.add_names("optimizer_weights", variables)
    return tree


def _container(record: LegacyRecord, restored: Restored, graph: Graph, arrays: Arrays) -> Tree:
    tree = layers_tree(graph, arrays)
    if restored.slots is not None and record.optimizer is not None:
        if record.generation == 3:
            variables = [info for _, info in _variables(record, restored)]
            tree.add_variables("optimizer/", record.optimizer.kind.lower(), variables)
        else:
            reason = (
                f"Keras {record.generation} ordered it otherwise than Keras 3; export to .h5 for it"
            )
            restored.slots = None
            restored.lost.append(("optimizer state", reason))
    return tree


def layers_tree(graph: Graph, arrays: Arrays) -> Tree:
    """Return a container of the layers' arrays alone."""
    tree = Tree()
    tree.add_variables("", graph.name, [])
    _add_layers(tree, "", graph, (), arrays, set())
    return tree


def _add_layers(
    tree: Tree, prefix: str, graph: Graph, path: Path, arrays: Arrays, seen: set[Path]
) -> None:
    groups = _container_groups(graph)
    for layer in _layers(graph):
        if layer.name not in groups:
            continue
        group = f"{prefix}{groups[layer.name]}/"
        own = layer.path_in(path)
        if own in seen:
            continue  # Keras stores an object once
        seen.add(own)
        tree.add_variables(group, layer.name, [])
        if layer.graph is not None:
            _add_layers(tree, group, layer.graph, own, arrays, seen)
            continue
        found = arrays.get(own, {})
        for place, info in places(layer, found).items():
            tree.arrays[f"{group}{place}"] = info


def _container_groups(graph: Graph) -> dict[str, str]:
    """Return the group of every layer of a model by its name: "layers/dense_1"; operations are no layers."""
    kinds = {
        layer.name: "rnn" if "cell" in layer.config else snake_case(layer.class_name)
        for layer in _layers(graph)
        if not layer.class_name.startswith("ops.")
    }
    return _numbered("layers", kinds)


def _numbered(container: str, kinds: Mapping[str, str]) -> dict[str, str]:
    """Return the group of each part of a list, by class and a counter."""
    counts: dict[str, int] = {}
    groups = {}
    for name, kind in kinds.items():
        counts[kind] = counts.get(kind, -1) + 1
        groups[name] = f"{container}/{kind}{f'_{counts[kind]}' if counts[kind] else ''}"
    return groups


def _inner_groups(layer: Layer) -> Mapping[str, str]:
    """Return the group of everything that a layer holds, inside its own, by attribute."""
    if layer.graph is not None:
        return _container_groups(layer.graph)
    if layer.class_name not in CELL_LISTS:
        return {name: name for name in layer.inner}
    kinds = {name: f"{snake_case(cell.class_name)}_cell" for name, cell in layer.inner.items()}
    return _numbered(CELL_LISTS[layer.class_name], kinds)


def places(layer: Layer, arrays: Mapping[str, ArrayInfo]) -> dict[str, ArrayInfo]:
    """Return the arrays of a layer by their place in its group of a container: "vars/0", "cell/vars/1".

    Raises:
        UnsupportedError: The layer is made of layers whose places are not known.
    """
    found: dict[str, ArrayInfo] = {}
    counts: dict[str, int] = {}
    for weight in sorted(stored_weights(layer), key=lambda weight: not weight.trainable):
        group, number = _place(layer, weight)
        counts[group] = counts.get(group, -1) + 1
        index = counts[group] if number is None else number
        found[f"{group}vars/{index}"] = arrays[weight.role]
    if layer.class_name == "SpectralNormalization":
        # Keras stores the kernel a second time, as a variable of the wrapper.
        found["vars/1"] = found.pop("vars/0")
        found["vars/0"] = found["layer/vars/0"]
    return found


def _place(layer: Layer, weight: Weight) -> tuple[str, str | None]:
    """Return the group of a weight inside its layer's, and its number where the rule states it."""
    if weight.place is not None:
        group, _, number = weight.place.rpartition("/")
        hidden = "_" if layer.class_name in HIDDEN_PARTS else ""
        return (f"{hidden}{group}/" if group else ""), number
    attribute, slash, role = weight.role.partition("/")
    if slash and attribute in layer.inner:
        inside, place = _place(layer.inner[attribute], replace(weight, role=role))
        if layer.class_name in CELL_LISTS:
            inside = inside.removeprefix("cell/")  # they are cells, not layers around one
        return f"{_inner_groups(layer)[attribute]}/{inside}", place
    if slash:
        msg = (
            f"layer '{layer.name}' ({layer.class_name}): where Keras 3 stores '{weight.role}' in this format "
            "is not known"
        )
        raise UnsupportedError(msg, hint="export to the format that the legacy file had")
    return ("cell/" if layer.class_name in CELL_LAYERS else ""), None


def _variables(record: LegacyRecord, restored: Restored) -> list[tuple[str, ArrayInfo]]:
    """Return the optimizer's variables in stored order, with a name for each."""
    optimizer = record.optimizer
    if optimizer is None:
        return []
    prefix = OPTIMIZER_GROUPS[record.format]
    listed = record.attributes.get(prefix, {}).get("weight_names")
    paths = (
        [f"{prefix}/{name}" for name in listed]
        if isinstance(listed, list)
        else sorted((p for p in record.arrays if p.startswith(f"{prefix}/")), key=natural_key)
    )
    names = {path: entry for entry, path in optimizer.numbers.items()}
    names |= {
        path: f"{slot}_{index}"
        for slot, slot_paths in optimizer.slots.items()
        for index, path in enumerate(slot_paths)
        if path is not None
    }
    owner = optimizer.kind.lower()
    renamed = {"iterations": "iteration"}
    return [
        (
            f"{owner}/{renamed.get(names.get(path, ''), names.get(path, f'variable_{index}'))}",
            restored.arrays[path],
        )
        for index, path in enumerate(paths)
        if path in restored.arrays
    ]
