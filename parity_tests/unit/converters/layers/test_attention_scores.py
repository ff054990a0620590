from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import torchward
from converters.errors import UnsupportedError

pytestmark = pytest.mark.tf


@pytest.fixture(scope="module")
def keras() -> Any:  # Keras has no types
    return pytest.importorskip("keras")


@pytest.mark.filterwarnings("ignore:Layer .* does not support masking")
@pytest.mark.parametrize("masked", [False, True], ids=["plain", "masked"])
@pytest.mark.parametrize("causal", [False, True], ids=["all", "causal"])
@pytest.mark.parametrize("name", ["heads", "groups", "axes", "dot", "additive"])
def test_scores_come_as_a_second_output(
    name: str, causal: bool, masked: bool, keras: Any, tmp_path: Path
) -> None:
    keras.utils.clear_session(free_memory=False)
    shape = (2, 3, 4) if name == "axes" else (5, 4)
    layer = {
        "groups": lambda: keras.layers.GroupQueryAttention(3, 4, 2),
        "dot": lambda: keras.layers.Attention(use_scale=True),
        "additive": lambda: keras.layers.AdditiveAttention(),
    }.get(name, lambda: keras.layers.MultiHeadAttention(2, 3))()
    x, y = keras.Input(shape), keras.Input(shape)
    masked = masked and name != "axes"
    queries, values = (keras.layers.Masking(0.0)(part) if masked else part for part in (x, y))
    causal = causal and name != "axes"
    given = ([queries, values],) if name in ("dot", "additive") else (queries, values)
    outputs = layer(
        *given, return_attention_scores=True, use_causal_mask=int(causal) if masked else causal
    )
    model = keras.Model([x, y], list(outputs))
    model.save(tmp_path / "model.keras")
    inputs = np.random.default_rng(3).normal(size=(2, 6, *shape)).astype("float32")
    inputs[:, :2, 3:] = 0.0  # what a mask leaves out

    torchward.convert(tmp_path / "model.keras", tmp_path / "model.pth")
    found = torchward.load(tmp_path / "model.pth")(*torch.from_numpy(inputs))

    for legacy, tensor in zip(model(list(inputs)), found, strict=True):
        np.testing.assert_allclose(tensor.detach().numpy(), np.asarray(legacy), rtol=0, atol=2e-6)


@pytest.mark.slow
@pytest.mark.parametrize("scored", [False, True], ids=["alone", "scores"])
@pytest.mark.parametrize("argument", ["value_mask", "attention_mask"])
def test_masks_hide_values_at_every_place_of_axes_left_alone(
    argument: str, scored: bool, keras: Any, tmp_path: Path
) -> None:
    x, y = keras.Input((5, 3, 4)), keras.Input((5, 3, 4))
    sizes = (5,) if argument == "value_mask" else (5, 5)
    mask = keras.Input(sizes, dtype="bool")
    layer = keras.layers.MultiHeadAttention(2, 3, attention_axes=(1,))
    outputs = layer(x, y, use_causal_mask=True, return_attention_scores=scored, **{argument: mask})
    model = keras.Model([x, y, mask], outputs)
    model.save(tmp_path / "model.keras")
    rng = np.random.default_rng(5)
    inputs = rng.normal(size=(2, 6, 5, 3, 4)).astype("float32")
    seen = rng.integers(0, 3, (6, *sizes)) > 0

    torchward.convert(tmp_path / "model.keras", tmp_path / "model.pth")
    module = torchward.load(tmp_path / "model.pth")
    found = module(*torch.from_numpy(inputs), torch.from_numpy(seen))

    legacy = model([*inputs, seen])
    pairs = zip(legacy, found, strict=True) if scored else [(legacy, found)]
    for expected, tensor in pairs:
        np.testing.assert_allclose(tensor.detach().numpy(), np.asarray(expected), rtol=0, atol=2e-6)


@pytest.mark.slow
def test_masks_beside_axes_that_they_do_not_count_are_refused(keras: Any, tmp_path: Path) -> None:
    x = keras.Input((5, 3, 4))
    layer = keras.layers.MultiHeadAttention(2, 3, attention_axes=(2,))
    model = keras.Model(x, layer(x, x, use_causal_mask=True))
    model.save(tmp_path / "model.keras")

    with pytest.raises(UnsupportedError, match="as many positions as the first"):
        torchward.convert(tmp_path / "model.keras", tmp_path / "model.pth")
