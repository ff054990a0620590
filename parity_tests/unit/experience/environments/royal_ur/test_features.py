from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from experience.environments.royal_ur.features import extract_features, extract_many
from experience.environments.royal_ur.rules import make_state
from parity_tests.unit.experience.environments.royal_ur.recorded import (
    POSITIONS,
    random_states,
    state_of,
)

LIVE = 78


@pytest.mark.parametrize("position", POSITIONS, ids=range(len(POSITIONS)))
def test_features_are_those_of_the_original(position: dict[str, Any]) -> None:
    found = extract_features(state_of(position))

    # The original sums in float32, we in float64: one rounding apart.
    np.testing.assert_allclose(found[:LIVE], position["features"], rtol=0, atol=1e-6)
    assert found.dtype == np.float32
    assert not found[LIVE:].any()


def test_many_states_have_the_features_of_each() -> None:
    states = np.array(random_states(30, seed=3))

    np.testing.assert_array_equal(extract_many(states), [extract_features(s) for s in states])
    assert extract_many(states[:0]).shape == (0, 150)


def test_distances_are_those_of_square_numbers() -> None:
    # Player 1 on 3, 6 and 20, player 2 on 19 and 4: pairs within 3: (3, 6) of three, none of one.
    state = make_state((3, 6, 20, -1, -1, -1, -1), (19, 4, -1, -1, -1, -1, -1))

    found = extract_features(state)

    np.testing.assert_allclose(found[65:67], [1 / 3, 0], rtol=1e-6)
    pressure = 1 / 2 + 1 / 3 + 1 / 2  # 3 to 4, 6 to 4, 20 to 19
    np.testing.assert_allclose(found[67:69], [pressure / 3, pressure / 2], rtol=1e-6)


def test_a_feature_never_leaves_its_limits() -> None:
    for state in random_states(100, seed=4):
        assert np.abs(extract_features(state)).max() <= 10
