"""Vocabularies that lie beside the weights of a `.keras` archive: assets/layers/integer_lookup_1/vocabulary.txt.

Keras writes one there for a lookup layer that was adapted to data, with a line for every entry, special ones first; a
vocabulary given to the layer is in its configuration. Folders are named after classes and counted, as weights are.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from converters.errors import UnreadableFileError
from converters.graph import Graph, Layer
from converters.matching.containers import snake_case

FOLDER = "assets/"
FILE = re.compile(r"assets/(?:layers/[a-z0-9_]+/)+vocabulary\.txt")
"""Where a vocabulary is."""
COPY = re.compile(r"assets/(?:layers/[a-z0-9_]+/)+_lookup_layer/vocabulary\.txt")
"""Where TextVectorization stores its own once more."""


def with_vocabularies(graph: Graph, texts: Mapping[str, str]) -> Graph:
    """Return the graph with each vocabulary in the configuration of its layer.

    Args:
        graph: of the model.
        texts: content by name in the archive.

    Raises:
        UnreadableFileError: A vocabulary belongs to no layer, or has a line that is no number where one is needed.
    """
    left = dict(texts)
    found = _filled(graph, FOLDER, left)
    if left:
        msg = f"the vocabulary {next(iter(left))!r:.120} belongs to no layer of the configuration"
        raise UnreadableFileError(msg)
    return found


def _filled(graph: Graph, above: str, left: dict[str, str]) -> Graph:
    counts: Counter[str] = Counter()
    layers = []
    for layer in graph.layers:
        kind = snake_case(layer.class_name)
        place = f"{above}layers/{kind}{f'_{counts[kind]}' if counts[kind] else ''}/"
        counts[kind] += 1
        text = left.pop(f"{place}vocabulary.txt", None)
        if layer.graph is not None:
            layer = replace(layer, graph=_filled(layer.graph, place, left))
        if text is not None:
            layer = replace(layer, config={**layer.config, "vocabulary": _entries(layer, text)})
        layers.append(layer)
    return replace(graph, layers=tuple(layers))


def _entries(layer: Layer, text: str) -> list[object]:
    """Return the lines, without empty ones at the end, as Keras reads them."""
    lines = text.rstrip("\n").splitlines()
    if layer.class_name != "IntegerLookup" and layer.config.get("vocabulary_dtype") != "int64":
        return list(lines)
    try:
        return [int(line) for line in lines]
    except ValueError as error:
        msg = f"the vocabulary of layer '{layer.name}' has a line that is no whole number"
        raise UnreadableFileError(msg) from error
