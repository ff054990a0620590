from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from converters.checkpoint import ArrayInfo, LayerArrays
from converters.errors import MismatchError
from converters.graph import Graph, Layer
from converters.matching.groups import match_arrays, match_equal_layers
from converters.matching.shared_layers import shared_by_number, with_shared

ROLES = ("kernel", "bias")


def dense(name: str, *, units: int = 3, number: int | None = None) -> Layer:
    return Layer(name, "Dense", {"units": units}, object_id=number)


def model(name: str, *layers: Layer, number: int | None = None) -> Layer:
    return Layer(name, "Functional", {}, graph=graph(*layers, name=name), object_id=number)


def graph(*layers: Layer, name: str = "net") -> Graph:
    return Graph(name, "Functional", 3, layers, (), (), ())


def actor_and_critic(number: int | None = None) -> Graph:
    """A torso in two models, with the number of objects at its second place as Keras stores it."""
    return graph(
        model("actor", dense("torso"), dense("pi", units=2)),
        model("critic", dense("torso", number=number), dense("v", units=1)),
    )


def array(name: str, value: float) -> ArrayInfo:
    numbers = np.full((2,), value, np.float32)
    return ArrayInfo(name, (2,), numbers.dtype, lambda: numbers)


def of_models(torso: float, other_torso: float) -> list[LayerArrays]:
    """Groups of a legacy .h5: each model with all of its layers."""
    entries = []
    for name, value, head in (("actor", torso, "pi"), ("critic", other_torso, "v")):
        arrays = {
            f"{layer}/{role}": array(f"{name}/{layer}/{role}", number)
            for layer, number in (("torso", value), (head, 5.0))
            for role in ROLES
        }
        entries.append(LayerArrays(name, name, arrays))
    return entries


def stored(*groups: tuple[str, str]) -> list[LayerArrays]:
    """Groups of a container by path and name; those of models are without arrays."""
    return [
        LayerArrays(
            f"layers/{path}",
            name,
            {}
            if name in ("actor", "critic")
            else {str(i): array(f"{path}/{i}", 1.0) for i in (0, 1)},
        )
        for path, name in groups
    ]


CONTAINER = (
    ("functional", "actor"),
    ("functional/layers/dense", "torso"),
    ("functional/layers/dense_1", "pi"),
    ("functional_1", "critic"),
    ("functional_1/layers/dense_1", "v"),
)


def test_the_second_place_of_a_numbered_object_is_the_first_without_number() -> None:
    assert shared_by_number(actor_and_critic(number=7)) == [
        [("actor", "torso"), ("critic", "torso")]
    ]
    assert shared_by_number(actor_and_critic()) == []


def test_a_shared_layer_lies_in_the_innermost_model_around_its_places() -> None:
    whole = graph(model("both", *actor_and_critic().layers), dense("torso", units=9))

    shared = with_shared(whole, [[("both", "actor", "torso"), ("both", "critic", "torso")]])

    both = shared.layers[0].graph
    assert both is not None
    inner = [layer.graph for layer in both.layers if layer.graph is not None]
    assert [each.layers[0].shared for each in inner] == [("both", "torso")] * 2
    assert shared.layers[1].shared is None


def test_a_path_that_another_layer_has_is_left_to_it() -> None:
    whole = graph(*actor_and_critic().layers, dense("torso", units=9))

    shared = with_shared(whole, [[("actor", "torso"), ("critic", "torso")]])

    inner = shared.layers[0].graph
    assert inner is not None
    assert inner.layers[0].shared == ("torso_shared",)


def test_layers_of_a_shared_model_are_not_shared_once_more() -> None:
    torso = model("torso", dense("hidden"))
    whole = graph(model("actor", torso), model("critic", torso))
    places = [("actor", "torso"), ("critic", "torso")]

    shared = with_shared(whole, [[(*place, "hidden") for place in places], places])

    inner = shared.layers[1].graph
    assert inner is not None
    assert inner.layers[0].shared == ("torso",)
    assert inner.layers[0].graph is not None
    assert inner.layers[0].graph.layers[0].shared is None


def test_a_container_that_stores_a_layer_once_shows_that_it_is_shared() -> None:
    matched = match_arrays(actor_and_critic(), stored(*CONTAINER))

    names = {"/".join(path): found["kernel"].name for path, found in matched.arrays.items()}
    assert names == {
        "torso": "functional/layers/dense/0",
        "actor/pi": "functional/layers/dense_1/0",
        "critic/v": "functional_1/layers/dense_1/0",
    }


def test_a_layer_of_other_settings_is_not_taken_for_the_one_that_is_missing() -> None:
    other = graph(
        model("actor", dense("torso"), dense("pi", units=2)),
        model("critic", dense("torso", units=4), dense("v", units=1)),
    )

    with pytest.raises(MismatchError, match="layer 'torso': the file has no arrays for it"):
        match_arrays(other, stored(*CONTAINER))


def test_arrays_of_a_shared_layer_are_taken_once_and_remembered_as_twins() -> None:
    matched = match_arrays(actor_and_critic(number=7), of_models(1.0, 1.0))

    assert list(matched.arrays) == [("torso",), ("actor", "pi"), ("critic", "v")]
    assert matched.twins == {f"critic/torso/{role}": f"actor/torso/{role}" for role in ROLES}
    assert [name for name, _ in matched.ignored] == list(matched.twins)


def test_a_shared_layer_with_two_values_is_refused() -> None:
    with pytest.raises(MismatchError, match="shares 'torso' with another, where its kernel is not"):
        match_arrays(actor_and_critic(number=7), of_models(1.0, 2.0))


def test_equal_layers_are_one_only_if_their_arrays_are_equal() -> None:
    whole = actor_and_critic()
    same, other = of_models(1.0, 1.0), of_models(1.0, 2.0)

    equal = match_equal_layers(whole, same, match_arrays(whole, same))

    assert equal is not None
    assert ("torso",) in equal.arrays
    assert match_equal_layers(whole, other, match_arrays(whole, other)) is None


def test_places_of_a_numbered_object_with_other_settings_are_not_one() -> None:
    whole = actor_and_critic(number=7)
    edited = replace(whole.layers[1], graph=graph(dense("torso", units=8, number=7)))

    assert shared_by_number(replace(whole, layers=(whole.layers[0], edited))) == []
