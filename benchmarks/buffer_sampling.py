"""How long one batch of return decomposition takes to draw, from the rings and from lists of dictionaries.

    python -m benchmarks.buffer_sampling

Both hold the same episodes and are measured in turns in one process, so that their ratio does not depend on what else
the machine does.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.subjects.list_buffer import ListTrajectoryBuffer
from experience.arguments import choose_defaults
from experience.episode_ring import Episode
from experience.suite_buffers import TrajectoryBuffer

NEEDED_RATIO = 5.0
EPISODES, LENGTH = 60, 1000
OBSERVATION, ACTION = 17, 6
"""Of Walker2d and HalfCheetah."""


@dataclass(frozen=True, slots=True)
class SamplingTimes:
    """Median microseconds of one batch."""

    rings: float
    lists: float

    @property
    def ratio(self) -> float:
        """How many times faster the rings are."""
        return self.lists / self.rings


def measure_sampling(
    *, episodes: int = EPISODES, length: int = LENGTH, rounds: int = 30
) -> SamplingTimes:
    """Return what a batch of the default sizes takes (256 transitions, 4 sub-sequences of 64).

    Args:
        episodes: stored ones.
        length: steps of each.
        rounds: batches of each buffer, in turns.
    """
    arguments = choose_defaults(env="Walker2d-v5", buffer_size=episodes * length)
    arguments.obs_dims, arguments.acts_dims = (OBSERVATION,), (ACTION,)
    rings = TrajectoryBuffer(arguments, np.random.default_rng(0))
    lists = ListTrajectoryBuffer(arguments, np.random.default_rng(0))
    rng = np.random.default_rng(1)
    for _ in range(episodes):
        episode = _make_episode(length, rng)
        rings.store_episode(episode)
        lists.store_episode(episode)
    seconds: dict[str, list[float]] = {"rings": [], "lists": []}
    for _ in range(rounds):
        seconds["rings"].append(_time(rings.sample_batch))
        seconds["lists"].append(_time(lists.sample_batch))
    medians = {name: statistics.median(values) * 1e6 for name, values in seconds.items()}
    return SamplingTimes(**medians)


def _make_episode(length: int, rng: np.random.Generator) -> Episode:
    observations = rng.standard_normal((length + 1, OBSERVATION)).astype(np.float32)
    return Episode(
        observations[:1],
        observations[1:],
        rng.uniform(-1, 1, (length, ACTION)).astype(np.float32),
        rng.standard_normal(length).astype(np.float32),
        np.zeros(length, np.float32),
    )


def _time(sample: Callable[[], object]) -> float:
    begin = time.perf_counter()
    sample()
    return time.perf_counter() - begin


def main() -> int:
    """Print both times and their ratio; 1 if it is lower than needed."""
    times = measure_sampling()
    sys.stdout.write(
        f"rings  {times.rings:8.0f} us a batch\nlists  {times.lists:8.0f} us a batch\n"
        f"ratio  {times.ratio:8.1f} (needed {NEEDED_RATIO:.0f})\n"
    )
    return 0 if times.ratio >= NEEDED_RATIO else 1


if __name__ == "__main__":
    sys.exit(main())
