"""DDPG's running statistics as numbers that dense layers can take over: of observations, and of returns."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from converters.agents.spaces import BOX, Space
from converters.agents.stable_baselines.off_policy import running_statistics, stated_range
from converters.checkpoint import ArrayInfo
from converters.stable_baselines3.chains import Clip

_SMALLEST_VARIANCE = 1e-2
"""Of stable_baselines 2.10 common/mpi_running_mean_std.py."""


def clip_of(
    arrays: Mapping[str, ArrayInfo], settings: Mapping[str, object], observation: Space
) -> Clip | None:
    """Return what DDPG does to observations before its networks; None: nothing that the space allows to see."""
    low, high = stated_range(settings, "observation_range", (-5.0, 5.0))
    scope = running_statistics(arrays, "obs_rms")
    if scope is not None:
        return Clip(*_moments(arrays, scope), low, high)
    if _lies_within(observation, low, high):
        return None
    size = observation.features
    return Clip(np.zeros(size), np.ones(size), low, high)


def returns_of(arrays: Mapping[str, ArrayInfo]) -> tuple[float, float]:
    """Return the deviation and mean that normalized returns are brought back with; 1 and 0 where there are none."""
    scope = running_statistics(arrays, "ret_rms")
    if scope is None:
        return 1.0, 0.0
    mean, deviation = _moments(arrays, scope)
    return float(deviation[0]), float(mean[0])


def _moments(
    arrays: Mapping[str, ArrayInfo], scope: str
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Return mean and deviation, flat."""
    total, square, count = (
        arrays[f"{scope}/{name}"].read() for name in ("runningsum", "runningsumsq", "count")
    )
    mean = (total / count).ravel()
    return mean, np.sqrt(np.maximum((square / count).ravel() - mean**2, _SMALLEST_VARIANCE))


def _lies_within(space: Space, low: float, high: float) -> bool:
    """Return whether all observations of a box lie between two numbers."""
    if space.kind != BOX or space.low is None or space.high is None:
        return False
    return bool((space.low >= low).all() and (space.high <= high).all())
