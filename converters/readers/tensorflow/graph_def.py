"""Graphs of TensorFlow as plain data: nodes, functions, signatures, collections. Nothing of a graph is computed here.

    GraphDef        nodes, and a library of functions             (frozen .pb)
    MetaGraphDef    a graph, collections, signatures, objects     (.meta)
    SavedModel      MetaGraphDefs                                 (saved_model.pb)

Source: tensorflow/core/framework/{graph,node_def,function,op_def}.proto, protobuf/{meta_graph,saved_model}.proto.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from converters.errors import UnreadableFileError
from converters.limits import Limits
from converters.readers.files.source import OpenFile, quote
from converters.readers.tensorflow.attributes import Attributes, Shape, parse_shape
from converters.readers.tensorflow.protobuf import Field, content, fields, integer, text

MAX_NODES = 1_000_000
"""Nodes of one graph with its functions; the largest published networks have about 100,000."""
MAX_GRAPH_BYTES = 2 * 1024**3
"""What protocol buffers can hold; frozen graphs carry their weights."""


@dataclass(frozen=True, slots=True)
class Node:
    """One operation.

    Attributes:
        inputs: as stored: "name", "name:1", in functions "name:out:1" or an argument; "^name" is only waited for.
    """

    name: str
    op: str
    inputs: tuple[str, ...] = ()
    attributes: Attributes = field(default_factory=Attributes)


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument or a result of a function; `dtype` is the number of its type, 0 where it depends on an attribute."""

    name: str
    dtype: int


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the library: `results` gives the value inside for every one of `outputs`."""

    name: str
    arguments: tuple[Argument, ...]
    outputs: tuple[Argument, ...]
    nodes: Mapping[str, Node]
    results: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """A tensor that a signature names."""

    name: str  # "serving_default_x:0"
    dtype: int
    shape: Shape


@dataclass(frozen=True, slots=True)
class Signature:
    """What a SavedModel offers to be called: names to tensors, sorted by name as TensorFlow does."""

    inputs: Mapping[str, TensorInfo]
    outputs: Mapping[str, TensorInfo]


@dataclass(frozen=True, slots=True)
class GraphFile:
    """One graph with what its file says of it.

    Attributes:
        nodes: by name, in stored order.
        functions: the library, by name.
        signatures: by key ("serving_default").
        collections: by key, the messages or texts that they hold.
        version: of TensorFlow, where the file says so.
        objects: the message of the graph of objects (SavedModels of TensorFlow 2), else empty.
    """

    nodes: Mapping[str, Node]
    functions: Mapping[str, Function] = field(default_factory=dict)
    signatures: Mapping[str, Signature] = field(default_factory=dict)
    collections: Mapping[str, tuple[memoryview, ...]] = field(default_factory=dict)
    version: str | None = None
    objects: memoryview = field(default_factory=lambda: memoryview(b""))


def parse_saved_model(message: bytes | memoryview) -> GraphFile:
    """Return the graph of a SavedModel: the one for serving if it has several.

    Raises:
        UnreadableFileError: Damaged, or without a graph.
    """
    found = [parse_meta_graph(content(part)) for part in fields(message) if part.number == 2]
    if not found:
        text_ = "the SavedModel holds no graph"
        raise UnreadableFileError(text_)
    served = [each for each in found if each.signatures]
    return (served or found)[0]


def parse_meta_graph(message: bytes | memoryview) -> GraphFile:
    """Return a MetaGraphDef. Raises UnreadableFileError for damaged bytes."""
    graph = GraphFile({})
    version: str | None = None
    signatures: dict[str, Signature] = {}
    collections: dict[str, tuple[memoryview, ...]] = {}
    objects = memoryview(b"")
    for part in fields(message):
        if part.number == 1:
            stated = [text(each) for each in fields(content(part)) if each.number == 5]
            version = stated[-1] if stated else None
        elif part.number == 2:
            graph = parse_graph(content(part))
        elif part.number == 4:
            key, value = _entry(part)
            collections[key] = tuple(_collection(value))
        elif part.number == 5:
            key, value = _entry(part)
            signatures[key] = _signature(value)
        elif part.number == 7:
            objects = content(part)
    return GraphFile(graph.nodes, graph.functions, signatures, collections, version, objects)


def parse_graph(message: bytes | memoryview) -> GraphFile:
    """Return a GraphDef. Raises UnreadableFileError for damaged bytes or a name that two nodes have."""
    nodes: dict[str, Node] = {}
    functions: dict[str, Function] = {}
    for part in fields(message):
        if part.number == 1:
            _add(nodes, parse_node(content(part)))
        elif part.number == 2:
            for each in fields(content(part)):
                if each.number == 1:
                    function = _function(content(each))
                    functions[function.name] = function
    if len(nodes) + sum(len(function.nodes) for function in functions.values()) > MAX_NODES:
        text_ = f"the graph has more than {MAX_NODES:,} nodes"
        raise UnreadableFileError(text_)
    return GraphFile(nodes, functions)


def parse_node(message: bytes | memoryview) -> Node:
    """Return a NodeDef; attributes are parsed when they are asked for."""
    name = op = ""
    inputs: list[str] = []
    attributes: dict[str, memoryview] = {}
    for part in fields(message):
        if part.number == 1:
            name = text(part)
        elif part.number == 2:
            op = text(part)
        elif part.number == 3:
            inputs.append(text(part))
        elif part.number == 5:
            key, value = _entry(part)
            attributes[key] = value
    return Node(name, op, tuple(inputs), Attributes(attributes))


def _add(nodes: dict[str, Node], node: Node) -> None:
    if not node.name or not node.op:
        text_ = (
            f"a node of the graph has no name or no operation: {node.name[:80]!r} {node.op[:80]!r}"
        )
        raise UnreadableFileError(text_)
    if node.name in nodes:
        text_ = f"two nodes of the graph are named {node.name[:200]!r}"
        raise UnreadableFileError(text_)
    nodes[node.name] = node


def _function(message: memoryview) -> Function:
    name = ""
    arguments: list[Argument] = []
    outputs: list[Argument] = []
    nodes: dict[str, Node] = {}
    results: dict[str, str] = {}
    for part in fields(message):
        if part.number == 1:
            for each in fields(content(part)):
                if each.number == 1:
                    name = text(each)
                elif each.number in (2, 3):
                    (arguments if each.number == 2 else outputs).append(_argument(content(each)))
        elif part.number == 3:
            _add(nodes, parse_node(content(part)))
        elif part.number == 4:
            key, value = _entry(part)
            results[key] = _decoded(value)
    return Function(name, tuple(arguments), tuple(outputs), nodes, results)


def _argument(message: memoryview) -> Argument:
    name, dtype = "", 0
    for part in fields(message):
        if part.number == 1:
            name = text(part)
        elif part.number == 3:
            dtype = integer(part)
    return Argument(name, dtype)


def _signature(message: memoryview) -> Signature:
    found: tuple[dict[str, TensorInfo], dict[str, TensorInfo]] = ({}, {})
    for part in fields(message):
        if part.number in (1, 2):
            key, value = _entry(part)
            found[part.number - 1][key] = _tensor_info(value)
    inputs, outputs = (dict(sorted(each.items())) for each in found)
    return Signature(inputs, outputs)


def _tensor_info(message: memoryview) -> TensorInfo:
    name, dtype, shape = "", 0, None
    for part in fields(message):
        if part.number == 1:
            name = text(part)
        elif part.number == 2:
            dtype = integer(part)
        elif part.number == 3:
            shape = parse_shape(content(part))
    return TensorInfo(name, dtype, shape)


def _collection(message: memoryview) -> Iterator[memoryview]:
    for part in fields(message):
        if part.number in (1, 2):  # names of nodes, or messages
            yield from (content(each) for each in fields(content(part)) if each.number == 1)


def _entry(part: Field) -> tuple[str, memoryview]:
    """Return key and value of an entry of a map."""
    key, value = "", memoryview(b"")
    for each in fields(content(part)):
        if each.number == 1:
            key = text(each)
        elif each.number == 2:
            value = content(each)
    return key, value


def _decoded(value: memoryview) -> str:
    try:
        return bytes(value).decode()
    except UnicodeDecodeError as error:
        text_ = "a name in a function is not UTF-8 text"
        raise UnreadableFileError(text_) from error


def graph_bytes(file: OpenFile, limits: Limits) -> bytes:
    """Return a file with a graph. Raises UnreadableFileError if it is larger than any can be."""
    largest = min(MAX_GRAPH_BYTES, limits.max_array_bytes)
    if file.size > largest:
        message = (
            f"{quote(file.path.name)} has {file.size:,} bytes; a graph has at most {largest:,}"
        )
        raise UnreadableFileError(message, hint="raise the limit with --max-size")
    return file.read(0, file.size)
