"""What a file says of a network as a program: its graph, and the arrays of its variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from converters.checkpoint import ArrayInfo
from converters.errors import UnreadableFileError
from converters.limits import Limits
from converters.readers.files.source import OpenFile, quote
from converters.readers.tensorflow.graph_def import GraphFile

MAX_GRAPH_BYTES = 2 * 1024**3
"""What protocol buffers can hold; frozen graphs carry their weights."""


@dataclass(frozen=True, slots=True)
class Program:
    """A graph with the arrays of its variables.

    Attributes:
        graph: as the file holds it.
        arrays: by stored name.
        notes: what a user should know of where the graph was found.
    """

    graph: GraphFile
    arrays: Mapping[str, ArrayInfo] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def graph_bytes(file: OpenFile, limits: Limits) -> bytes:
    """Return a file with a graph. Raises UnreadableFileError if it is larger than any can be."""
    largest = min(MAX_GRAPH_BYTES, limits.max_array_bytes)
    if file.size > largest:
        message = (
            f"{quote(file.path.name)} has {file.size:,} bytes; a graph has at most {largest:,}"
        )
        raise UnreadableFileError(message, hint="raise the limit with --max-size")
    return file.read(0, file.size)
