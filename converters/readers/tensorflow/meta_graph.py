"""The `.meta` file beside a checkpoint of TensorFlow 1: what its graph says of optimizers and inputs.

Only constants, placeholders and the operations that apply gradients are looked at; nothing is computed.
Source: tensorflow/core/protobuf/meta_graph.proto, framework/{graph,node_def,attr_value,tensor}.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from converters.errors import UnreadableFileError
from converters.limits import Limits
from converters.readers.files.source import OpenFile
from converters.readers.tensorflow.protobuf import content, fields, integer, signed, text

_FLOAT, _DOUBLE = 1, 2
_MAX_HOPS = 8
"""Reads, casts and copies between a variable and what uses it."""
_VARIABLE_OPS = ("VariableV2", "Variable", "VarHandleOp")
_APPLYING = {
    "ApplyAdam": (3, ("beta1_power", "beta2_power", "learning_rate", "beta1", "beta2", "epsilon")),
    "ApplyRMSProp": (3, ("learning_rate", "decay", "momentum", "epsilon")),
}
"""Operation to the place of the first number among its inputs, and the names of the numbers."""


@dataclass(frozen=True, slots=True)
class Update:
    """How the graph updates one variable.

    Attributes:
        kind: "ApplyAdam" or "ApplyRMSProp".
        constants: number by name: "learning_rate", "epsilon".
        variables: name of the stored variable by name: "beta1_power".
    """

    kind: str
    constants: Mapping[str, float]
    variables: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class GraphFacts:
    """What is taken from a graph.

    Attributes:
        updates: by name of the variable.
        placeholders: shapes in the order of the graph, None for an axis that is open.
    """

    updates: Mapping[str, Update] = field(default_factory=dict)
    placeholders: Sequence[tuple[int | None, ...]] = ()


@dataclass(slots=True)
class _Node:
    name: str = ""
    op: str = ""
    inputs: list[str] = field(default_factory=list)
    attributes: dict[str, memoryview] = field(default_factory=dict)


def read_graph_facts(file: OpenFile, limits: Limits) -> GraphFacts:
    """Return what the graph of a `.meta` file says.

    Raises:
        UnreadableFileError: The file is damaged, or larger than the limit on configurations.
    """
    if file.size > limits.max_json_bytes:
        message = (
            f"'{file.path.name}' has {file.size:,} bytes; the limit is {limits.max_json_bytes:,}"
        )
        raise UnreadableFileError(message)
    nodes: dict[str, _Node] = {}
    for part in fields(file.read(0, file.size)):
        if part.number == 2:  # graph_def
            for each in fields(content(part)):
                if each.number == 1:
                    node = _parse_node(content(each))
                    nodes[node.name] = node
    updates = {}
    for node in nodes.values():
        kind = node.op.removeprefix("Resource")
        if kind in _APPLYING and node.inputs:
            target = _resolve(nodes, node.inputs[0])
            updates[target.name] = _parse_update(nodes, node, kind)
    shapes = (
        _shape(node.attributes.get("shape")) for node in nodes.values() if node.op == "Placeholder"
    )
    return GraphFacts(updates, tuple(shape for shape in shapes if shape is not None))


def _parse_node(message: memoryview) -> _Node:
    node = _Node()
    for part in fields(message):
        if part.number == 1:
            node.name = text(part)
        elif part.number == 2:
            node.op = text(part)
        elif part.number == 3:
            node.inputs.append(text(part).partition(":")[0])
        elif part.number == 5:
            entry = {each.number: each for each in fields(content(part))}
            if 1 in entry and 2 in entry:
                node.attributes[text(entry[1])] = content(entry[2])
    return node


def _parse_update(nodes: Mapping[str, _Node], node: _Node, kind: str) -> Update:
    first, names = _APPLYING[kind]
    constants: dict[str, float] = {}
    variables: dict[str, str] = {}
    for name, given in zip(names, node.inputs[first:], strict=False):
        found = _resolve(nodes, given)
        number = _number(found.attributes.get("value")) if found.op == "Const" else None
        if number is not None:
            constants[name] = number
        elif found.op in _VARIABLE_OPS:
            variables[name] = found.name
    return Update(kind, constants, variables)


def _resolve(nodes: Mapping[str, _Node], name: str) -> _Node:
    """Return the node that a value comes from, through reads, casts and copies."""
    node = nodes.get(name, _Node(name))
    for _ in range(_MAX_HOPS):
        if node.op not in ("Identity", "ReadVariableOp", "Cast") or not node.inputs:
            break
        node = nodes.get(node.inputs[0], _Node(node.inputs[0]))
    return node


def _number(attribute: memoryview | None) -> float | None:
    """Return the float of an attribute with a tensor of one element; None for anything else."""
    for part in fields(attribute or b""):
        if part.number == 8:
            tensor = {each.number: each for each in fields(content(part))}
            kind = integer(tensor[1]) if 1 in tensor else 0
            form, place = {_FLOAT: ("<f", 5), _DOUBLE: ("<d", 6)}.get(kind, ("", 0))
            stored = tensor.get(4) or tensor.get(place)
            if form and stored is not None:
                size = struct.calcsize(form)
                value = stored.value
                data = value.to_bytes(size, "little") if isinstance(value, int) else bytes(value)
                return float(struct.unpack(form, data)[0]) if len(data) == size else None
    return None


def _shape(attribute: memoryview | None) -> tuple[int | None, ...] | None:
    """Return the shape in an attribute; None if the number of axes is open."""
    for part in fields(attribute or b""):
        if part.number == 7:
            sizes: list[int | None] = []
            for axis in fields(content(part)):
                if axis.number == 3:  # unknown rank
                    return None
                if axis.number == 2:
                    size = {
                        each.number: signed(each)
                        for each in fields(content(axis))
                        if each.number == 1
                    }
                    sizes.append(None if size.get(1, 0) < 0 else size.get(1, 0))
            return tuple(sizes)
    return None
