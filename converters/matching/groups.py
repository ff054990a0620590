"""Which stored arrays belong to which weight of which layer.

Legacy .h5 files group weights by layer name; `.weights.h5` and `.keras` by class name and a counter, in the order of
the configuration (`converters.matching.containers`). Nothing is matched by shape: shapes are checked afterwards
(`converters.plan`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from converters.checkpoint import ArrayInfo, LayerArrays
from converters.errors import MismatchError
from converters.graph import Graph, Layer
from converters.matching.assignment import assign, assign_by_order, listed_roles
from converters.matching.containers import CONTAINERS, match_containers
from converters.matching.cudnn import unfold
from converters.matching.keras1_gates import join_gates
from converters.matching.keras1_groups import deal_out
from converters.matching.lora import is_adapted, join_lora
from converters.matching.model_weights import Path, all_leaves, leaves, stored_weights
from converters.matching.search import Search, same_bytes
from converters.matching.shared_layers import (
    Alike,
    shared_by_absence,
    shared_by_number,
    shared_by_value,
    with_shared,
)
from converters.matching.stored_quantization import arrays_named, as_stored, graph_as_stored
from converters.matching.thawing import thawed
from converters.registry import Weight

LAYER_STATE = "what a stateful layer remembered of its last batch; the converted one starts anew"
SHARED = "the weights of a layer that several models share, which are stored with each of them"
SEED_STATE = "the state of a Keras seed generator; torch draws from its own"


@dataclass(frozen=True, slots=True)
class Matched:
    """Arrays by layer path and role, and those left out with the reason.

    Attributes:
        graph: with layers that several models share as one each.
        twins: stored name to that of the same array, stored with another model.
    """

    arrays: Mapping[Path, Mapping[str, ArrayInfo]]
    ignored: tuple[tuple[str, str], ...]
    graph: Graph
    twins: Mapping[str, str] = field(default_factory=dict)


def _is_state(path: str) -> bool:
    """Tell whether a group is what a stateful layer remembers, and not a layer that is called so."""
    *above, last = path.split("/")
    return last == "states" and len(above) > 1 and above[-1] not in CONTAINERS


def match_arrays(
    graph: Graph, entries: Sequence[LayerArrays], *, shared: Sequence[Alike] = ()
) -> Matched:
    """Return which array fills which weight.

    Args:
        graph: as it is configured.
        entries: of the file.
        shared: places of layers that are one object of Keras, besides those that the file tells of.

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
    # A layer made of layers has its name in a group without arrays of its own.
    bare = [entry for entry in entries if not entry.arrays]
    shared = [*shared, *shared_by_number(graph)]
    tied = with_shared(graph, shared)
    search = _search(tied, rest, bare)
    if search.missing and (further := shared_by_absence(graph, search.missing)):
        tied = with_shared(graph, [*shared, *further])
        search = _search(tied, rest, bare)
    problems = [*search.problems, *search.missing.values()]
    if problems:
        listed = "\n  ".join(problems)
        msg = f"arrays and architecture do not belong together:\n  {listed}"
        raise MismatchError(msg, hint="is the right --architecture given?")
    layers = dict(leaves(tied))
    plain = {
        path: {role: unfold(layers[path], role, info) for role, info in arrays.items()}
        for path, arrays in search.arrays.items()
    }
    ignored += [*search.ignored, *((name, SHARED) for name in search.twins)]
    return Matched(plain, tuple(ignored), tied, search.twins)


def match_equal_layers(
    graph: Graph, entries: Sequence[LayerArrays], matched: Matched
) -> Matched | None:
    """Return the arrays with all layers as one that may be one object of Keras, or None if there are no such layers.

    Args:
        graph: as it is configured.
        entries: of the file.
        matched: what `match_arrays` found with them.
    """
    if len(dict(all_leaves(graph, ()))) != len(dict(all_leaves(matched.graph, ()))):
        return None  # the file says itself what is shared
    arrays = matched.arrays

    def are_equal(place: Path, other: Path) -> bool:
        pairs = [
            (found, arrays.get((*other, *path[len(place) :]), {}))
            for path, found in arrays.items()
            if path[: len(place)] == place
        ]
        return bool(pairs) and all(
            found.keys() == others.keys()
            and all(same_bytes(info, others[role]) for role, info in found.items())
            for found, others in pairs
        )

    groups = shared_by_value(graph, are_equal)
    return match_arrays(graph, entries, shared=groups) if groups else None


def _search(graph: Graph, entries: Sequence[LayerArrays], bare: Sequence[LayerArrays]) -> Search:
    """Go through the groups of a file.

    Args:
        graph: with the layers that are known to be shared as one each.
        entries: groups with arrays of layers.
        bare: groups without arrays.
    """
    search = Search()
    if len(entries) == 1 and not entries[0].path:
        assign_by_order(entries[0], _all_weights(graph), search.arrays, search.problems)
    elif any(entry.path.split("/")[0] in CONTAINERS for entry in entries):
        match_containers(graph, [*entries, *bare], ((), ()), search)
    else:
        _match_names(graph, entries, search)
    return search


def _all_weights(graph: Graph) -> list[tuple[Path, Weight]]:
    """Return every weight in the order of `get_weights`: layer after layer."""
    return [(path, weight) for path, layer in leaves(graph) for weight in stored_weights(layer)]


def _match_names(
    graph: Graph,
    entries: Sequence[LayerArrays],
    search: Search,
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
        own = layer.path_in(())
        parts = list(leaves(layer.graph, own)) if layer.graph else [(own, layer)]
        needed = [
            (path, replace(weight, trainable=weight.trainable and part.trainable))
            for path, part in parts
            for weight in stored_weights(part)
        ]
        if entry is None:
            if needed:
                search.problems.append(
                    f"layer '{layer.name}': the file has no arrays for it, needed {listed_roles(needed)}"
                )
            continue
        inside = graph.generation == 1 and (layer.graph or layer.inner)
        if inside and (dealt := deal_out(parts, entry.arrays)) is not None:
            search.add(dealt, layer.name)
            continue
        found: dict[Path, dict[str, ArrayInfo]] = {}
        entry = replace(entry, arrays=join_lora([part for _, part in parts], entry.arrays))
        if layer.graph or layer.inner:
            needed = _trainable_first(layer, parts, entry)
        if layer.graph:
            assign_by_order(entry, needed, found, search.problems)
        else:
            entry = replace(entry, arrays=join_gates(layer, entry.arrays))
            assign(entry, parts[0][0], [weight for _, weight in needed], found, search.problems)
        search.add(found, layer.name)
    search.problems += [
        f"the architecture has no layer for the arrays of '{name}'" for name in by_name
    ]


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
