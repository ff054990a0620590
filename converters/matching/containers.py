"""Which group of a weight container is whose: `.weights.h5` and `.keras` go by class name and a counter."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace

from converters.checkpoint import ArrayInfo, LayerArrays
from converters.graph import Graph, Layer
from converters.matching.assignment import assign, listed_roles
from converters.matching.model_weights import Path, leaves, stored_weights
from converters.matching.quantization import CALIBRATED, QUANTIZED, QUANTIZED_TO_FLOAT8
from converters.matching.search import Search
from converters.matching.stored_quantization import as_stored

CONTAINERS = ("layers", "_layer_checkpoint_dependencies")
CELL_LISTS = {"RNN": "cell/cells", "StackedRNNCells": "cells"}
"""Where layers have their list of cells."""
EXPORTED_NAMES = {
    "GroupQueryAttention": "GroupedQueryAttention",
    **{f"Quantized{name}": name for name in QUANTIZED},
    **{f"Float8{name}": name for name in QUANTIZED_TO_FLOAT8},
    **{f"Calibrated{name}": name for name in CALIBRATED},
}
"""Classes that have another name here, or in configurations, than Keras's own."""
KEPT_TWICE = "the kernel of the wrapped layer, which is stored there as well"
LOOKED_UP_TWICE = "the weights of the words, which the layer around the table stores as well"
INNER_OPTIMIZER = (
    "the optimizer of a nested model, compiled by itself; the whole is trained by its own"
)


def match_containers(
    graph: Graph,
    entries: Sequence[LayerArrays],
    place: tuple[Path, Path],
    search: Search,
) -> None:
    """Find the arrays of a model in its groups.

    Args:
        graph: of the model.
        entries: its groups, with paths that begin inside of it.
        place: of the model in the configuration, and the path that it is known by.
        search: added to.
    """
    children: dict[str, list[LayerArrays]] = {}
    for entry in entries:
        _, _, below = entry.path.partition("/")
        key, _, deeper = below.partition("/")
        children.setdefault(key, []).append(LayerArrays(deeper, entry.name, entry.arrays))
    keys = _container_keys(graph, children, place[1], search)
    for layer in graph.layers:
        there, path = (*place[0], layer.name), layer.path_in(place[1])
        parts = list(leaves(layer.graph, path)) if layer.graph else [(path, layer)]
        needed = [(part, weight) for part, leaf in parts for weight in stored_weights(leaf)]
        inside = _once(layer, children.pop(keys.get(layer.name, ""), []), search.ignored)
        if layer.graph is None:
            layer = as_stored(layer, _roles(inside))
            needed = [(path, weight) for weight in stored_weights(layer)]
        if not any(entry.arrays for entry in inside):
            if any(part not in search.arrays for part, _ in needed):
                search.missing[there] = (
                    f"layer '{layer.name}': the file has no arrays for it, needed {listed_roles(needed)}"
                )
        elif layer.graph:
            inside = _without_optimizer(inside, search.ignored)
            match_containers(layer.graph, inside, (there, path), search)
        else:
            found: dict[Path, dict[str, ArrayInfo]] = {}
            assign(
                LayerArrays(layer.name, layer.name, _roles(_in_order(layer, inside))),
                path,
                [w for _, w in needed],
                found,
                search.problems,
            )
            search.add(found, layer.name)
    search.problems += [
        f"the architecture has no layer for the arrays of '{key}'"
        for key, left in children.items()
        if any(entry.arrays for entry in left)
    ]


def _roles(entries: Sequence[LayerArrays]) -> dict[str, ArrayInfo]:
    """Return the arrays of a layer's groups by group and place: "query_dense/0"."""
    return {
        (f"{entry.path}/{role}" if entry.path else role): info
        for entry in entries
        for role, info in entry.arrays.items()
    }


def _without_optimizer(
    entries: Sequence[LayerArrays], ignored: list[tuple[str, str]]
) -> list[LayerArrays]:
    """Return the groups of a nested model without those of its own optimizer, which lie beside its layers."""
    own = [entry for entry in entries if entry.path.split("/")[0] == "optimizer"]
    ignored += [(i.name, INNER_OPTIMIZER) for entry in own for i in entry.arrays.values()]
    return [entry for entry in entries if entry not in own]


def _once(
    layer: Layer, entries: Sequence[LayerArrays], ignored: list[tuple[str, str]]
) -> Sequence[LayerArrays]:
    """Return the groups of a layer, and of what it holds, without an array that Keras stores twice."""
    prefixes = _inner_prefixes(layer, [entry.path for entry in entries])
    for prefix, part in zip(prefixes, layer.inner.values(), strict=True):
        own = [entry for entry in entries if f"{entry.path}/".startswith(f"{prefix}/")]
        below = [replace(entry, path=_below(prefix, entry.path)) for entry in own]
        kept = [
            replace(e, path=f"{prefix}/{e.path}".rstrip("/")) for e in _once(part, below, ignored)
        ]
        entries = [*(entry for entry in entries if entry not in own), *kept]
    if layer.class_name == "TextVectorization":
        inner = [entry for entry in entries if entry.path == "_lookup_layer"]
        ignored += [(i.name, LOOKED_UP_TWICE) for entry in inner for i in entry.arrays.values()]
        return [entry for entry in entries if entry not in inner]
    if layer.class_name != "SpectralNormalization":
        return entries
    result = []
    for entry in entries:
        if entry.path == "" and len(entry.arrays) == 2:
            (_, kernel), vector = entry.arrays.items()
            ignored.append((kernel.name, KEPT_TWICE))
            entry = replace(entry, arrays=dict([vector]))
        result.append(entry)
    return result


def _in_order(layer: Layer, entries: Sequence[LayerArrays]) -> Sequence[LayerArrays]:
    """Return the groups of a wrapper in the order of what it wraps; the file lists them by the alphabet."""
    if not layer.inner:
        return entries
    paths = [entry.path for entry in entries]
    return sorted(entries, key=lambda entry: _place_of(entry.path, layer, paths))


def _place_of(path: str, layer: Layer, paths: Sequence[str]) -> tuple[int, ...]:
    """Return where a group stands among what a wrapper holds, down to the innermost; its own arrays come first."""
    prefixes = _inner_prefixes(layer, paths)
    for index, (prefix, inner) in enumerate(zip(prefixes, layer.inner.values(), strict=True)):
        if f"{path}/".startswith(f"{prefix}/"):
            below = [
                _below(prefix, other) for other in paths if f"{other}/".startswith(f"{prefix}/")
            ]
            return (index + 1, *_place_of(_below(prefix, path), inner, below))
    return (0,)


def _below(prefix: str, path: str) -> str:
    return path.removeprefix(prefix).removeprefix("/")


def _inner_prefixes(layer: Layer, paths: Sequence[str]) -> list[str]:
    """Return the group of each inner layer: by attribute, or by class and a counter where Keras has a list of them.

    The counter of TensorFlow 2.12 leaves numbers out: what the file has is taken in its order.
    """
    if layer.graph is None and layer.class_name not in CELL_LISTS:
        return list(layer.inner)
    firsts = [path.split("/", 1)[0] for path in paths]
    stored = next((first for first in firsts if first in CONTAINERS), CONTAINERS[0])
    container = CELL_LISTS.get(layer.class_name, stored)
    inside = [_below(container, path) for path in paths if path.startswith(f"{container}/")]
    by_class: dict[str, list[str]] = {}
    for key in sorted({path.split("/", 1)[0] for path in inside}, key=_natural):
        by_class.setdefault(re.sub(r"_\d+$", "", key), []).append(key)
    prefixes = []
    for inner in layer.inner.values():
        name = snake_case(inner.class_name) + ("_cell" if layer.class_name in CELL_LISTS else "")
        waiting = by_class.get(name, []) if _has_weights(inner) else []
        prefixes.append(f"{container}/{waiting.pop(0) if waiting else '-'}")
    return prefixes


def _container_keys(
    graph: Graph, children: Mapping[str, Sequence[LayerArrays]], prefix: Path, search: Search
) -> dict[str, str]:
    """Return the container of every layer: by stated name, else by class name and order.

    A shared layer is in the container of the first model that has it only.
    """
    named = {
        entry.name: key
        for key, entries in children.items()
        for entry in entries
        if entry.name and not entry.path
    }
    keys = {layer.name: named[layer.name] for layer in graph.layers if layer.name in named}
    used = set(keys.values())
    by_class: dict[str, deque[str]] = {}
    for key in sorted(children, key=_natural):
        if key not in used:
            by_class.setdefault(re.sub(r"_\d+$", "", key), deque()).append(key)
    for layer in graph.layers:
        if layer.name in keys or not _has_weights(layer):
            continue
        path = layer.path_in(prefix)
        if any(part[: len(path)] == path for part in search.arrays):
            continue
        written_as = "rnn" if "cell" in layer.config else snake_case(layer.class_name)
        waiting = by_class.get(written_as)
        if waiting:
            keys[layer.name] = waiting.popleft()
    return keys


def _has_weights(layer: Layer) -> bool:
    if layer.graph is not None:
        return any(_has_weights(inner) for inner in layer.graph.layers)
    return bool(stored_weights(layer))


def snake_case(class_name: str) -> str:
    """Return Keras's container name of a class: "GlobalAveragePooling1D" is "global_average_pooling1d"."""
    class_name = EXPORTED_NAMES.get(class_name, class_name)
    name = re.sub(r"\W+", "", class_name.rsplit(">", 1)[-1])
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def _natural(text: str) -> tuple[object, ...]:
    stem, _, number = text.rpartition("_")
    return (stem, int(number)) if number.isdecimal() and len(number) < 10 else (text, 0)
