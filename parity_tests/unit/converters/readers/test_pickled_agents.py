"""Pickles that hold no agent, or one of another framework, are called what they are."""

from __future__ import annotations

import pickle  # noqa: TID251  # writes files to be read without it
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import torchward
from converters.errors import UnsupportedError

BESIDE: dict[str, Any] = {"state": np.zeros((1, 4, 1)), "training_steps": 7}


@pytest.mark.parametrize(
    ("further", "said"),
    [
        ({}, "Dopamine keeps beside its checkpoint of TensorFlow"),
        ({"online_params": {"params": np.ones(3, np.float32)}}, "Dopamine's agents for JAX"),
    ],
    ids=["tensorflow", "jax"],
)
def test_bundles_of_dopamine_are_refused_by_name(
    further: dict[str, Any], said: str, tmp_path: Path
) -> None:
    path = tmp_path / "ckpt.0"
    path.write_bytes(pickle.dumps({**BESIDE, **further}, 4))

    with pytest.raises(UnsupportedError, match=said):
        torchward.convert(path, tmp_path / "agent.pth")
