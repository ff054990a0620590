"""Batches of the RRD suite, under the original's keys, from the places of steps in a ring of episodes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from experience.episode_ring import Array, EpisodeRing

BatchArrays = dict[str, Array]
BRIGHTEST = np.float32(255)


def draw_sub_sequences(
    ring: EpisodeRing, count: int, sample_size: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], BatchArrays]:
    """Return places (count, K) of K steps of each of `count` episodes, and what their rewards are regressed on.

    Episodes are drawn in proportion to their length T, steps without replacement if there are enough of them.

    Returns:
        The places, and rrd_rews = R / T and rrd_var_coef, both (count, 1). The latter is the factor of the variance of
        the mean of K predictions: 1 - K / T if K <= T and T > 1; 1 if K > T > 1; 0 if T = 1.
    """
    slots = ring.find_episodes(ring.draw_rows(count, rng))
    lengths = ring.episode_lengths(slots)
    steps = np.stack(
        [
            rng.choice(length, sample_size, replace=sample_size > length, shuffle=False)
            for length in lengths.tolist()
        ]
    )
    shortage = np.where(sample_size <= lengths, 1.0 - sample_size / lengths, 1.0)
    coefficients = np.where(lengths > 1, shortage, 0.0)
    means = ring.episode_totals(slots) / lengths
    regression = {
        "rrd_rews": means[:, None].astype(np.float32),
        "rrd_var_coef": coefficients[:, None].astype(np.float32),
    }
    return ring.rows_of(slots, steps), regression


def gather_outcomes(ring: EpisodeRing, rows: NDArray[np.int64]) -> BatchArrays:
    """Return acts, rews (batch, 1) and done (batch, 1) at `rows`."""
    return {
        "acts": ring.gather("action", rows),
        "rews": ring.gather("reward", rows)[:, None],
        "done": ring.gather("done", rows)[:, None],
    }


def gather_with_totals(ring: EpisodeRing, rows: NDArray[np.int64]) -> BatchArrays:
    """Return transitions with the return of their episode as reward, in float64."""
    obs, obs_next = ring.gather_pairs(rows)
    totals = ring.episode_totals(ring.find_episodes(rows))
    return {
        "obs": obs,
        "obs_next": obs_next,
        **gather_outcomes(ring, rows),
        "rews": totals[:, None],
    }


def split_stacks(stacks: Array) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return both stacks (..., height, width, frames) in 0..1 of (..., frames + 1, height, width) in 8 bits."""
    last = np.moveaxis(stacks, -3, -1)
    return np.divide(last[..., :-1], BRIGHTEST), np.divide(last[..., 1:], BRIGHTEST)
