"""Vocabularies beside the weights of an archive go to the lookup layer they belong to."""

from __future__ import annotations

import pytest

from converters.errors import UnreadableFileError
from converters.graph import Graph, Layer
from converters.readers.files.vocabularies import with_vocabularies

FIRST = "assets/layers/integer_lookup/vocabulary.txt"
SECOND = "assets/layers/integer_lookup_1/vocabulary.txt"
NESTED = "assets/layers/functional/layers/integer_lookup/vocabulary.txt"


def graph(*layers: Layer) -> Graph:
    return Graph("model", "Functional", 3, layers, (), (), ())


def lookup(name: str, class_name: str = "IntegerLookup") -> Layer:
    return Layer(name, class_name, {"vocabulary": None})


def test_folders_count_the_layers_of_a_class_in_the_order_of_the_configuration() -> None:
    model = graph(lookup("first"), Layer("dense", "Dense", {}), lookup("second"))

    filled = with_vocabularies(model, {SECOND: "-1\n7\n3", FIRST: "-1\n12\n\n"})

    assert filled.layer("first").config["vocabulary"] == [-1, 12]
    assert filled.layer("second").config["vocabulary"] == [-1, 7, 3]


def test_folders_of_nested_models_lead_inside() -> None:
    inner = Layer("inner", "Functional", {}, graph=graph(lookup("deep")))

    filled = with_vocabularies(graph(inner), {NESTED: "-1\n5"})

    assert filled.layer("inner").graph.layer("deep").config["vocabulary"] == [-1, 5]


def test_a_vocabulary_of_no_layer_is_refused() -> None:
    with pytest.raises(UnreadableFileError, match=r"integer_lookup_1/vocabulary.*belongs to no"):
        with_vocabularies(graph(lookup("only")), {SECOND: "1"})


def test_a_line_that_is_no_number_is_refused() -> None:
    with pytest.raises(UnreadableFileError, match="layer 'only' has a line that is no whole"):
        with_vocabularies(graph(lookup("only")), {FIRST: "-1\nseven"})
