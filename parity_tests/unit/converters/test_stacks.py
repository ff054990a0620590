"""Weights alone become a chain of dense layers only where they can be nothing else, and it is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import torchward
from converters.checkpoint import ArrayInfo, Checkpoint, LayerArrays, Provenance
from converters.errors import UnsupportedError
from converters.graph import Graph
from converters.stacks import assume_stack


def array(name: str, *shape: int) -> ArrayInfo:
    values = np.zeros(shape, np.float32)
    return ArrayInfo(name, shape, values.dtype, lambda: values)


def dense(
    path: str, inputs: int, outputs: int, roles: tuple[str, str] = ("kernel", "bias")
) -> LayerArrays:
    kernel, bias = roles
    arrays = {kernel: array(f"{path}/{kernel}", inputs, outputs), bias: array(path, outputs)}
    return LayerArrays(path, path, arrays)


def checkpoint(*layers: LayerArrays) -> Checkpoint:
    provenance = Provenance("weights.h5", lambda: "", 0, "keras-h5-weights", None, 2)
    return Checkpoint(layers, None, None, None, (), provenance)


def dense_layers(graph: Graph) -> list[tuple[str, object, object]]:
    return [
        (layer.name, layer.config["units"], layer.config["activation"])
        for layer in graph.layers
        if layer.class_name == "Dense"
    ]


def test_layers_are_in_the_order_in_which_each_feeds_the_next() -> None:
    stored = checkpoint(dense("out", 16, 3), dense("trunk/0", 7, 9), dense("trunk/1", 9, 16))

    found, assumed = assume_stack(stored)

    assert dense_layers(found.graph) == [
        ("trunk_0", 9, "relu"),
        ("trunk_1", 16, "relu"),
        ("out", 3, "linear"),
    ]
    assert len(assumed) == 1
    for stated in ("relu after 'trunk/0', 'trunk/1'", "nothing after 'out'", "--architecture"):
        assert stated in assumed[0]


def test_activations_may_be_stated() -> None:
    stored = checkpoint(dense("trunk/0", 7, 9), dense("trunk/1", 9, 16), dense("out", 16, 3))

    found, assumed = assume_stack(stored, {"activation": "tanh", "last_activation": "softmax"})

    assert [kind for *_, kind in dense_layers(found.graph)] == ["tanh", "tanh", "softmax"]
    assert "tanh after 'trunk/0', 'trunk/1', and softmax after 'out'" in assumed[0]


@pytest.mark.parametrize("stated", [{"activation": "tan"}, {"strides": [2]}, {"activation": 1}])
def test_what_is_no_activation_is_refused(stated: dict[str, object]) -> None:
    with pytest.raises(UnsupportedError, match="says nothing of weights"):
        assume_stack(checkpoint(dense("in", 7, 9), dense("out", 9, 3)), stated)


def test_arrays_alone_compute_with_the_activation_that_is_stated(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    shapes = {"W1": (4, 5), "b1": (5,), "W2": (5, 2), "b2": (2,)}
    arrays = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    np.savez(tmp_path / "params.npz", **arrays)
    x = random.normal(size=(3, 4)).astype(np.float32)
    settings = {"activation": "tanh"}
    report = torchward.convert(tmp_path / "params.npz", tmp_path / "net.pth", settings=settings)

    found: Any = torchward.load(tmp_path / "net.pth")(torch.from_numpy(x))

    wanted = np.tanh(x @ arrays["W1"] + arrays["b1"]) @ arrays["W2"] + arrays["b2"]
    np.testing.assert_allclose(found.detach().numpy(), wanted, rtol=1e-5, atol=1e-6)
    assert any("tanh after" in note for note in report.notes)
    assert torchward.verify(tmp_path / "params.npz", tmp_path / "net.pth").passed


def test_layers_of_one_shape_keep_the_order_of_the_file() -> None:
    stored = checkpoint(dense("b", 8, 8), dense("a", 8, 8), dense("c", 8, 2))

    found, _ = assume_stack(stored)

    assert [name for name, *_ in dense_layers(found.graph)] == ["b", "a", "c"]


@pytest.mark.parametrize("roles", [("kernel", "bias"), ("0", "1")])
def test_a_matrix_and_what_adds_to_it_have_the_names_of_their_format(
    roles: tuple[str, str],
) -> None:
    found, _ = assume_stack(checkpoint(dense("dense", 4, 2, roles)))

    assert [set(entry.arrays) for entry in found.layers] == [{"kernel", "bias"}]


def test_networks_beside_each_other_give_a_dictionary_and_a_target_is_not_trained() -> None:
    names = ("q_network", "target_network")
    stored = checkpoint(
        *(dense(f"{n}/{i}", *s) for n in names for i, s in enumerate([(4, 6), (6, 2)]))
    )

    found, assumed = assume_stack(stored)

    assert found.graph.output_names == ("q", "target_q")
    trained = {
        network.name: all(layer.trainable for layer in network.graph.layers)
        for network in found.graph.layers
        if network.graph
    }
    assert trained == {"q_network": True, "target_network": False}
    assert len(assumed) == 2


def normed(path: str, size: int) -> LayerArrays:
    return LayerArrays(path, path, {"scale": array(path, size), "offset": array(path, size)})


def test_sonnet_heads_are_on_the_torso_that_ends_in_a_normalization_and_tanh() -> None:
    linear = ("w", "b")
    stored = checkpoint(
        dense("value", 16, 1, linear),
        dense("policy/_layers/0", 16, 8, linear),
        dense("policy/_layers/1", 8, 3, linear),
        dense("torso/_layers/0", 5, 16, linear),
        normed("torso/_layers/1", 16),
        LayerArrays("optimizer/m", None, {"0": array("m", 16)}),
    )

    found, assumed = assume_stack(stored)

    assert found.graph.output_names == ("policy", "value")
    sources = {call.layer: call.inputs[0].layer for call in found.graph.calls}
    assert sources == {"torso": "input", "policy": "torso", "value": "torso"}
    torso = found.graph.layer("torso").graph
    assert [layer.class_name for layer in torso.layers] == [
        "InputLayer",
        "Dense",
        "LayerNormalization",
        "Activation",
    ]
    assert torso.layers[-1].config["activation"] == "tanh"
    assert torso.layers[2].config["epsilon"] == 1e-5
    assert [a.name for a in found.extras] == ["m"]
    assert sum("assumed in" in line for line in assumed) == 3


def test_a_layer_that_flattens_is_kept() -> None:
    stored = checkpoint(LayerArrays("flatten_1", "flatten_1", {}), dense("dense_1", 4, 2))

    found, _ = assume_stack(stored)

    assert [layer.class_name for layer in found.graph.layers] == ["InputLayer", "Flatten", "Dense"]


@pytest.mark.parametrize(
    "layers",
    [
        [dense("policy", 16, 2), dense("value", 16, 1), dense("trunk", 4, 16)],  # two heads
        [dense("a", 4, 6), dense("b", 4, 6)],  # nothing leads from one to the other
        [dense("a", 4, 6), dense("b", 6, 4), dense("c", 4, 4)],  # several orders
        [dense("a", 4, 6), LayerArrays("lambda_1", "lambda_1", {})],
        [LayerArrays("conv", "conv", {"kernel": array("k", 3, 3, 4, 8)})],
        [LayerArrays("n", "n", {"gamma": array("g", 4), "beta": array("b", 4)}), dense("a", 4, 2)],
        [LayerArrays("e", "e", {"kernel": array("k", 4, 2), "bias": array("b", 3)})],
        [],
    ],
    ids=["heads", "apart", "orders", "lambda", "convolution", "norm", "bias", "nothing"],
)
def test_anything_else_is_not_guessed_at(layers: list[LayerArrays]) -> None:
    assert assume_stack(checkpoint(*layers)) is None
