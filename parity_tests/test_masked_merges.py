"""Merges of inputs with masks: what a mask takes out of one input counts in no product, maximum or minimum of Keras 3."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import torchward

pytestmark = pytest.mark.tf
IDS = np.array([[3, 0, 1, 5, 0], [8, 3, 6, 3, 4]], np.int32)
PLAIN = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32)
PLAIN[0, 2:4] = 0  # two steps that Masking takes out, one of which has an id


@pytest.fixture(scope="module")
def keras() -> Any:
    return pytest.importorskip("tensorflow").keras


@pytest.mark.parametrize("masked", ["one", "first", "both"])
@pytest.mark.parametrize("merge", ["Multiply", "Maximum", "Minimum", "Add", "Average"])
def test_merge_is_that_of_keras_where_inputs_have_masks(
    merge: str, masked: str, keras: Any, tmp_path: Path
) -> None:
    layers = keras.layers
    ids, plain = keras.Input((5,), dtype="int32"), keras.Input((5, 3))
    table = layers.Embedding(9, 3, mask_zero=True)(ids)
    other = layers.Masking()(plain) if masked == "both" else plain
    given = [table, other] if masked == "first" else [other, table]
    merged = getattr(layers, merge)()([*given, plain])
    pooled = layers.GlobalAveragePooling1D()(merged)  # shows the mask that is left
    legacy = keras.Model([ids, plain], [merged, pooled])
    legacy.save(tmp_path / "model.keras")

    torchward.convert(
        tmp_path / "model.keras", tmp_path / "model.pth", source_code=tmp_path / "network.py"
    )

    converted = torchward.load(tmp_path / "model.pth")
    emitted = runpy.run_path(str(tmp_path / "network.py"))[converted.architecture.name]()
    emitted.load_state_dict(converted.state_dict())
    wanted = legacy([IDS, PLAIN])
    for network in (converted, emitted.eval()):
        found = network(torch.from_numpy(IDS), torch.from_numpy(PLAIN))
        for x, y in zip(found, wanted, strict=True):
            np.testing.assert_allclose(x.detach(), y, rtol=0, atol=1e-6)
