"""A trajectory buffer of Python lists, one dictionary per transition: what the rings are measured against.

Draws and keys are those of `experience.suite_buffers.TrajectoryBuffer`; only the storage differs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from experience.arguments import Arguments
from experience.episode_ring import Episode

Transition = dict[str, Any]  # Any: arrays and floats


class ListTrajectoryBuffer:
    """Trajectories as lists of dictionaries, and a list with the episode of every transition.

    Args:
        arguments: batch_size, rrd_batch_size, rrd_sample_size.
        rng: draws.
    """

    def __init__(self, arguments: Arguments, rng: np.random.Generator) -> None:
        self._arguments, self._rng = arguments, rng
        self._episodes: list[list[Transition]] = []
        self._returns: list[float] = []
        self._episode_of: list[int] = []

    def store_episode(self, episode: Episode) -> None:
        """Store an episode."""
        before = [episode.first[0], *episode.following[:-1]]
        self._episodes.append(
            [
                {
                    "obs": before[step].copy(),
                    "obs_next": episode.following[step].copy(),
                    "acts": episode.action[step].copy(),
                    "rews": [episode.reward[step]],
                    "done": [episode.done[step]],
                }
                for step in range(len(episode))
            ]
        )
        self._returns.append(episode.total)
        self._episode_of += [len(self._episodes) - 1] * len(episode)

    def sample_batch(self) -> dict[str, NDArray[Any]]:
        """Return the batch of the arguments' sizes as arrays by key."""
        arguments = self._arguments
        lists: dict[str, list[Any]] = {}
        for _ in range(arguments.batch_size):
            episode = self._episodes[self._draw_episode()]
            for name, value in episode[self._rng.integers(len(episode))].items():
                lists.setdefault(name, []).append(value)
        for _ in range(arguments.rrd_batch_size // arguments.rrd_sample_size):
            number = self._draw_episode()
            episode = self._episodes[number]
            size = arguments.rrd_sample_size
            steps = self._rng.choice(len(episode), size, replace=size > len(episode))
            for name in ("obs", "obs_next", "acts"):
                drawn = [episode[step][name] for step in steps]
                lists.setdefault(f"rrd_{name}", []).append(drawn)
            lists.setdefault("rrd_rews", []).append([self._returns[number] / len(episode)])
        return {name: np.array(values, np.float32) for name, values in lists.items()}

    def _draw_episode(self) -> int:
        return self._episode_of[self._rng.integers(len(self._episode_of))]
