"""Which stored arrays belong to which weight of which layer.

Legacy .h5 files group weights by layer name; `.weights.h5` and `.keras` by class name and a counter, in the order of
the configuration. Nothing is matched by shape: shapes are checked afterwards (`converters.plan`).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from converters.checkpoint import ArrayInfo, LayerArrays
from converters.errors import MismatchError
from converters.graph import Graph, Layer
from converters.matching.assignment import assign, assign_by_order, listed_roles
from converters.matching.cudnn import unfold
from converters.matching.keras1_gates import join_gates
from converters.matching.keras1_groups import deal_out
from converters.matching.lora import is_adapted, join_lora
from converters.matching.quantization import CALIBRATED, QUANTIZED, QUANTIZED_TO_FLOAT8
from converters.matching.stored_quantization import (
    HOLDERS,
    PARTS,
    arrays_named,
    as_stored,
    graph_as_stored,
)
from converters.matching.thawing import thawed
from converters.registry import Weight, find_layer_rule

Path = tuple[str, ...]
"""Names of the nested models down to a layer: ("encoder", "dense")."""

CONTAINERS = ("layers", "_layer_checkpoint_dependencies")
EXPORTED_NAMES = {
    "GroupQueryAttention": "GroupedQueryAttention",
    **{f"Quantized{name}": name for name in QUANTIZED},
    **{f"Float8{name}": name for name in QUANTIZED_TO_FLOAT8},
    **{f"Calibrated{name}": name for name in CALIBRATED},
}
"""Classes that have another name here, or in configurations, than Keras's own."""
KEPT_TWICE = "the kernel of the wrapped layer, which is stored there as well"
LOOKED_UP_TWICE = "the weights of the words, which the layer around the table stores as well"
LAYER_STATE = "what a stateful layer remembered of its last batch; the converted one starts anew"
INNER_OPTIMIZER = (
    "the optimizer of a nested model, compiled by itself; the whole is trained by its own"
)
SEED_STATE = "the state of a Keras seed generator; torch draws from its own"


@dataclass(frozen=True, slots=True)
class Matched:
    """Arrays by layer path and role, and those left out with the reason."""

    arrays: Mapping[Path, Mapping[str, ArrayInfo]]
    ignored: tuple[tuple[str, str], ...]


def leaves(graph: Graph, prefix: Path = ()) -> Iterable[tuple[Path, Layer]]:
    """Yield every layer that is not a nested model, with its path, in configuration order."""
    for layer in graph.layers:
        if layer.graph is not None:
            yield from leaves(layer.graph, (*prefix, layer.name))
        else:
            yield (*prefix, layer.name), layer


def stored_weights(layer: Layer) -> tuple[Weight, ...]:
    """Return the weights the configuration says the file has for a layer."""
    if layer.class_name == "InputLayer":
        return ()
    own = find_layer_rule(layer.class_name).stored_weights(layer)
    return own + tuple(
        replace(
            weight,
            role=f"{name}/{weight.role}",
            trainable=weight.trainable and inner.trainable,
            place=f"{PARTS[name]}/{index}" if layer.class_name in HOLDERS else weight.place,
        )
        for name, inner in layer.inner.items()
        for index, weight in enumerate(stored_weights(inner))
    )


def _is_state(path: str) -> bool:
    """Tell whether a group is what a stateful layer remembers, and not a layer that is called so."""
    *above, last = path.split("/")
    return last == "states" and len(above) > 1 and above[-1] not in CONTAINERS


def match_arrays(graph: Graph, entries: Sequence[LayerArrays]) -> Matched:
    """Return which array fills which weight.

    Raises:
        MismatchError: Arrays without a layer, or layers without their arrays; all of them are listed.
    """
    ignored: list[tuple[str, str]] = []
    rest = []
    for entry in entries:
        if entry.path.rsplit("/", 1)[-1] == "seed_generator" or set(entry.arrays) == {
            "seed_generator_state"
        }:
            ignored += [(info.name, SEED_STATE) for info in entry.arrays.values()]
        elif _is_state(entry.path):
            ignored += [(info.name, LAYER_STATE) for info in entry.arrays.values()]
        elif entry.arrays:
            rest.append(entry)
    problems: list[str] = []
    found: dict[Path, dict[str, ArrayInfo]] = {}
    if len(rest) == 1 and not rest[0].path:
        assign_by_order(rest[0], _all_weights(graph), found, problems)
    elif any(entry.path.split("/")[0] in CONTAINERS for entry in rest):
        # A layer made of layers has its name in a group without arrays of its own.
        rest += [entry for entry in entries if not entry.arrays]
        _match_containers(graph, rest, (), found, problems, ignored)
    else:
        _match_names(graph, rest, found, problems)
    if problems:
        listed = "\n  ".join(problems)
        msg = f"arrays and architecture do not belong together:\n  {listed}"
        raise MismatchError(msg, hint="is the right --architecture given?")
    layers = dict(leaves(graph))
    plain = {
        path: {role: unfold(layers[path], role, info) for role, info in arrays.items()}
        for path, arrays in found.items()
    }
    return Matched(plain, tuple(ignored))


def _all_weights(graph: Graph) -> list[tuple[Path, Weight]]:
    """Return every weight in the order of `get_weights`: layer after layer."""
    return [(path, weight) for path, layer in leaves(graph) for weight in stored_weights(layer)]


def _match_names(
    graph: Graph,
    entries: Sequence[LayerArrays],
    found: dict[Path, dict[str, ArrayInfo]],
    problems: list[str],
) -> None:
    by_name = {entry.name or entry.path: entry for entry in entries}
    for layer in graph.layers:
        entry = by_name.pop(layer.name, None)
        found_arrays = {} if entry is None else entry.arrays
        layer = (
            _nested_as_stored(layer, found_arrays)
            if layer.graph
            else as_stored(layer, found_arrays)
        )
        parts = (
            list(leaves(layer.graph, (layer.name,))) if layer.graph else [((layer.name,), layer)]
        )
        needed = [
            (path, replace(weight, trainable=weight.trainable and part.trainable))
            for path, part in parts
            for weight in stored_weights(part)
        ]
        if entry is None:
            if needed:
                problems.append(
                    f"layer '{layer.name}': the file has no arrays for it, needed {listed_roles(needed)}"
                )
            continue
        inside = graph.generation == 1 and (layer.graph or layer.inner)
        if inside and (dealt := deal_out(parts, entry.arrays)) is not None:
            found |= dealt
            continue
        entry = replace(entry, arrays=join_lora([part for _, part in parts], entry.arrays))
        if layer.graph or layer.inner:
            needed = _trainable_first(layer, parts, entry)
        if layer.graph:
            assign_by_order(entry, needed, found, problems)
        else:
            entry = replace(entry, arrays=join_gates(layer, entry.arrays))
            assign(entry, parts[0][0], [weight for _, weight in needed], found, problems)
    problems += [f"the architecture has no layer for the arrays of '{name}'" for name in by_name]


def _nested_as_stored(layer: Layer, arrays: Mapping[str, ArrayInfo]) -> Layer:
    """Return a nested model with what the arrays of its one group show, which have its layers in their names."""
    if layer.graph is None:
        return layer
    own = {path: arrays_named(part, arrays) for path, part in leaves(layer.graph)}
    return replace(layer, graph=graph_as_stored(layer.graph, own))


def _trainable_first(
    layer: Layer, parts: Sequence[tuple[Path, Layer]], entry: LayerArrays
) -> list[tuple[Path, Weight]]:
    """Return the weights of a nested model or a wrapper as its one group has them: those that train come first.

    A layer made of layers that is frozen in the configuration may train in Keras 3 (`thawed`): where the file's names
    show it, its weights are among the first. A kernel that LoRA adapts does not train.
    """
    orders = []
    for each in (parts, [(path, thawed(part)) for path, part in parts]):
        weights = [
            (
                path,
                weight,
                part.trainable and weight.trainable and not is_adapted(part, weight.role),
            )
            for path, part in each
            for weight in stored_weights(part)
        ]
        weights.sort(key=lambda item: not (layer.trainable and item[2]))
        orders.append([(path, weight) for path, weight, _ in weights])
    named = [
        order
        for order in orders
        if all(
            path[-1] in name.split("/")
            for name, (path, _) in zip(entry.arrays, order, strict=False)
        )
    ]
    return [*named, *orders][0]


def _match_containers(
    graph: Graph,
    entries: Sequence[LayerArrays],
    prefix: Path,
    found: dict[Path, dict[str, ArrayInfo]],
    problems: list[str],
    ignored: list[tuple[str, str]],
) -> None:
    children: dict[str, list[LayerArrays]] = {}
    for entry in entries:
        _, _, below = entry.path.partition("/")
        key, _, deeper = below.partition("/")
        children.setdefault(key, []).append(LayerArrays(deeper, entry.name, entry.arrays))
    keys = _container_keys(graph, children)
    for layer in graph.layers:
        path = (*prefix, layer.name)
        parts = list(leaves(layer.graph, path)) if layer.graph else [(path, layer)]
        needed = [(part, weight) for part, leaf in parts for weight in stored_weights(leaf)]
        inside = _once(layer, children.pop(keys.get(layer.name, ""), []), ignored)
        if layer.graph is None:
            layer = as_stored(layer, _roles(inside))
            needed = [(path, weight) for weight in stored_weights(layer)]
        if not any(entry.arrays for entry in inside):
            if needed:
                problems.append(
                    f"layer '{layer.name}': the file has no arrays for it, needed {listed_roles(needed)}"
                )
        elif layer.graph:
            inside = _without_optimizer(inside, ignored)
            _match_containers(layer.graph, inside, path, found, problems, ignored)
        else:
            assign(
                LayerArrays(layer.name, layer.name, _roles(_in_order(layer, inside))),
                path,
                [w for _, w in needed],
                found,
                problems,
            )
    problems += [
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
    """Return the groups of a layer without an array that Keras stores twice."""
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
    cells = {"RNN": "cell/cells", "StackedRNNCells": "cells"}
    if layer.graph is None and layer.class_name not in cells:
        return list(layer.inner)
    firsts = [path.split("/", 1)[0] for path in paths]
    stored = next((first for first in firsts if first in CONTAINERS), CONTAINERS[0])
    container = cells.get(layer.class_name, stored)
    inside = [_below(container, path) for path in paths if path.startswith(f"{container}/")]
    by_class: dict[str, list[str]] = {}
    for key in sorted({path.split("/", 1)[0] for path in inside}, key=_natural):
        by_class.setdefault(re.sub(r"_\d+$", "", key), []).append(key)
    prefixes = []
    for inner in layer.inner.values():
        name = snake_case(inner.class_name) + ("_cell" if layer.class_name in cells else "")
        waiting = by_class.get(name, []) if _has_weights(inner) else []
        prefixes.append(f"{container}/{waiting.pop(0) if waiting else '-'}")
    return prefixes


def _container_keys(graph: Graph, children: Mapping[str, Sequence[LayerArrays]]) -> dict[str, str]:
    """Return the container of every layer: by stated name, else by class name and order."""
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
