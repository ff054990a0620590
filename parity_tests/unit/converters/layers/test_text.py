"""Words looked up, hashed and cut out of texts: the converted network gives what Keras does."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import torchward
from converters.errors import ConversionError
from torch_impl.text_bytes import text_bytes

pytestmark = pytest.mark.tf
WORDS = np.array([["left", "right"], ["größer", ""], ["up", "left"]])
LOOKUPS = {
    "plain": {"vocabulary": ["left", "up", "größer"]},
    "mask": {"vocabulary": ["left", "up"], "mask_token": ""},
    "no unknown": {"vocabulary": ["left", "right", "größer", "", "up"], "num_oov_indices": 0},
    "several unknown": {"vocabulary": ["left"], "num_oov_indices": 7},
    "salted": {"vocabulary": ["left"], "num_oov_indices": 7, "mask_token": "up", "salt": [3, 9]},
    "multi hot": {"vocabulary": ["left", "right"], "output_mode": "multi_hot"},
    "count": {"vocabulary": ["up", "left"], "output_mode": "count", "mask_token": "right"},
    "learned": {"mask_token": ""},
    "weighed": {"output_mode": "tf_idf"},
}
TEXTS = np.array(
    [
        ["The cat, the DOG!"],
        ["  a\tcat\nsat on\x0bthe  mat... "],
        [""],
        ["Größe -- ist' nicht\u00a0alles"],
        ["cat cat cat cat cat cat cat cat cat"],
    ]
)
VECTORIZATIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "short": {"output_sequence_length": 4},
    "long": {"output_sequence_length": 12, "standardize": "lower", "ngrams": (2, 1)},
    "characters": {"split": "character", "standardize": "strip_punctuation"},
    "pairs": {"ngrams": 2, "output_sequence_length": 9},
    "threes": {"ngrams": (3,), "standardize": None},
    "counted": {"output_mode": "count", "ngrams": 2, "max_tokens": 9},
    "padded": {"output_mode": "multi_hot", "max_tokens": 40, "pad_to_max_tokens": True},
    "weighed": {"output_mode": "tf_idf"},
    "whole": {"split": None, "output_sequence_length": 3},
    "stated": {"vocabulary": ["cat", "the", "größe"], "output_mode": "int"},
}


@pytest.fixture(scope="module")
def keras() -> Any:
    return pytest.importorskip("tensorflow").keras


def _converted(model: Any, folder: Path) -> tuple[Any, Any]:
    """Return the live module of a Keras model, and that of its emitted source with the state loaded."""
    model.save(folder / "model.keras")
    torchward.convert(
        folder / "model.keras", folder / "model.pth", source_code=folder / "network.py"
    )
    live = torchward.load(folder / "model.pth")
    emitted = runpy.run_path(str(folder / "network.py"))[live.architecture.name]()
    emitted.load_state_dict(live.state_dict())
    return live, emitted.eval()


@pytest.mark.parametrize("settings", LOOKUPS.values(), ids=LOOKUPS)
def test_words_are_looked_up_as_in_keras(
    keras: Any, tmp_path: Path, settings: dict[str, Any]
) -> None:
    lookup = keras.layers.StringLookup(**settings)
    if "vocabulary" not in settings:
        lookup.adapt(WORDS[[0, 2]])
    words, number = keras.Input((2,), dtype="string", name="words"), keras.Input((2,), name="n")
    model = keras.Model([number, words], [lookup(words), number * 2.0])

    converted, emitted = _converted(model, tmp_path)

    numbers = np.ones((3, 2), np.float32)
    wanted = np.asarray(
        model([keras.ops.convert_to_tensor(value) for value in (numbers, WORDS)])[0]
    )
    first = torch.from_numpy(numbers)
    for found in (
        converted(first, WORDS),
        converted([first, WORDS.tolist()]),
        converted(words=WORDS, n=first),
        converted(first, text_bytes(WORDS)),
        emitted(first, text_bytes(WORDS)),
    ):
        np.testing.assert_array_equal(found[0].numpy(), wanted)


@pytest.mark.parametrize("settings", VECTORIZATIONS.values(), ids=VECTORIZATIONS)
@pytest.mark.parametrize("shape", [(1,), ()], ids=["column", "row"])
def test_texts_are_cut_and_looked_up_as_in_keras(
    keras: Any, tmp_path: Path, settings: dict[str, Any], shape: tuple[int, ...]
) -> None:
    if shape == () and settings.get("split", "") is None:
        pytest.skip("Keras counts along the batch, or cannot cut one word")
    layer = keras.layers.TextVectorization(**settings)
    if "vocabulary" not in settings:
        layer.adapt(TEXTS[[0, 3, 4]])  # line ends in words are lost in the file
    words = keras.Input(shape, dtype="string")
    model = keras.Model(words, layer(words))
    texts = TEXTS.reshape(-1, *shape)

    for network in _converted(model, tmp_path):
        found = network(text_bytes(texts))

        np.testing.assert_array_equal(
            found.numpy(), np.asarray(model(keras.ops.convert_to_tensor(texts)))
        )


@pytest.mark.parametrize(
    "settings", [{}, {"mask_value": "up"}, {"salt": 7, "output_mode": "one_hot"}], ids=str
)
def test_words_are_hashed_as_in_keras(keras: Any, tmp_path: Path, settings: dict[str, Any]) -> None:
    words = keras.Input((2,), dtype="string")
    model = keras.Model(words, keras.layers.Hashing(11, **settings)(words))

    for network in _converted(model, tmp_path):
        np.testing.assert_array_equal(
            network(text_bytes(WORDS)).numpy(),
            np.asarray(model(keras.ops.convert_to_tensor(WORDS))),
        )


def test_words_and_numbers_are_crossed_as_in_keras(keras: Any, tmp_path: Path) -> None:
    words = keras.Input((1,), dtype="string", name="a")
    numbers = keras.Input((1,), dtype="int64", name="b")
    model = keras.Model([words, numbers], keras.layers.HashedCrossing(101)((words, numbers)))
    count = np.array([[3], [-4], [2**40]])
    wanted = model([keras.ops.convert_to_tensor(value) for value in (WORDS[:, :1], count)])

    for network in _converted(model, tmp_path):
        found = network(text_bytes(WORDS[:, :1]), torch.from_numpy(count))
        np.testing.assert_array_equal(found.numpy(), np.asarray(wanted))


INVERTED = {
    "plain": {"vocabulary": ["left", "up", "größer"]},
    "mask": {"vocabulary": ["left", "up"], "mask_token": "", "oov_token": "?"},
    "special ones listed": {"vocabulary": ["", "[UNK]", "a", "b"], "mask_token": ""},
    "no unknown": {"vocabulary": ["left", "up", "ñ"], "num_oov_indices": 0},
    "several unknown": {"vocabulary": ["left"], "num_oov_indices": 3},
}


@pytest.mark.parametrize("settings", INVERTED.values(), ids=INVERTED)
def test_places_become_words_as_in_keras(
    keras: Any, tmp_path: Path, settings: dict[str, Any]
) -> None:
    places, number = keras.Input((2, 3), dtype="int64"), keras.Input((2,))
    words = keras.layers.StringLookup(invert=True, **settings)(places)
    model = keras.Model([places, number], {"word": words, "twice": number * 2.0})
    asked = np.array([[[0, 1, 2], [3, 4, 5]], [[-1, 2**40, 1], [2, 0, 7]]])
    numbers = np.ones((2, 2), np.float32)
    wanted = model([keras.ops.convert_to_tensor(value) for value in (asked, numbers)])["word"]

    for network in _converted(model, tmp_path):
        found = network(torch.from_numpy(asked), torch.from_numpy(numbers))

        assert found["word"] == np.char.decode(np.asarray(wanted).astype("S"), "utf-8").tolist()
        assert found["twice"].tolist() == [[2.0, 2.0], [2.0, 2.0]]


def test_words_from_places_go_into_layers_that_take_words(keras: Any, tmp_path: Path) -> None:
    places = keras.Input((3,), dtype="int64")
    words = keras.layers.StringLookup(vocabulary=["left", "up", "größer"], invert=True)(places)
    model = keras.Model(places, keras.layers.StringLookup(vocabulary=["größer", "left"])(words))
    asked = np.array([[0, 1, 2], [3, 4, 1]])

    for network in _converted(model, tmp_path):
        np.testing.assert_array_equal(
            network(torch.from_numpy(asked)).numpy(), np.asarray(model(asked))
        )


def test_text_as_an_output_cannot_be_traced(keras: Any, tmp_path: Path) -> None:
    places = keras.Input((3,), dtype="int64")
    words = keras.layers.StringLookup(vocabulary=["left"], invert=True)(places)
    keras.Model(places, words).save(tmp_path / "m.keras")

    with pytest.raises(ConversionError, match="output of the model is text"):
        torchward.convert(tmp_path / "m.keras", tmp_path / "m.pt2", format="pt2")


def test_words_into_a_layer_of_numbers_are_refused(keras: Any, tmp_path: Path) -> None:
    words = keras.Input((1, 2), dtype="string")
    row = keras.layers.Reshape((2,), name="row")(words)
    keras.Model(words, keras.layers.StringLookup(vocabulary=["a"])(row)).save(tmp_path / "m.keras")

    with pytest.raises(ConversionError, match=r"'row' .* takes words"):
        torchward.convert(tmp_path / "m.keras", tmp_path / "m.pth")


def test_the_layer_behind_both_lookups_goes_by_its_vocabulary(keras: Any, tmp_path: Path) -> None:
    from keras.src.layers.preprocessing.index_lookup import IndexLookup

    settings: dict[str, Any] = {"max_tokens": None, "num_oov_indices": 1, "mask_token": None}
    unknown: dict[str, str] = {"oov_token": "?"}
    words, numbers = keras.Input((2,), dtype="string"), keras.Input((2,), dtype="int64")
    lookups = [
        IndexLookup(**unknown, vocabulary_dtype="string", **settings),
        IndexLookup(oov_token=-9, vocabulary_dtype="int64", vocabulary=[7, 3], **settings),
    ]
    lookups[0].adapt(WORDS[[0, 2]])  # an empty word at the end is lost in the file
    model = keras.Model([words, numbers], [lookups[0](words), lookups[1](numbers)])
    asked = np.array([[3, 4], [7, -9], [0, 7]])
    wanted = model([keras.ops.convert_to_tensor(value) for value in (WORDS, asked)])

    for network in _converted(model, tmp_path):
        found = network(text_bytes(WORDS), torch.from_numpy(asked))
        for expected, value in zip(wanted, found, strict=True):
            np.testing.assert_array_equal(value.numpy(), np.asarray(expected))


@pytest.mark.slow
def test_a_feature_space_is_a_network_of_its_layers(keras: Any, tmp_path: Path) -> None:
    kinds = keras.utils.FeatureSpace
    space = kinds(
        {
            "word": kinds.string_categorical(num_oov_indices=0),
            "size": kinds.float(),
            "age": kinds.float_normalized(),
            "both": kinds.integer_hashed(num_bins=5),
        },
        crosses=[kinds.cross(("word", "both"), crossing_dim=8)],
        output_mode="concat",
    )
    data = {
        "word": np.array(["up", "left", "up"]),
        "size": np.array([0.5, -2.0, 7.25], np.float32),
        "age": np.array([3.0, 4.0, 8.0], np.float32),
        "both": np.array([4, 11, 4]),
    }
    data = {name: value[:, None] for name, value in sorted(data.items())}
    space.adapt(pytest.importorskip("tensorflow").data.Dataset.from_tensor_slices(data).batch(3))
    inputs = dict(sorted(space.get_inputs().items()))
    model = keras.Model(inputs, space.get_encoded_features())
    wanted = model({name: keras.ops.convert_to_tensor(value) for name, value in data.items()})

    for network in _converted(model, tmp_path):
        values = {
            name: text_bytes(value) if name == "word" else torch.from_numpy(value)
            for name, value in data.items()
        }
        np.testing.assert_allclose(network(**values).numpy(), np.asarray(wanted), rtol=0, atol=1e-6)
