"""One layer in several models: a torso in an actor and a critic that are both inside of a larger model.

A configuration has such a layer once for each model that holds it. What makes them one again is the number that Keras gives
objects it has seen, or that its containers store each object once. A shared layer is known by one path everywhere, in the
innermost model around all of its places.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from converters.errors import UnsupportedError
from converters.graph import Graph, Layer

Place = tuple[str, ...]
Alike = Sequence[Place]
"""Places of one layer: names of the models down to it, as they are nested in the configuration."""

MAX_SHARED_LAYERS = 500
"""Each is looked for at all places; a network has a few, and many of them cost seconds."""


def shared_by_number(graph: Graph) -> list[Alike]:
    """Return the places of layers that the configuration says it has more than once.

    Keras copies what a nested model has told of its layers before it numbers them: the first place of an object may be
    without the number (keras 3.15.1, saving/serialization_lib.py, `record_object_after_serialization`; 2.15 alike).
    """
    layers = list(_places(graph))
    numbered: dict[int, list[int]] = {}
    for index, (_, layer) in enumerate(layers):
        if layer.object_id is not None:
            numbered.setdefault(layer.object_id, []).append(index)
    groups: list[Alike] = []
    forms = _Forms()
    for indices in numbered.values():
        first = layers[indices[0]][1]
        unnumbered = [
            path
            for path, layer in layers[: indices[0]]
            if layer.object_id is None
            and layer.name == first.name
            and forms.are_equal(layer, first)
        ]
        places = [layers[index][0] for index in indices]
        if len(unnumbered) == 1:
            places.insert(0, unnumbered[0])
        if len(places) > 1:
            groups.append(places)
    return groups


def shared_by_absence(graph: Graph, missing: Collection[Place]) -> list[Alike]:
    """Return for layers without arrays the one before them that is stored, and is equal but for its place.

    Args:
        graph: all layers.
        missing: places without arrays where some are needed, in a file that stores each object of Keras once.
    """
    forms = _Forms()
    before: list[tuple[Place, Layer]] = []
    groups: list[Alike] = []
    found: set[Place] = set()
    wanted = set(missing)
    for path, layer in _places(graph):
        if path[:-1] in found:
            found.add(path)
            continue
        if path not in wanted and path[:-1] not in wanted:
            before.append((path, layer))
            continue
        equal = [
            other
            for other, stored in before
            if stored.name == layer.name and forms.are_equal(stored, layer)
        ]
        if len(equal) == 1:
            groups.append([equal[0], path])
            found.add(path)
        else:
            wanted.add(path)  # of a model, its layers may be there
    return groups


def shared_by_value(graph: Graph, are_equal: Callable[[Place, Place], bool]) -> list[Alike]:
    """Return the places of layers that may be one: equal but for their place, with equal arrays.

    Args:
        graph: all layers, none of them shared yet.
        are_equal: whether the arrays of two layers, or of all in two models, are the same.
    """
    forms = _Forms()
    groups: list[list[tuple[Place, Layer]]] = []
    by_name: dict[str, list[list[tuple[Place, Layer]]]] = {}
    for path, layer in _places(graph):
        known = by_name.setdefault(layer.name, [])
        for group in known:
            other, first = group[0]
            if forms.are_equal(first, layer) and are_equal(other, path):
                group.append((path, layer))
                break
        else:
            known.append([(path, layer)])
            groups.append(known[-1])
    return [[path for path, _ in group] for group in groups if len(group) > 1]


def with_shared(graph: Graph, groups: Sequence[Alike]) -> Graph:
    """Return the graph with the layers of each group as one. Raises UnsupportedError if there are too many."""
    if not groups:
        return graph
    known: dict[Place, Place] = {}
    raw = [path for path, _ in _places(graph)]
    taken = set(raw)
    count = 0
    for group in sorted(groups, key=lambda group: min(map(len, group))):
        places = {_resolved(path, known) for path in group}
        if len(places) < 2:
            continue  # inside of a model that is shared as a whole
        if (count := count + 1) > MAX_SHARED_LAYERS:
            msg = f"more than {MAX_SHARED_LAYERS} layers are shared between nested models"
            raise UnsupportedError(msg)
        target = _common_place(places, taken)
        taken.add(target)
        known |= {path: target for path in raw if _resolved(path, known) in places}
    return _marked(graph, (), known)


def _common_place(places: Collection[Place], taken: Collection[Place]) -> Place:
    """Return the path in the innermost model around all places: one of them, or one that is free."""
    models = [path[:-1] for path in places]
    length = 0
    while all(len(model) > length for model in models) and len({m[length] for m in models}) == 1:
        length += 1
    around = models[0][:length]
    own = sorted(path for path in places if path[:-1] == around)
    if own:
        return own[0]
    name = min(path[-1] for path in places)
    while (*around, name) in taken:
        name += "_shared"
    return (*around, name)


def _resolved(path: Place, known: Mapping[Place, Place]) -> Place:
    """Return the path of what lies at a place, as shared layers around it are known."""
    if path in known or not path:
        return known.get(path, ())
    return (*_resolved(path[:-1], known), path[-1])


def _marked(graph: Graph, prefix: Place, known: Mapping[Place, Place]) -> Graph:
    layers = []
    for layer in graph.layers:
        path = (*prefix, layer.name)
        if layer.graph is not None:
            layer = replace(layer, graph=_marked(layer.graph, path, known))
        layers.append(replace(layer, shared=known.get(path)))
    return replace(graph, layers=tuple(layers))


def _places(graph: Graph, prefix: Place = ()) -> Iterator[tuple[Place, Layer]]:
    """Yield all layers but inputs, and nested models before their layers, by their place in the configuration."""
    for layer in graph.layers:
        if layer.class_name != "InputLayer":
            yield (*prefix, layer.name), layer
        if layer.graph is not None:
            yield from _places(layer.graph, (*prefix, layer.name))


class _Forms:
    """Compares layers by what the configuration says of them, without the numbers of objects."""

    def __init__(self) -> None:
        self._known: dict[int, object] = {}

    def are_equal(self, layer: Layer, other: Layer) -> bool:
        """Return whether two layers, or models, have the same name, settings, and layers inside."""
        return self._form(layer) == self._form(other)

    def _form(self, layer: Layer) -> object:
        if id(layer) not in self._known:
            self._known[id(layer)] = (
                (layer.name, layer.class_name, layer.trainable, _unnumbered(layer.config)),
                {name: self._form(part) for name, part in layer.inner.items()},
                None
                if layer.graph is None
                else ([self._form(part) for part in layer.graph.layers], layer.graph.calls),
            )
        return self._known[id(layer)]


def _unnumbered(value: object) -> object:
    if isinstance(value, Mapping):
        return {
            key: _unnumbered(entry) for key, entry in value.items() if key != "shared_object_id"
        }
    if isinstance(value, (list, tuple)):
        return [_unnumbered(entry) for entry in value]
    return value
