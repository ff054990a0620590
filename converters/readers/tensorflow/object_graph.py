"""The graph of objects that TensorFlow 2 stores in a checkpoint: which variable is reached by which attributes.

Source: tensorflow/core/protobuf/trackable_object_graph.proto.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from converters.errors import UnreadableFileError
from converters.limits import Limits
from converters.readers.tensorflow.protobuf import Field, content, fields, integer, text

KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"
VALUE = "VARIABLE_VALUE"


@dataclass(frozen=True, slots=True)
class Node:
    """One object.

    Attributes:
        children: node numbers by the name of the attribute, in stored order.
        key: where its value lies in the bundle, for variables; else None.
        full_name: of the variable: "dense/kernel".
        slots: of an optimizer: (slot name, variable's node, slot's node).
    """

    children: Mapping[str, int] = field(default_factory=dict)
    key: str | None = None
    full_name: str = ""
    slots: Sequence[tuple[str, int, int]] = ()

    def items(self) -> list[int]:
        """Return the children of a list, in its order."""
        numbered = [(int(name), node) for name, node in self.children.items() if _is_number(name)]
        return [node for _, node in sorted(numbered)]


def _is_number(name: str) -> bool:
    """Tell whether a name is a place in a list; Python refuses numbers of thousands of digits."""
    return name.isdecimal() and len(name) < 10


def parse_object_graph(message: bytes, limits: Limits) -> list[Node]:
    """Return the objects; the first is the root.

    Raises:
        UnreadableFileError: No such message, or it names objects that are not in it.
    """
    nodes = [_node(entry) for entry in fields(message) if entry.number == 1]
    if not nodes or len(nodes) > limits.max_names:
        problem = f"the object graph has {len(nodes):,} objects"
        raise UnreadableFileError(problem)
    for node in nodes:
        named = [*node.children.values(), *(part for slot in node.slots for part in slot[1:])]
        if any(not 0 <= number < len(nodes) for number in named):
            problem = f"the object graph names an object beyond its {len(nodes):,}"
            raise UnreadableFileError(problem)
    return nodes


def _node(entry: Field) -> Node:
    children: dict[str, int] = {}
    key, full_name = None, ""
    slots = []
    for part in fields(content(entry)):
        if part.number == 1:
            number, name = _pair(part, 1, 2)
            children[name] = number
        elif part.number == 2:
            attribute = {f.number: text(f) for f in fields(content(part)) if f.number in (1, 2, 3)}
            if attribute.get(1) == VALUE:
                key, full_name = attribute.get(3, ""), attribute.get(2, "")
        elif part.number == 3:
            variable, slot = _pair(part, 1, 2)
            own, _ = _pair(part, 3, 2)
            slots.append((slot, variable, own))
    return Node(children, key, full_name, tuple(slots))


def _pair(entry: Field, number_field: int, name_field: int) -> tuple[int, str]:
    """Return the number and the name that a message holds; both have defaults in this format."""
    number, name = 0, ""
    for part in fields(content(entry)):
        if part.number == number_field:
            number = integer(part)
        elif part.number == name_field:
            name = text(part)
    return number, name
