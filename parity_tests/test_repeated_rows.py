"""Rows of an embedding that come several times in a batch: where training goes on as in Keras, and where the report says it does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import torchward

pytestmark = pytest.mark.tf
ONCE = np.array([[0, 1, 2, 3], [4, 5, 6, 7]])
TWICE = np.array([[0, 1, 1, 3], [4, 5, 6, 7]])
Y = np.ones((2, 2), np.float32)


@pytest.fixture(scope="module")
def keras() -> Any:
    return pytest.importorskip("tensorflow").keras


@pytest.mark.parametrize(
    ("kind", "rows", "noted", "same"),
    [
        ("Adam", ONCE, True, True),
        ("Adam", TWICE, True, False),
        ("Lion", TWICE, False, True),
    ],
    ids=["once", "squares", "no squares"],
)
def test_repeated_rows_differ_only_where_squares_are_kept(
    kind: str, rows: Any, noted: bool, same: bool, keras: Any, tmp_path: Path
) -> None:
    layers = keras.layers
    table = layers.Embedding(9, 3, name="table")
    model = keras.Sequential(
        [keras.Input((4,), dtype="int32"), table, layers.Flatten(), layers.Dense(2)]
    )
    optimizer = getattr(keras.optimizers, kind)(0.01)
    model.compile(optimizer, keras.losses.MeanSquaredError(), run_eagerly=True)
    model.train_on_batch(rows, Y)
    model.save(tmp_path / "model.keras")

    report = torchward.convert(tmp_path / "model.keras", tmp_path / "model.pth")
    network, resumed = torchward.load(tmp_path / "model.pth", optimizer=True)
    loss = torchward.load_loss(tmp_path / "model.pth")
    for _ in range(3):
        model.train_on_batch(rows, Y)
        resumed.zero_grad()
        loss(network(torch.from_numpy(rows)), torch.from_numpy(Y)).backward()  # type: ignore[no-untyped-call]
        resumed.step()

    found = network.state_dict()["table.weight"].numpy()
    worst = np.abs(found - np.asarray(table.embeddings)).max()
    assert any("rows of table" in note for note in report.notes) is noted
    assert worst < 1e-6 if same else worst > 1e-3
