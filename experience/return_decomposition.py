"""What randomized return decomposition asks of its arguments and batches, on both sides (Ren et al. 2022).

Beside transitions, a batch has sub-sequences: of each of some episodes, K = `rrd_sample_size` steps.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from experience.actor_critics import Settings


def sub_sequence_shapes(args: Settings) -> dict[str, tuple[int | None, ...]]:
    """Return the arrays that a batch has of sub-sequences, None for the axis of episodes.

    rrd_obs, rrd_obs_next and rrd_acts are steps; rrd_rews is the return of the episode over its length;
    rrd_var_coef, with bias correction only, is 1 - K / length for steps that were drawn without replacement.

    Raises:
        ValueError: Bias correction is asked for with one step of an episode, which has no variance.
    """
    count = int(args.rrd_sample_size)
    steps = (None, count)
    shapes: dict[str, tuple[int | None, ...]] = {
        "rrd_obs": (*steps, *args.obs_dims),
        "rrd_obs_next": (*steps, *args.obs_dims),
        "rrd_acts": (*steps, *args.acts_dims),
        "rrd_rews": (None, 1),
    }
    if not args.rrd_bias_correction:
        return shapes
    if count < 2:
        msg = f"rrd_bias_correction with rrd_sample_size {count}; needed at least 2 steps of an episode"
        raise ValueError(msg)
    return {**shapes, "rrd_var_coef": (None, 1)}


def check_sub_sequences(batch: Collection[Any], shapes: Collection[str]) -> None:
    """Raise ValueError if the batch lacks arrays of `sub_sequence_shapes`."""
    missing = [name for name in shapes if name not in batch]
    if missing:
        msg = f"the batch has no {', '.join(missing)}; sample it from a buffer of return decomposition"
        raise ValueError(msg)
