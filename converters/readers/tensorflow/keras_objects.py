"""Keras models inside a graph of objects: which variables are whose, in the terms of a `Checkpoint`.

Keras 2 reaches the layers of a model as `layer-0`, `layer-1`, ..., Keras 3 as the list `_operations`; both in the order of
the configuration. Where there is no configuration, variables are named by their attributes: `trunk/0/kernel`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from converters.checkpoint import ArrayInfo, LayerArrays
from converters.errors import AmbiguousTargetError, MismatchError
from converters.graph import Graph, Layer
from converters.readers.tensorflow.object_graph import Node

_LAYER = re.compile(r"layer-(\d{1,9})")
_SEED = "seed_generator_state"
_OLD_COUNTER, _COUNTER = "iter", "_iterations"
_STATE = re.compile(r"(?:^|/)states/\d+$")
"""What a stateful layer remembers between calls."""


@dataclass(frozen=True, slots=True)
class Objects:
    """A graph of objects and the arrays of its variables."""

    nodes: Sequence[Node]
    arrays: Mapping[str, ArrayInfo]

    def array(self, number: int) -> ArrayInfo | None:
        """Return the array of a variable's node; None for other objects."""
        key = self.nodes[number].key
        return None if key is None else self.arrays.get(key)

    def variables(self, start: int, *, without: frozenset[int] = frozenset()) -> dict[int, str]:
        """Return the variables below an object by the shortest path of attributes: {5: "cell/kernel"}."""
        found: dict[int, str] = {}
        seen = {start, *without}
        front = [(start, "")]
        while front:
            below = []
            for number, path in front:
                for name, child in self.nodes[number].children.items():
                    if child in seen:
                        continue
                    seen.add(child)
                    place = f"{path}/{name}" if path else name
                    if self.array(child) is not None:
                        found[child] = place
                    below.append((child, place))
            front = below
        return found


@dataclass(frozen=True, slots=True)
class StoredOptimizer:
    """What a graph of objects says of an optimizer.

    Attributes:
        variables: named as the variables were, in the order that Keras's own files have.
        settings: numbers that are variables: the learning rate, for old optimizers also beta_1 and others.
        weights: that it trains, in the order of its slots, by the names that Keras gave them; empty: not known.
    """

    variables: Sequence[ArrayInfo] = ()
    settings: Mapping[str, ArrayInfo] = field(default_factory=dict)
    weights: Sequence[tuple[str, ArrayInfo]] = ()


def generation_of(objects: Objects) -> int:
    """Return the generation of Keras that wrote the graph, by attributes that only Keras 3 has."""
    own = {"_operations", "_trainable_variables_indices"}
    return 3 if any(own.intersection(node.children) for node in objects.nodes) else 2


def find_model(objects: Objects, graph: Graph | None = None) -> int:
    """Return the model's node: the root, or the one attribute of the root that is a model and has the layers of a graph.

    Of several that fit, target networks are left out: they are copies of the one that trains.

    Raises:
        AmbiguousTargetError: There are several models.
    """
    root = objects.nodes[0]
    if _layer_nodes(objects, 0) is not None:
        return 0
    models = {name: node for name, node in root.children.items() if is_model(objects, node)}
    fitting = {name: node for name, node in models.items() if graph and _fits(objects, node, graph)}
    chosen = {name: node for name, node in fitting.items() if "target" not in name.lower()}
    for found in (models, fitting, chosen):
        if len(set(found.values())) == 1:
            return next(iter(found.values()))
    if models:
        several = ", ".join(fitting or models)
        msg = f"holds several models: {several}; which one is meant is not known"
        raise AmbiguousTargetError(
            msg, hint="give the configuration of one of them: --architecture config.json"
        )
    return root.children.get("model", 0)


def is_model(objects: Objects, node: int) -> bool:
    """Tell whether an object is a model with its layers in order."""
    return _layer_nodes(objects, node) is not None


def _fits(objects: Objects, model: int, graph: Graph) -> bool:
    """Tell whether a model has the layers of a configuration, in the sizes that it states."""
    try:
        stored = {entry.name: entry.arrays for entry in keras_layers(objects, model, graph)}
    except MismatchError:
        return False
    sizes = [each.shape[-1] for each in graph.inputs if each.shape]
    first = True
    for layer in graph.layers:
        kernel = stored.get(layer.name, {}).get("kernel")
        stated = layer.config.get("units", layer.config.get("filters"))
        if kernel is None or layer.class_name not in ("Dense", "Conv1D", "Conv2D", "Conv3D"):
            continue
        if kernel.shape[-1:] != (stated,):
            return False
        entered = sizes[0] if first and len(sizes) == 1 and layer.class_name == "Dense" else None
        if entered is not None and kernel.shape[0] != entered:
            return False
        first = False
    return True


def find_root(objects: Objects) -> int:
    """Return the node below which all models are: the one model's, or the root for several."""
    try:
        return find_model(objects)
    except AmbiguousTargetError:
        return 0


def keras_layers(objects: Objects, model: int, graph: Graph) -> list[LayerArrays]:
    """Return the arrays of a model's layers, in the form of a weight container.

    Raises:
        MismatchError: The number of layers is not that of the configuration.
    """
    return list(_layers(objects, model, graph, ""))


def named_by_attributes(objects: Objects, start: int) -> list[LayerArrays]:
    """Return all arrays below an object but those of its optimizers, grouped by the attributes that lead there."""
    without = frozenset(
        number for number, node in enumerate(objects.nodes) if _is_optimizer(node)
    ) | frozenset(node for _, _, node in _slots(objects))
    groups: dict[str, dict[str, ArrayInfo]] = {}
    for number, path in objects.variables(start, without=without).items():
        array = objects.array(number)
        holder, _, name = path.rpartition("/")
        if array is not None:
            groups.setdefault(holder, {})[name.lstrip("_")] = array
    found = [LayerArrays(path, path or None, arrays) for path, arrays in groups.items()]
    known = {array.name for entry in found for array in entry.arrays.values()}
    trained = _trained(objects)
    # Keras 3 does not track layers in a plain list: their weights are reached through the optimizer alone.
    return trained if known < {a.name for e in trained for a in e.arrays.values()} else found


def _trained(objects: Objects) -> list[LayerArrays]:
    """Return what the only optimizer of Keras 3 trains, in its order; a new layer begins where a role repeats."""
    lists = {
        node.children["_trainable_variables"]
        for node in objects.nodes
        if _is_optimizer(node) and "_trainable_variables" in node.children
    }
    if len(lists) != 1:
        return []
    groups: list[dict[str, ArrayInfo]] = []
    for number in objects.nodes[lists.pop()].items():
        array = objects.array(number)
        role = objects.nodes[number].full_name.rpartition("/")[2]
        if array is None:
            return []
        if not groups or role in groups[-1]:
            groups.append({})
        groups[-1][role] = array
    return [LayerArrays(f"trained/{place}", None, arrays) for place, arrays in enumerate(groups)]


def stored_optimizer(objects: Objects, model: int) -> StoredOptimizer:
    """Return the state of the optimizer that the model or the root holds; empty if there is none, or several."""
    own = objects.nodes[model].children.get("optimizer")
    candidates = [own] if own is not None and _is_optimizer(objects.nodes[own]) else []
    candidates += [c for c in objects.nodes[0].children.values() if _is_optimizer(objects.nodes[c])]
    if not candidates:  # an agent may hold it: agent/_optimizer
        candidates = [n for n, node in enumerate(objects.nodes) if _is_optimizer(node)]
    if own is None and len(set(candidates)) > 1:
        mine = set(objects.variables(model))
        candidates = [n for n in candidates if _trained_by(objects, n) & mine]
    if not candidates or (own is None and len(set(candidates)) > 1):
        return StoredOptimizer()
    node = objects.nodes[candidates[0]]
    suffix = "" if generation_of(objects) == 3 else ":0"  # as in the other files of Keras 2
    is_new = _COUNTER in node.children and "_variables" in node.children
    found = (_new_optimizer if is_new else _old_optimizer)(objects, node, suffix)
    return replace(found, weights=_weights_of(objects, node, model, suffix))


def _weights_of(
    objects: Objects, node: Node, model: int, suffix: str
) -> list[tuple[str, ArrayInfo]]:
    """Return the weights that an optimizer trains, in the order of its slots."""
    lists = [
        node.children.get("_trainable_variables"),  # Keras 3
        objects.nodes[model].children.get("trainable_variables"),  # of a SavedModel of Keras 2
    ]
    numbers = next((objects.nodes[each].items() for each in lists if each is not None), [])
    if node.slots:
        numbers = list(dict.fromkeys(variable for _, variable, _ in node.slots))
    numbers = numbers or _named_weights(objects, node)
    stored = [(objects.nodes[number].full_name, objects.array(number)) for number in numbers]
    return [(f"{name}{suffix}", array) for name, array in stored if array is not None]


def _named_weights(objects: Objects, node: Node) -> list[int]:
    """Return the weights of an optimizer of Keras 2.11 and later by the names of its slots: "Adam/m/dense/kernel"."""
    listed = node.children.get("_variables")
    if listed is None:
        return []
    places: dict[str, list[int]] = {}
    for number, each in enumerate(objects.nodes):
        if each.full_name and objects.array(number) is not None:
            places.setdefault(each.full_name, []).append(number)
    found: dict[int, None] = {}
    for number in objects.nodes[listed].items():
        parts = objects.nodes[number].full_name.split("/", 2)
        own = places.get(parts[2], []) if len(parts) == 3 else []
        if len(own) > 1:
            return []
        found |= dict.fromkeys(own)
    return list(found)


def _trained_by(objects: Objects, optimizer: int) -> set[int]:
    """Return the variables that an optimizer has slots for."""
    node = objects.nodes[optimizer]
    listed = node.children.get("_trainable_variables")
    numbers = set(objects.nodes[listed].items()) if listed is not None else set()
    return numbers | {variable for _, variable, _ in node.slots}


def _is_optimizer(node: Node) -> bool:
    new = _COUNTER in node.children and "_variables" in node.children
    return new or _OLD_COUNTER in node.children


def _slots(objects: Objects) -> Iterator[tuple[str, int, int]]:
    for node in objects.nodes:
        yield from node.slots


def _new_optimizer(objects: Objects, node: Node, suffix: str) -> StoredOptimizer:
    numbers = objects.nodes[node.children["_variables"]].items()
    if node.children[_COUNTER] not in numbers:
        numbers = [node.children[_COUNTER], *numbers]
    variables = [_named(objects, number, suffix) for number in numbers]
    settings = _numbers(objects, {"learning_rate": node.children.get("_learning_rate")})
    return StoredOptimizer([v for v in variables if v is not None], settings)


def _old_optimizer(objects: Objects, node: Node, suffix: str) -> StoredOptimizer:
    """Counter first, then all slots of one name after those of another, as old Keras files list them."""
    settings = _numbers(
        objects, {name: child for name, child in node.children.items() if name != _OLD_COUNTER}
    )
    by_slot: dict[str, list[ArrayInfo]] = {}
    for slot, _, number in node.slots:
        array = _named(objects, number, suffix)
        if array is not None:
            by_slot.setdefault(slot, []).append(array)
    counter = _named(objects, node.children[_OLD_COUNTER], suffix)
    slots = [array for arrays in by_slot.values() for array in arrays]
    return StoredOptimizer([*([counter] if counter else []), *slots], settings)


def _numbers(objects: Objects, places: Mapping[str, int | None]) -> dict[str, ArrayInfo]:
    """Return those of the named objects that are single numbers."""
    found = {name: objects.array(node) for name, node in places.items() if node is not None}
    return {name: array for name, array in found.items() if array is not None and not array.shape}


def _named(objects: Objects, number: int, suffix: str = "") -> ArrayInfo | None:
    """Return a variable's array under the name the variable had, from which slots are told apart."""
    array = objects.array(number)
    name = objects.nodes[number].full_name
    return replace(array, name=f"{name}{suffix}") if array is not None and name else array


def _layer_nodes(objects: Objects, model: int) -> list[int] | None:
    """Return the nodes of a model's layers in their order; None if the object is no such model."""
    children = objects.nodes[model].children
    numbered = [
        (int(match.group(1)), node)
        for name, node in children.items()
        if (match := _LAYER.fullmatch(name))
    ]
    if numbered:
        return [node for _, node in sorted(numbered)]
    if "_operations" in children:
        return objects.nodes[children["_operations"]].items()
    inner = children.get("_functional")
    if inner is not None and "_operations" in objects.nodes[inner].children:
        return objects.nodes[objects.nodes[inner].children["_operations"]].items()
    return None


def _layers(objects: Objects, model: int, graph: Graph, prefix: str) -> Iterator[LayerArrays]:
    for layer, node in _paired(objects, model, graph):
        # A name with a slash ("q/dense") is one part of the path all the same.
        path = f"{prefix}layers/{layer.name.replace('%', '%25').replace('/', '%2F')}"
        if layer.graph is not None:
            yield LayerArrays(path, layer.name, {})
            yield from _layers(objects, node, layer.graph, f"{path}/")
            continue
        variables = {
            place: array
            for number, place in objects.variables(node).items()
            if (array := _named(objects, number)) is not None
        }
        seeds = {place: array for place, array in variables.items() if array.name.endswith(_SEED)}
        if seeds:
            yield LayerArrays(f"{path}/seed_generator", None, seeds)
        states = {place: array for place, array in variables.items() if _STATE.search(place)}
        if states:
            yield LayerArrays(f"{path}/states", None, states)
        stored = {
            place: array
            for place, array in variables.items()
            if place not in seeds and place not in states
        }
        yield LayerArrays(path, layer.name, _by_role(stored))


def _paired(objects: Objects, model: int, graph: Graph) -> Iterator[tuple[Layer, int]]:
    """Yield the layers of the configuration with their nodes; some writers leave out the input layers."""
    nodes = _layer_nodes(objects, model) or []
    layers = list(graph.layers)
    if len(nodes) < len(layers):
        layers = [layer for layer in layers if layer.class_name != "InputLayer"]
    elif len(nodes) == len(layers) + 1 and not objects.variables(nodes[0]):
        nodes = nodes[1:]
    if len(nodes) != len(layers):
        msg = f"found {len(nodes)} layers; the configuration of '{graph.name}' has {len(graph.layers)}"
        raise MismatchError(msg, hint="is the right --architecture given?")
    return zip(layers, nodes, strict=True)


def _by_role(stored: Mapping[str, ArrayInfo]) -> dict[str, ArrayInfo]:
    """Name arrays by the shortest of role, full name and place that tells them apart."""
    arrays = {_attribute(place): array for place, array in stored.items()}
    by_role = {array.name.rsplit("/", 1)[-1]: array for array in stored.values()}
    by_name = {array.name: array for array in stored.values()}
    return next((named for named in (by_role, by_name) if len(named) == len(stored)), arrays)


def _attribute(place: str) -> str:
    return "/".join(part.lstrip("_") for part in place.split("/") if part != "cell")
