"""Words looked up in the vocabulary of a file: the converted network gives what Keras does."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import torchward
from torch_impl.text_bytes import text_bytes

pytestmark = pytest.mark.tf
WORDS = np.array([["left", "right"], ["größer", ""], ["up", "left"]])
SETTINGS = {
    "plain": {"vocabulary": ["left", "up", "größer"]},
    "mask": {"vocabulary": ["left", "up"], "mask_token": ""},
    "no unknown": {"vocabulary": ["left", "right", "größer", "", "up"], "num_oov_indices": 0},
    "multi hot": {"vocabulary": ["left", "right"], "output_mode": "multi_hot"},
    "count": {"vocabulary": ["up", "left"], "output_mode": "count", "mask_token": "right"},
    "learned": {"mask_token": ""},
}


@pytest.fixture(scope="module")
def keras() -> Any:
    return pytest.importorskip("tensorflow").keras


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_words_are_looked_up_as_in_keras(
    keras: Any, tmp_path: Path, settings: dict[str, Any]
) -> None:
    lookup = keras.layers.StringLookup(**settings)
    if "vocabulary" not in settings:
        lookup.adapt(WORDS[:2])
    words, number = keras.Input((2,), dtype="string", name="words"), keras.Input((2,), name="n")
    model = keras.Model([number, words], [lookup(words), number * 2.0])
    model.save(tmp_path / "model.keras")

    torchward.convert(
        tmp_path / "model.keras", tmp_path / "model.pth", source_code=tmp_path / "network.py"
    )

    numbers = np.ones((3, 2), np.float32)
    tensors = [keras.ops.convert_to_tensor(value) for value in (numbers, WORDS)]
    wanted, _ = model(tensors)
    converted = torchward.load(tmp_path / "model.pth")
    emitted = runpy.run_path(str(tmp_path / "network.py"))[converted.architecture.name]()
    first = torch.from_numpy(numbers)
    for found in (
        converted(first, WORDS),
        converted([first, WORDS.tolist()]),
        converted(words=WORDS, n=first),
        converted(first, text_bytes(WORDS)),
        emitted(first, text_bytes(WORDS)),
    ):
        np.testing.assert_array_equal(found[0].numpy(), np.asarray(wanted))
