from __future__ import annotations

import numpy as np
import pytest

from benchmarks.buffer_sampling import SamplingTimes, measure_sampling
from benchmarks.subjects.list_buffer import ListTrajectoryBuffer
from experience.arguments import choose_defaults
from experience.episode_ring import Episode
from experience.suite_buffers import TrajectoryBuffer


def test_ratio_says_how_many_times_faster_the_rings_are() -> None:
    assert SamplingTimes(rings=50.0, lists=400.0).ratio == 8.0


def test_both_buffers_are_measured() -> None:
    times = measure_sampling(episodes=2, length=70, rounds=1)

    assert times.rings > 0
    assert times.lists > 0


def test_both_buffers_give_arrays_of_the_same_form() -> None:
    arguments = choose_defaults(env="Hopper-v5")
    arguments.obs_dims, arguments.acts_dims = (2,), (1,)
    steps = np.arange(101, dtype=np.float32)
    observations = np.stack([steps, -steps], axis=1)
    episode = Episode(
        observations[:1], observations[1:], steps[:-1, None], steps[:-1], np.zeros(100, np.float32)
    )
    batches = []
    for kind in (TrajectoryBuffer, ListTrajectoryBuffer):
        buffer = kind(arguments, np.random.default_rng(0))
        buffer.store_episode(episode)
        batches.append(buffer.sample_batch())

    rings, lists = batches

    assert {n: a.shape for n, a in rings.items()} == {n: a.shape for n, a in lists.items()}
    for batch in batches:
        np.testing.assert_array_equal(batch["acts"], batch["obs"][:, :1])
        np.testing.assert_array_equal(batch["rrd_acts"], batch["rrd_obs"][..., :1])
        assert batch["rrd_rews"] == pytest.approx(np.full((4, 1), 49.5))
