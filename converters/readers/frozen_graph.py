"""Graphs on their own: frozen `.pb`, text `.pbtxt`, and `.meta` without its checkpoint."""

from __future__ import annotations

from converters.checkpoint import Checkpoint, Program, Provenance
from converters.errors import UnreadableFileError, placed
from converters.limits import Limits
from converters.readers.files.keras_settings import Architecture
from converters.readers.files.source import Source
from converters.readers.tensorflow.graph_def import (
    GraphFile,
    graph_bytes,
    parse_graph,
    parse_meta_graph,
    parse_node,
)
from converters.readers.tensorflow.graph_text import graph_from_text, looks_like_graph_text
from converters.readers.tensorflow.protobuf import BYTES, fields, read_varint


class FrozenGraph:
    """Reader of files that hold a graph and nothing else."""

    def recognizes(self, source: Source, limits: Limits) -> bool:
        """Tell whether the file begins with a node of a graph, or with what a MetaGraphDef says of itself."""
        return _kind(source) is not None

    def read(self, source: Source, architecture: Architecture | None, limits: Limits) -> Checkpoint:
        """Return the file with its graph, which is parsed when it is asked for."""
        kind = _kind(source)

        def program() -> Program:
            with placed(source.name):
                data = graph_bytes(source.file, limits)
                return Program(_parse(data, kind or "graph", limits))

        return Checkpoint(
            layers=(),
            graph=None,
            optimizer=None,
            training=None,
            extras=(),
            provenance=Provenance(
                file=source.path.name,
                digest=source.sha256,
                size=source.size,
                format="tf-graph",
                producer="TensorFlow",
                generation=1,
            ),
            program=program,
        )


READER = FrozenGraph()


def _parse(data: bytes, kind: str, limits: Limits) -> GraphFile:
    if kind == "text":
        return graph_from_text(data, limits)
    return parse_meta_graph(data) if kind == "meta" else parse_graph(data)


def _kind(source: Source) -> str | None:
    """Return "graph", "meta" or "text" by the first bytes; None for anything else."""
    start = memoryview(source.prefix)
    if looks_like_graph_text(bytes(start)):
        return "text"
    try:
        if len(start) < 4 or start[0] != 0x0A:
            return None
        size, position = read_varint(start, 1)
        if size > source.file.size - position or size > 1 << 31:
            return None
        first = source.file.read(position, min(size, 1 << 20))
        return _kind_of(first, whole=len(first) == size)
    except UnreadableFileError:
        return None


def _kind_of(message: bytes, *, whole: bool) -> str | None:
    """Return what a first message of number 1 belongs to: a node has a name and an operation."""
    numbers = []
    try:
        for part in fields(message):
            numbers.append((part.number, part.wire))
            if len(numbers) > 8:
                break
    except UnreadableFileError:
        if whole:
            return None
    if (1, BYTES) in numbers[:1] and (2, BYTES) in numbers[1:2]:
        if not whole:
            return "graph"
        node = parse_node(message)
        return (
            "graph"
            if node.name.isprintable() and node.op.isidentifier()
            else "meta"
            if _is_meta(message)
            else None
        )
    return "meta" if _is_meta(message) else None


def _is_meta(message: bytes) -> bool:
    """Tell whether a message is a MetaInfoDef: it holds a list of operations, tags, or a version."""
    try:
        return any(part.number in (2, 4, 5) and part.wire == BYTES for part in fields(message))
    except UnreadableFileError:
        return False
