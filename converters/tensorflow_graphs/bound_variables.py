"""Variables that functions of a SavedModel take, by the graph of objects: for handles that no operation restores.

Keras 3 gives a function other handles than those that `tf.saved_model.save` writes the restoring of. Which object a handle
stands for is said where the function is described: its last inputs are bound to objects, and the way to an object is the
name in the file (tensorflow 2.21, core/protobuf/saved_object_graph.proto).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping

from converters.readers.tensorflow.attributes import varints
from converters.readers.tensorflow.graph_def import GraphFile
from converters.readers.tensorflow.object_graph import VALUE
from converters.readers.tensorflow.protobuf import content, fields, integer, text

_OBJECT, _FUNCTION = 1, 2
_CHILD = 1
_MAX_WAYS = 8
"""Ways to one object that are tried: one object may have several names."""


def bound_variables(graph: GraphFile, names: Collection[str]) -> dict[str, str]:
    """Return the handles that functions are called with, to the names of their values in the file.

    Args:
        graph: the file's.
        names: of the arrays in the file.

    Raises:
        UnreadableFileError: The graph of objects is damaged.
    """
    if not len(graph.objects):
        return {}
    bound: dict[str, list[int]] = {}
    children: list[list[tuple[str, int]]] = []
    for part in fields(graph.objects):
        if part.number == _OBJECT:
            children.append(_children(content(part)))
        elif part.number == _FUNCTION:
            entry = {each.number: each for each in fields(content(part))}
            if {1, 2} <= set(entry):
                bound[text(entry[1])] = [
                    number
                    for each in fields(content(entry[2]))
                    if each.number == 2
                    for number in varints(each)
                ]
    found = _stored_objects(children, names) if bound else {}
    result: dict[str, str] = {}
    for node in graph.nodes.values():
        objects = bound.get(node.attributes.function("f") or "", [])
        given = [each for each in node.inputs if not each.startswith("^")]
        for handle, number in zip(given[len(given) - len(objects) :], objects, strict=False):
            if number in found and len(given) >= len(objects):
                result.setdefault(handle.partition(":")[0], found[number])
    return result


def _children(message: memoryview) -> list[tuple[str, int]]:
    found = []
    for part in fields(message):
        if part.number == _CHILD:
            entry = {each.number: each for each in fields(content(part))}
            number = integer(entry[1]) if 1 in entry else 0
            found.append((text(entry[2]) if 2 in entry else "", number))
    return found


def _stored_objects(
    children: list[list[tuple[str, int]]], names: Collection[str]
) -> Mapping[int, str]:
    """Return the objects whose value is in the file, by a way to them from the root."""
    found: dict[int, str] = {}
    ways: dict[int, int] = {}
    waiting = deque([(0, "")])
    while waiting:
        number, way = waiting.popleft()
        ways[number] = ways.get(number, 0) + 1
        if ways[number] > _MAX_WAYS or not 0 <= number < len(children):
            continue
        name = f"{way}.ATTRIBUTES/{VALUE}"
        if name in names:
            found.setdefault(number, name)
        if ways[number] == 1 or not children[number]:
            waiting += [(child, f"{way}{_escaped(key)}/") for key, child in children[number]]
    return found


def _escaped(name: str) -> str:
    """Return a name as one part of a way. Source: tensorflow 2.21, python/checkpoint/trackable_view.py."""
    return name.replace(".", "..").replace("/", ".S")
