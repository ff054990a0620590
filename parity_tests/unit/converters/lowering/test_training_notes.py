from __future__ import annotations

from collections.abc import Mapping

import pytest

from converters.graph import Call, Layer
from converters.lowering.training_notes import idle_layers

L2 = {"class_name": "L2", "config": {"l2": 0.01}}


def notes_on(layer: Layer, known: list[str]) -> list[str]:
    return idle_layers(layer, Call(layer.name, 0, (), {}), known=known)


@pytest.mark.parametrize(
    ("class_name", "settings", "inner"),
    [
        ("Dense", {"units": 3, "activity_regularizer": L2}, {}),
        ("ActivityRegularization", {"l1": 0.0, "l2": 0.5}, {}),
        ("TimeDistributed", {}, {"layer": Layer("d", "Dense", {"activity_regularizer": L2})}),
    ],
    ids=["own", "layer", "wrapped"],
)
def test_penalty_on_outputs_is_noted_once(
    class_name: str, settings: Mapping[str, object], inner: Mapping[str, Layer]
) -> None:
    layer = Layer("named", class_name, settings, inner=inner)

    [note] = notes_on(layer, [])

    assert note.startswith(f"'named' ({class_name}) adds a penalty on its outputs to the loss")
    assert notes_on(layer, [note]) == []


@pytest.mark.parametrize("setting", [None, {}], ids=["none", "empty"])
def test_layer_without_penalty_has_no_note(setting: object) -> None:
    assert notes_on(Layer("d", "Dense", {"activity_regularizer": setting}), []) == []
