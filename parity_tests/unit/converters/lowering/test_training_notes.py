from __future__ import annotations

from collections.abc import Mapping

import pytest

from converters.configuration.keras2 import find_dialect, settle_settings
from converters.graph import Call, Layer
from converters.lowering.training_notes import layer_notes

L2 = {"class_name": "L2", "config": {"l2": 0.01}}


def notes_on(layer: Layer, known: list[str]) -> list[str]:
    return layer_notes(layer, Call(layer.name, 0, (), {}), known=known)


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


@pytest.mark.parametrize(("trainable", "count"), [(False, 1), (True, 0)])
def test_frozen_statistics_are_noted_where_two_releases_of_tensorflow_may_be_meant(
    trainable: bool, count: int
) -> None:
    settings = settle_settings("BatchNormalization", {}, find_dialect(2, "2.2.4-tf"))
    layer = Layer("bn", "BatchNormalization", settings, trainable=trainable)

    notes = notes_on(layer, [])

    assert len(notes) == count
    assert all(note.startswith("'bn' (BatchNormalization) is frozen") for note in notes)


@pytest.mark.parametrize("version", ["2.2.4", "2.4.0"])
def test_frozen_statistics_are_not_noted_where_the_release_says_what_it_does(version: str) -> None:
    settings = settle_settings("BatchNormalization", {}, find_dialect(2, version))

    assert notes_on(Layer("bn", "BatchNormalization", settings, trainable=False), []) == []


def test_strides_that_keras_1_left_out_are_noted() -> None:
    config = settle_settings("ConvLSTM2D", {"nb_filter": 2}, find_dialect(1, "1.2.2"))
    stated = settle_settings("ConvLSTM2D", {"subsample": [2, 2]}, find_dialect(1, "1.2.2"))

    assert "does not store its strides" in notes_on(Layer("c", "ConvLSTM2D", config), [])[0]
    assert not notes_on(Layer("c", "ConvLSTM2D", stated), [])
