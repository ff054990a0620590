"""Recorded episodes, and the replay buffer that offline agents learn from: fixed data in flat arrays.

Holds numbers only: `experience/datasets.py` reads data sets into episodes, `offline_training.py` trains on the buffer.
A replay memory that grows while an agent plays is `buffers.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from experience.agent import Batch

Array = NDArray[Any]  # Any: integers, floats and booleans side by side
EpisodeArrays = Mapping[str, ArrayLike]

DEFAULT_LIMIT = 1_000_000
"""Transitions that a buffer keeps, as d3rlpy's `create_fifo_replay_buffer` is commonly called."""


@dataclass(frozen=True, slots=True, eq=False)
class Episode:
    """One recorded episode of T steps, laid out as Minari has it: one observation more than actions.

    Attributes:
        observations: (T + 1, *observation), the last one is what the last action led to.
        actions: (T,) integers, or (T, *action) numbers.
        rewards: (T,) float32.
        terminations: (T,) bool, true where the task itself ended.
        truncations: (T,) bool, true where recording or a time limit ended the episode.

    Raises:
        ValueError: There is no step, or lengths differ; the message lists all of them.
    """

    observations: Array
    actions: Array
    rewards: NDArray[np.float32]
    terminations: NDArray[np.bool_]
    truncations: NDArray[np.bool_]

    def __post_init__(self) -> None:
        steps = len(self.rewards)
        needed = {"observations": steps + 1, "actions": steps, "rewards": steps}
        needed |= {"terminations": steps, "truncations": steps}
        found = {name: len(getattr(self, name)) for name in needed}
        if steps < 1 or found != needed:
            msg = f"an episode of {steps} rewards has lengths {found}; needed {needed}, at least one step"
            raise ValueError(msg)

    def __len__(self) -> int:
        """Return the number of steps."""
        return len(self.rewards)

    @property
    def total_reward(self) -> float:
        """Sum of the rewards, not discounted."""
        return float(self.rewards.sum(dtype=np.float64))


def make_episode(
    observations: ArrayLike,
    actions: ArrayLike,
    rewards: ArrayLike,
    terminations: ArrayLike,
    truncations: ArrayLike,
) -> Episode:
    """Return an episode of these arrays in the types of `Episode`.

    Actions of an integer type become int64, all others float32. Images stay unsigned bytes, other observations
    become float32: what a network is fed with.
    """
    return Episode(
        observations=_observation_array(observations),
        actions=_action_array(actions),
        rewards=np.asarray(rewards, dtype=np.float32).reshape(-1),
        terminations=np.asarray(terminations, dtype=np.bool_).reshape(-1),
        truncations=np.asarray(truncations, dtype=np.bool_).reshape(-1),
    )


def episode_from_arrays(arrays: EpisodeArrays) -> Episode:
    """Return the episode of a dictionary as the migration guide's `collect_episodes` makes them.

    Args:
        arrays: "observations" (T, *observation), all but the last one; "actions", "rewards" and "next_observations"
            of as many steps. "terminations" and "truncations" may be there; without them the last step is taken for
            a real end, which is what the guide's buffer says of every episode.

    Raises:
        ValueError: A key is missing, or a next observation is not the observation of the next step.
    """
    needed = ("observations", "actions", "rewards", "next_observations")
    missing = [name for name in needed if name not in arrays]
    if missing:
        msg = f"an episode without {', '.join(missing)}; needed {', '.join(needed)}"
        raise ValueError(msg)
    observations, following = (
        np.asarray(arrays[name]) for name in ("observations", "next_observations")
    )
    if len(observations) < 1 or observations.shape != following.shape:
        msg = (
            f"observations of shape {observations.shape}, next_observations of {following.shape}; "
            "needed equal ones of at least one step"
        )
        raise ValueError(msg)
    broken = [
        step for step in range(len(observations) - 1)
        if not np.array_equal(following[step], observations[step + 1])
    ]  # fmt: skip
    if broken:
        msg = (
            f"next_observations[{broken[0]}] is not observations[{broken[0] + 1}], and {len(broken) - 1} more: "
            "these are steps of several episodes; give every episode a dictionary of its own"
        )
        raise ValueError(msg)
    steps = len(observations)
    ends = np.arange(steps) == steps - 1
    nothing = np.zeros(steps, np.bool_)
    flagged = "terminations" in arrays or "truncations" in arrays
    return make_episode(
        np.concatenate([observations, following[-1:]]),
        arrays["actions"],
        arrays["rewards"],
        arrays.get("terminations", nothing if flagged else ends),
        arrays.get("truncations", nothing),
    )


class ReplayBuffer:
    """The transitions of recorded episodes in flat arrays, made once, sampled at random.

    A step bootstraps unless it is a real end: `terminations` decide, `truncations` do not.

    Attributes:
        transitions: all of them, oldest first; the arrays are read-only.
        dropped: transitions that were over the limit.

    Args:
        episodes: `Episode` objects or dictionaries for `episode_from_arrays`, oldest first.
        limit: transitions kept; of more, the oldest go, as in d3rlpy's FIFO buffer.
        faithful: the migration guide's flags instead: the last step of every episode is an end, of whatever kind,
            and no other is.

    Raises:
        ValueError: There is no episode, the limit is below 1, or the episodes do not fit together.
    """

    def __init__(
        self,
        episodes: Iterable[Episode | EpisodeArrays],
        limit: int = DEFAULT_LIMIT,
        *,
        faithful: bool = False,
    ) -> None:
        kept = [e if isinstance(e, Episode) else episode_from_arrays(e) for e in episodes]
        if not kept or limit < 1:
            msg = f"a replay buffer of {len(kept)} episodes and at most {limit} transitions; needed one of each"
            raise ValueError(msg)
        _check_alike(kept)
        total = sum(map(len, kept))
        self.dropped = max(total - limit, 0)
        kept, first = _newest(kept, limit)
        fields = Batch(
            observation=_join([episode.observations[:-1] for episode in kept], first),
            action=_join([episode.actions for episode in kept], first),
            reward=_join([episode.rewards for episode in kept], first),
            next_observation=_join([episode.observations[1:] for episode in kept], first),
            terminated=_join([_ends(episode, faithful=faithful) for episode in kept], first),
        )
        for field in fields:
            field.flags.writeable = False
        self.transitions = fields

    def __len__(self) -> int:
        """Return the number of transitions."""
        return len(self.transitions.reward)

    @property
    def size(self) -> int:
        """Number of transitions."""
        return len(self)

    def sample_indices(
        self, batch_size: int, generator: np.random.Generator, *, count: int | None = None
    ) -> NDArray[np.int64]:
        """Return rows of `transitions`, without repetition within a batch while the buffer is large enough for that.

        Args:
            batch_size: rows of one batch. More than there are transitions are drawn with repetition: as many as were
                asked for come back. (The migration guide's buffer returned only `size` of them.)
            generator: draws.
            count: number of independent batches; None: one.

        Returns:
            (batch,), or (count, batch).

        Raises:
            ValueError: The batch size is below 1.
        """
        if batch_size < 1:
            msg = f"a sample of {batch_size} transitions; needed at least 1"
            raise ValueError(msg)
        repeat = batch_size > self.size
        drawn = [
            generator.choice(self.size, batch_size, replace=repeat, shuffle=False)
            for _ in range(1 if count is None else count)
        ]
        rows: NDArray[np.int64] = np.array(drawn, np.int64).reshape(-1, batch_size)
        return rows[0] if count is None else rows

    def gather(self, rows: NDArray[np.int64]) -> Batch:
        """Return copies of the transitions at `rows`; every field starts with the shape of `rows`."""
        # Any: each field has a dtype of its own.
        fields: list[Any] = [field.take(rows, axis=0) for field in self.transitions]
        return Batch(*fields)

    def sample(self, batch_size: int, generator: np.random.Generator) -> Batch:
        """Return `batch_size` random transitions; see `sample_indices`."""
        return self.gather(self.sample_indices(batch_size, generator))


def _observation_array(observations: ArrayLike) -> Array:
    array = np.asarray(observations)
    return array if array.dtype == np.uint8 else array.astype(np.float32, copy=False)


def _action_array(actions: ArrayLike) -> Array:
    array = np.asarray(actions)
    whole = np.issubdtype(array.dtype, np.integer)
    return array.astype(np.int64 if whole else np.float32, copy=False)


def _check_alike(episodes: list[Episode]) -> None:
    """Raise ValueError where an episode's arrays are of another kind than those of the first one."""
    kinds = [
        (e.observations.shape[1:], e.observations.dtype, e.actions.shape[1:], e.actions.dtype)
        for e in episodes
    ]
    others = [index for index, kind in enumerate(kinds) if kind != kinds[0]]
    if others:
        msg = (
            f"episode {others[0]} has observations and actions of {kinds[others[0]]}, episode 0 of {kinds[0]}; "
            f"{len(others)} of {len(episodes)} episodes differ from the first"
        )
        raise ValueError(msg)


def _newest(episodes: list[Episode], limit: int) -> tuple[list[Episode], int]:
    """Return the last episodes that hold `limit` transitions, and how many of their first ones are over it."""
    count, chosen = 0, 0
    while chosen < len(episodes) and count < limit:
        chosen += 1
        count += len(episodes[-chosen])
    return episodes[-chosen:], max(count - limit, 0)


def _ends(episode: Episode, *, faithful: bool) -> NDArray[np.bool_]:
    if not faithful:
        return episode.terminations
    ends: NDArray[np.bool_] = np.arange(len(episode)) == len(episode) - 1
    return ends


def _join(parts: list[Array], first: int) -> Array:
    # A copy in any case: the buffer is read-only, the episodes belong to the caller.
    joined = np.concatenate(parts)
    return np.ascontiguousarray(joined[first:]) if first else joined
