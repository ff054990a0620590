from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import torchward

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
