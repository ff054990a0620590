"""Input recipe of the Ur pair: positions as numbers in the features' range, targets, and dropout masks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import numpy as np

from experience.ur_networks import FEATURES, HIDDEN_SIZES, PIECES, UrBatch, mask_units
from parity_tests.inputs import Draw, spread

_LARGEST = 10.0
"""Features are clipped to it."""


def ur_positions(configuration: Mapping[str, object], rng: np.random.Generator) -> Draw:
    """Return positions with targets and a mask for every dropout layer.

    Two thirds of the policy targets name one piece, the others spread over several, as an expert's ties do. Some value
    targets are -1, 0 and 1.

    Args:
        configuration: hidden_sizes, dropout, batch_size; the original's values if absent.
        rng: every call draws the same number of values from it.
    """
    size = int(cast("int", configuration.get("batch_size", 32)))
    hidden = cast("tuple[int, ...]", configuration.get("hidden_sizes", HIDDEN_SIZES))
    rate = float(cast("float", configuration.get("dropout", 0.1)))
    value = np.clip(rng.normal(0.0, 0.6, size), -1.0, 1.0)
    value[rng.random(size) < 0.2] = 0.0
    shares = rng.random((size, PIECES)) ** 3
    one_hot = np.eye(PIECES)[rng.integers(PIECES, size=size)]
    certain = rng.random(size)[:, None] < 2 / 3
    policy = np.where(certain, one_hot, shares / shares.sum(axis=1, keepdims=True))
    noise = {
        name: (rng.random((size, units)) >= rate) / (1.0 - rate)
        for name, units in mask_units(hidden).items()
    }
    return Draw(
        UrBatch(np.clip(spread(rng, (size, FEATURES)), -_LARGEST, _LARGEST), value, policy), noise
    )
