"""Which stored array is the value of which variable of a graph.

The graph's own operations for restoring say it: the names in a file, and the variables they are assigned to. That holds
for every kind of file (renamed variables, parts of one, objects of TensorFlow 2). Where they do not name a file's array,
the variable's own name does, or that of its moving average, which evaluation uses in its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from converters.checkpoint import ArrayInfo, Moved
from converters.errors import MismatchError, UnreadableFileError
from converters.readers.tensorflow.graph_def import GraphFile, Node
from converters.readers.tensorflow.protobuf import content, fields, integer, text
from converters.tensorflow_graphs.bound_variables import bound_variables
from converters.tensorflow_graphs.flatten import FlatGraph, FlatNode, parse_ref
from converters.tensorflow_graphs.values import AnyArray, Weights

VARIABLES = ("VariableV2", "Variable", "VarHandleOp", "AutoReloadVariable")
_ASSIGNING = ("Assign", "AssignVariableOp")
_HOPS = 8
AVERAGE = "/ExponentialMovingAverage"


@dataclass(frozen=True, slots=True)
class Stored:
    """Where the value of a variable lies in a file: a name, and the part of it, if the variable is one."""

    name: str
    part: tuple[tuple[int, int], ...] | None = None  # (start, length) by axis


@dataclass(slots=True)
class Variables:
    """The variables of a graph with their stored arrays.

    Attributes:
        graph: with the variables.
        arrays: of the file, by name.
        stored: variable to where it lies.
        frozen: names of variables that do not train, as far as the graph says.
        averaged: variables whose moving average stands in for them.
        by_shape: variables that were found by their shape alone, with the name in the file.
    """

    graph: GraphFile
    arrays: Mapping[str, ArrayInfo]
    stored: Mapping[str, Stored] = field(default_factory=dict)
    frozen: frozenset[str] = frozenset()
    averaged: list[str] = field(default_factory=list)
    by_shape: dict[str, str] = field(default_factory=dict)

    @staticmethod
    def of(graph: GraphFile, arrays: Mapping[str, ArrayInfo]) -> Variables:
        """Return the variables of a graph for a file's arrays."""
        bound = {node: Stored(name) for node, name in bound_variables(graph, arrays).items()}
        stored = bound | restored_variables(graph)
        return Variables(graph, arrays, stored, frozen_names(graph))

    def settle(self, flat: FlatGraph) -> None:
        """Assign arrays by shape, where the file has other names for all variables and shapes leave no choice."""
        nodes = [node for node in flat.values() if node.op in VARIABLES]
        if not nodes or any(self.array(node.name) is not None for node in nodes):
            return
        stated = {node.name: node.attributes.shape("shape") for node in nodes}
        places: dict[object, list[str]] = {}
        for name, array in self.arrays.items():
            places.setdefault(array.shape, []).append(name)
        found = {name: places.get(shape, []) for name, shape in stated.items()}
        if len(set(stated.values())) == len(nodes) and all(
            len(names) == 1 for names in found.values()
        ):
            self.by_shape |= {name: names[0] for name, names in found.items()}

    def weights(self, node: FlatNode) -> Weights:
        """Return the value of a variable's node.

        Raises:
            MismatchError: The file has no array for it, or one of another shape.
        """
        array = self.array(node.name)
        if array is None:
            msg = f"the file holds no value for variable {node.name[:200]!r} of the graph"
            raise MismatchError(msg, hint="name the checkpoint, not its graph alone: model.ckpt-77")
        stated = node.attributes.shape("shape")
        shape = tuple(stated) if stated is not None else array.shape
        if None not in shape and array.shape != shape:
            msg = f"variable {node.name[:200]!r} has shape {shape} in the graph, the file holds {array.shape}"
            raise MismatchError(msg, hint="is it the checkpoint of this graph?")
        name = self.name(node.name)
        trainable = name not in self.frozen and node.name not in self.frozen
        return Weights(array, name, trainable and array.dtype.kind == "f")

    def name(self, node: str) -> str:
        """Return the name of a variable by its node: a handle may have a shared name."""
        stored = self.graph.nodes.get(node)
        shared = stored.attributes.text("shared_name") if stored is not None else ""
        return shared if stored is not None and stored.op == "VarHandleOp" and shared else node

    def array(self, node: str) -> ArrayInfo | None:
        """Return the stored array of a variable, None if there is none."""
        if node in self.by_shape:
            return self.arrays[self.by_shape[node]]
        place = self.stored.get(node)
        names = [place.name] if place is not None else []
        names += [node, self.name(node)]
        for name in names:
            found = self.arrays.get(name)
            if found is not None:
                part = place.part if place is not None and name == place.name else None
                return found if part is None else _part(found, part)
        for name in names:
            found = self.arrays.get(f"{name}{AVERAGE}")
            if found is not None:
                if node not in self.averaged:
                    self.averaged.append(node)
                return found
        return None


def _part(array: ArrayInfo, part: tuple[tuple[int, int], ...]) -> ArrayInfo:
    place = tuple(slice(start, None if length < 0 else start + length) for start, length in part)
    shape = np.broadcast_to(np.zeros((), array.dtype), array.shape)[place].shape
    if shape == array.shape:
        return array
    read = partial(_read_part, array, place)
    moved = Moved((array,), lambda arrays: np.asarray(arrays[0][place]))
    return ArrayInfo(array.name, shape, array.dtype, read, moved)


def _read_part(array: ArrayInfo, place: tuple[slice, ...]) -> AnyArray:
    return np.asarray(array.read()[place])


def frozen_names(graph: GraphFile) -> frozenset[str]:
    """Return the names of the variables that the graph's collections, or its objects, say do not train."""
    trained = graph.collections.get("trainable_variables")
    if trained is None:
        return _frozen_objects(graph)
    known = [name for key in ("variables", "global_variables") for name in _names(graph, key)]
    return frozenset(known) - frozenset(_names(graph, "trainable_variables"))


def _names(graph: GraphFile, key: str) -> list[str]:
    """Return the names of the variables in a collection."""
    messages = graph.collections.get(key, ())
    parts = (part for message in messages for part in fields(message) if part.number == 1)
    return [text(part).partition(":")[0] for part in parts]


def _frozen_objects(graph: GraphFile) -> frozenset[str]:
    """Return the names of the variables that do not train by the graph of objects."""
    names: dict[str, bool] = {}
    for part in fields(graph.objects):
        for kind in fields(content(part)) if part.number == 1 else ():
            if kind.number == 7:  # SavedVariable
                entry = {each.number: each for each in fields(content(kind))}
                if 6 in entry:
                    name = text(entry[6]).partition(":")[0]
                    names[name] = names.get(name, False) or (3 in entry and bool(integer(entry[3])))
    return frozenset(name for name, trains in names.items() if not trains)


def restored_variables(graph: GraphFile) -> dict[str, Stored]:
    """Return where the graph's operations for restoring take every variable from."""
    found: dict[str, Stored] = {}
    _restored_in(graph.nodes, {}, found)
    for node in graph.nodes.values():
        function = graph.functions.get(node.attributes.function("f") or "")
        if function is None or not any(each.op == "RestoreV2" for each in function.nodes.values()):
            continue
        given = [each for each in node.inputs if not each.startswith("^")]
        arguments = dict(zip((each.name for each in function.arguments), given, strict=False))
        _restored_in(function.nodes, arguments, found)
    return found


def _restored_in(
    nodes: Mapping[str, Node], arguments: Mapping[str, str], found: dict[str, Stored]
) -> None:
    places = {
        node.name: _places(nodes, node)
        for node in nodes.values()
        if node.op in ("RestoreV2", "RestoreSlice", "Restore")
    }
    if not places:
        return
    for node in nodes.values():
        if node.op not in _ASSIGNING or len(node.inputs) < 2:
            continue
        source = _origin(nodes, node.inputs[1])
        target = _origin(nodes, node.inputs[0])[0]
        target = arguments.get(target, target).partition(":")[0]
        restored = places.get(source[0], [])
        if source[1] < len(restored):
            found.setdefault(target, restored[source[1]])


def _origin(nodes: Mapping[str, Node], given: str) -> tuple[str, int]:
    name, *rest = given.split(":")
    index = int(rest[-1]) if rest and rest[-1].isdigit() else 0
    for _ in range(_HOPS):
        node = nodes.get(name)
        if node is None or node.op not in ("Identity", "IdentityN", "Reshape") or not node.inputs:
            break
        name, *rest = node.inputs[0].split(":")
        index = int(rest[-1]) if rest and rest[-1].isdigit() else 0
    return name, index


def _places(nodes: Mapping[str, Node], node: Node) -> list[Stored]:
    lists = []
    for given in node.inputs[1:3]:
        source = nodes.get(parse_ref(given.split(":")[0])[0])
        values = source.attributes.tensor("value") if source is not None else None
        lists.append(
            [each.decode("utf-8", "replace") for each in values] if isinstance(values, list) else []
        )
    names, slices = lists if len(lists) == 2 else (*lists, [])[:2]
    return [
        Stored(name, _slice_of(slices[place]) if place < len(slices) else None)
        for place, name in enumerate(names)
    ]


def _slice_of(described: str) -> tuple[tuple[int, int], ...] | None:
    """Return the part that "10 4 0,5:-" means: of the whole shape (10, 4), rows 0 to 5. Nothing means all."""
    if not described:
        return None
    *_, last = described.split(" ")
    part = []
    for extent in last.split(":"):
        start, comma, length = extent.partition(",")
        if extent == "-":
            part.append((0, -1))
        elif comma and start.isdigit() and length.isdigit():
            part.append((int(start), int(length)))
        else:
            msg = f"the graph restores a part of a variable that cannot be read: {described[:80]!r}"
            raise UnreadableFileError(msg)
    return tuple(part)
