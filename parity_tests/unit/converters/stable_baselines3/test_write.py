"""What the written agent is compared on, in numpy."""

from __future__ import annotations

import numpy as np
import pytest

from converters.agents.spaces import BOX, Space
from converters.stable_baselines3.agent import Counterpart
from converters.stable_baselines3.write import sample_observations


def agent_of(low: float, high: float) -> Counterpart:
    """Return an agent that takes three numbers in a range."""
    bounds = (np.full(3, low, np.float32), np.full(3, high, np.float32))
    space = Space(BOX, (3,), (), *bounds)
    return Counterpart("DDPG", "MlpPolicy", [], "ReLU", False, space, space, {})


@pytest.mark.parametrize("low", [-1.0, 100.0], ids=["around-zero", "far-from-zero"])
def test_compared_observations_fill_a_narrow_space_and_do_not_leave_it(low: float) -> None:
    drawn = sample_observations(agent_of(low, low + 2), 256)

    assert low <= drawn.min() < low + 0.1
    assert low + 1.9 < drawn.max() <= low + 2


def test_compared_observations_of_a_space_without_bounds_are_near_zero() -> None:
    drawn = sample_observations(agent_of(-3.4e38, 3.4e38), 256)

    assert 3.0 < drawn.std() < 5.0
