"""Dictionaries and nested lists of inputs and outputs: the converted network takes and returns what Keras does."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import torchward

pytestmark = [
    pytest.mark.tf,
    pytest.mark.filterwarnings("ignore:When providing `inputs` as a dict"),
]

Build = Callable[[Any, Any, Any], tuple[Any, Any]]
"""Keras and two inputs named "a" and "b" to the inputs and outputs of a model."""
A = np.array([[1.0, 2.0, 3.0]], np.float32)
B = np.array([[10.0, 20.0, 30.0]], np.float32)


def nested(keras: Any, a: Any, b: Any) -> tuple[Any, Any]:
    """A dictionary model inside another, called with the keys in another order than it was made with."""
    x, y = keras.Input((3,)), keras.Input((3,))
    inner = keras.Model({"second": y, "first": x}, {"q": x - y, "p": x * 2.0}, name="inner")
    outputs = inner({"first": a, "second": b})
    return [a, b], [outputs["q"], outputs["p"]]


def joined(keras: Any, a: Any, b: Any) -> tuple[Any, Any]:
    """Both outputs of a model are the one input of the layer behind it."""
    x = keras.Input((3,))
    inner = keras.Model(x, [x - 1.0, x * 2.0], name="inner")
    return [a, b], keras.layers.Concatenate()(inner(a)) - keras.layers.Concatenate()(inner(b))


MODELS: dict[str, Build] = {
    "dictionaries": lambda _, a, b: ({"second": b, "first": a}, {"q": a - b, "p": a * 2.0}),
    "lists": lambda _, a, b: ([a, [b]], [a - b, [a * 2.0, b * 3.0]]),
    "both": lambda _, a, b: ([{"x": a}, b], [a - b, {"z": a * 2.0, "y": [b * 3.0]}]),
    "nested model": nested,
    "joined outputs": joined,
}


def flat(value: Any) -> list[NDArray[Any]]:
    if isinstance(value, dict):
        return [x for key in sorted(value) for x in flat(value[key])]
    if isinstance(value, (list, tuple)):
        return [x for item in value for x in flat(item)]
    return [np.asarray(value.detach() if isinstance(value, torch.Tensor) else value)]


def form(value: Any) -> Any:
    """Return the arrangement without the numbers."""
    if isinstance(value, dict):
        return {key: form(value[key]) for key in sorted(value)}
    if isinstance(value, (list, tuple)):
        return [form(item) for item in value]
    return None


def put_in(structure: Any, tensors: dict[str, Any]) -> Any:
    """Return the inputs as the model has them, with tensors for Keras's by their names."""
    if isinstance(structure, dict):
        return {key: put_in(item, tensors) for key, item in structure.items()}
    if isinstance(structure, (list, tuple)):
        return [put_in(item, tensors) for item in structure]
    return tensors[structure.name]


@pytest.fixture(scope="module")
def keras() -> Any:
    return pytest.importorskip("tensorflow").keras


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("name", MODELS)
def test_arranged_inputs_and_outputs_are_those_of_keras(
    name: str, suffix: str, keras: Any, tmp_path: Path
) -> None:
    keras.utils.clear_session(free_memory=False)
    inputs, outputs = MODELS[name](keras, keras.Input((3,), name="a"), keras.Input((3,), name="b"))
    legacy = keras.Model(inputs, outputs, name="network")
    legacy.save(tmp_path / f"model{suffix}")
    wanted = legacy(put_in(inputs, {"a": A, "b": B}))

    torchward.convert(
        tmp_path / f"model{suffix}", tmp_path / "model.pth", source_code=tmp_path / "network.py"
    )
    converted = torchward.load(tmp_path / "model.pth")
    emitted = runpy.run_path(str(tmp_path / "network.py"))[converted.architecture.name]()

    tensors = {"a": torch.from_numpy(A), "b": torch.from_numpy(B)}
    arranged = put_in(inputs, tensors)
    in_order = [torch.from_numpy(x) for x in flat(arranged)]
    for found in (converted(arranged), converted(*in_order), emitted(*in_order)):
        assert form(found) == form(wanted)
        for x, y in zip(flat(found), flat(wanted), strict=True):
            np.testing.assert_array_equal(x, y)


def test_inputs_may_come_by_name(keras: Any, tmp_path: Path) -> None:
    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
    keras.Model({"second": b, "first": a}, a - b).save(tmp_path / "model.keras")
    torchward.convert(
        tmp_path / "model.keras", tmp_path / "model.pth", source_code=tmp_path / "network.py"
    )
    converted = torchward.load(tmp_path / "model.pth")
    emitted = runpy.run_path(str(tmp_path / "network.py"))[converted.architecture.name]()
    x, y = torch.from_numpy(A), torch.from_numpy(B)

    for model in (converted, emitted):
        torch.testing.assert_close(model(second=y, first=x), x - y)
    with pytest.raises(TypeError, match=r"takes 2 inputs \(first, second\), got first, third"):
        converted(first=x, third=y)


@pytest.mark.parametrize("depth", [0, 1], ids=["own", "nested"])
def test_vocabularies_that_a_layer_learned_are_read_from_the_archive(
    keras: Any, tmp_path: Path, depth: int
) -> None:
    numbers = np.array([[7, 3, 12], [1, 7, 7]])
    lookup = keras.layers.IntegerLookup(output_mode="multi_hot")
    lookup.adapt(numbers[:1])
    x, y = keras.Input((3,), dtype="int64"), keras.Input((3,), dtype="int64")
    counted = keras.Model(y, lookup(y))(x) if depth else lookup(x)
    model = keras.Model(x, keras.layers.Dense(2)(counted))  # whole numbers into a kernel
    model.save(tmp_path / "model.keras")

    torchward.convert(
        tmp_path / "model.keras", tmp_path / "model.pth", source_code=tmp_path / "network.py"
    )

    converted = torchward.load(tmp_path / "model.pth")
    emitted = runpy.run_path(str(tmp_path / "network.py"))[converted.architecture.name]()
    emitted.load_state_dict(converted.state_dict())
    wanted = np.asarray(model(numbers))
    for network in (converted, emitted):
        found = network(torch.from_numpy(numbers)).detach().numpy()
        np.testing.assert_allclose(found, wanted, rtol=1e-6)


@pytest.mark.parametrize("wrapped", [False, True], ids=["plain", "wrapped"])
def test_weights_multiply_whole_numbers_as_floats_and_tables_keep_them(
    keras: Any, tmp_path: Path, *, wrapped: bool
) -> None:
    x = keras.Input((4, 3), dtype="int32")
    gru = keras.layers.GRU(2)
    table = keras.layers.Embedding(5, 2)
    looked_up = keras.layers.TimeDistributed(table)(x) if wrapped else table(x)
    model = keras.Model(x, [keras.layers.Bidirectional(gru)(x) if wrapped else gru(x), looked_up])
    numbers = np.arange(24, dtype="int32").reshape(2, 4, 3) % 5

    legacy, found, emitted = both_sides(model, tmp_path, numbers)

    for values in (found, emitted):
        for wanted, value in zip(legacy, values, strict=True):
            np.testing.assert_allclose(value, wanted, rtol=1e-5, atol=1e-6)


def test_mask_of_whole_numbers_by_its_place_leaves_steps_out(keras: Any, tmp_path: Path) -> None:
    x, mask = keras.Input((3, 2)), keras.Input((3,), dtype="int32")
    pooled = keras.layers.GlobalAveragePooling1D()(x, mask)
    model = keras.Model([x, mask], [pooled, keras.layers.GRU(2)(x, mask=mask)])
    kept = np.array([[1, 0, 1], [1, 1, 0]], "int32")
    numbers = np.random.default_rng(4).normal(size=(2, 3, 2)).astype("float32")

    legacy, found, emitted = both_sides(model, tmp_path, numbers, kept)

    for values in (found, emitted):
        for wanted, value in zip(legacy, values, strict=True):
            np.testing.assert_allclose(value, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("inner", "outer"), [((3,), (3, 1)), ((3, 1), (3,))], ids=["lost", "added"]
)
def test_nested_model_is_called_with_one_last_axis_of_1_more_or_less(
    keras: Any, tmp_path: Path, inner: tuple[int, ...], outer: tuple[int, ...]
) -> None:
    x, y = keras.Input(inner), keras.Input(outer)
    model = keras.Model(y, keras.Model(x, keras.layers.Dense(2)(x))(y))
    numbers = np.random.default_rng(3).normal(size=(2, *outer)).astype("float32")

    [legacy], [found], [emitted] = both_sides(model, tmp_path, numbers)

    np.testing.assert_allclose(found, legacy, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(emitted, found)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("nested", [False, True], ids=["layer", "model"])
def test_shared_statistics_move_in_the_order_in_which_keras_runs_the_calls(
    keras: Any, tmp_path: Path, order: tuple[int, int], nested: bool
) -> None:
    sides = [keras.Input((3,), name=name) for name in "ab"]
    shared = keras.layers.BatchNormalization(momentum=0.5, name="norm")
    if nested:
        shared = keras.Sequential([keras.Input((3,)), shared], name="encoder")
    encoded = [shared(side) for side in sides]
    model = keras.Model(sides, keras.layers.Concatenate()([encoded[side] for side in order]))
    inputs = [np.float32(level) + np.eye(3, dtype=np.float32) for level in (0, 10)]
    both_sides(model, tmp_path, *inputs)
    converted = torchward.load(tmp_path / "model.pth").train()

    model(inputs, training=True)
    converted(*map(torch.from_numpy, inputs))

    [moved] = [values for name, values in converted.named_buffers() if name.endswith("mean")]
    mean = next(weight for weight in model.non_trainable_variables if "mean" in weight.path)
    np.testing.assert_allclose(moved, mean, rtol=1e-6)


def both_sides(
    model: Any, folder: Path, *inputs: np.ndarray
) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """Return the outputs of a Keras model, of what it converts to, and of the emitted source."""
    model.save(folder / "model.keras")
    torchward.convert(
        folder / "model.keras", folder / "model.pth", source_code=folder / "network.py"
    )
    converted = torchward.load(folder / "model.pth")
    emitted = runpy.run_path(str(folder / "network.py"))[converted.architecture.name]()
    emitted.load_state_dict(converted.state_dict())
    tensors = [torch.from_numpy(value) for value in inputs]
    with torch.no_grad():
        found, source = (flat(network(*tensors)) for network in (converted, emitted))
    return flat(model(list(inputs) if len(inputs) > 1 else inputs[0])), found, source


@pytest.mark.parametrize("structure", ["single", "dictionary"])
def test_loss_of_a_single_output_may_be_given_by_its_name(
    structure: str, keras: Any, tmp_path: Path
) -> None:
    a = keras.Input((3,), name="a")
    b = keras.layers.Dense(2, name="b")(a)
    model = keras.Model(a, b if structure == "single" else {"b": b})
    model.compile("sgd", {"b": "mean_absolute_error"})
    model.save(tmp_path / "model.keras")

    torchward.convert(tmp_path / "model.keras", tmp_path / "model.pth")

    loss = torchward.load_loss(tmp_path / "model.pth")
    assert loss(torch.zeros(4, 2), torch.full((4, 2), 3.0)) == 3.0
