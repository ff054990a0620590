"""Replay buffers of the RRD suite: transitions, whole trajectories, the best episodes, stacks of images.

They give batches as dictionaries with the original's keys. Each gets a generator of its own and the sizes of a batch
once; `sample` is the migration guide's word for `sample_batch`. Episodes go in when they have ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from experience.agent import Batch
from experience.arguments import Arguments
from experience.buffers import ReplayMemory
from experience.episode_ring import Array, Episode, EpisodeRing
from experience.suite_batches import (
    BatchArrays,
    draw_sub_sequences,
    gather_outcomes,
    gather_with_totals,
    split_stacks,
)

HEAP_EPISODES = 10
"""Best episodes that IRCR keeps beside its buffer."""


class Buffer(Protocol):
    """What the training loop asks of a buffer.

    Attributes:
        step_counter: transitions stored since the beginning, dropped ones as well.
    """

    step_counter: int

    @property
    def ready(self) -> bool:
        """Whether a batch can be drawn and learnt from."""
        ...

    def store_episode(self, episode: Episode) -> None:
        """Store a finished episode."""
        ...

    def sample_batch(self, batch_size: int | None = None) -> BatchArrays:
        """Return arrays by key; None: the size of the arguments."""
        ...

    def state_dict(self) -> dict[str, Array]:
        """Return everything, the generator aside, as arrays."""
        ...

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Take over what `state_dict` returned."""
        ...


def create_buffer(arguments: Arguments, rng: np.random.Generator) -> Buffer:
    """Return the buffer of an algorithm, for `obs_dims` and `acts_dims` of the arguments."""
    if len(arguments.obs_dims) == 3:
        return FrameStackBuffer(arguments, rng)
    kinds: dict[str, type[TrajectoryBuffer] | type[EpisodeHeapBuffer]] = {
        "rrd": TrajectoryBuffer,
        "ircr": EpisodeHeapBuffer,
    }
    return kinds.get(arguments.alg, TransitionBuffer)(arguments, rng)


class TransitionBuffer:
    """The last transitions, drawn uniformly with replacement: what an algorithm alone learns from.

    Attributes:
        step_counter: transitions stored since the beginning.

    Args:
        arguments: buffer_size, batch_size, obs_dims, acts_dims.
        rng: draws; its state is the caller's to save.
    """

    def __init__(self, arguments: Arguments, rng: np.random.Generator) -> None:
        self._arguments, self._rng = arguments, rng
        shape, dtype = _action_form(arguments)
        self._memory = ReplayMemory(
            arguments.buffer_size, arguments.obs_dims, action_shape=shape, action_dtype=dtype
        )
        self.step_counter = 0

    @property
    def ready(self) -> bool:
        """Whether anything is stored."""
        return self.step_counter > 0

    def store_episode(self, episode: Episode) -> None:
        """Store the transitions of an episode in their order."""
        before = np.concatenate([episode.first, episode.following[:-1]])
        batch = Batch(before, episode.action, episode.reward, episode.following, episode.done)
        self._memory.add_batch(batch)
        self.step_counter += len(episode)

    def sample_batch(self, batch_size: int | None = None) -> BatchArrays:
        """Return obs, obs_next (batch, *observation), acts, rews (batch, 1), done (batch, 1).

        Raises:
            ValueError: Nothing is stored.
        """
        size = _check_size(batch_size or self._arguments.batch_size, len(self._memory))
        drawn = self._memory.gather(self._rng.integers(len(self._memory), size=size))
        return {
            "obs": drawn.observation,
            "obs_next": drawn.next_observation,
            "acts": drawn.action,
            "rews": drawn.reward[:, None],
            "done": drawn.terminated[:, None].astype(np.float32),
        }

    sample = sample_batch

    def state_dict(self) -> dict[str, Array]:
        """Return everything as arrays."""
        return {**self._memory.state_dict(), "step_counter": np.array(self.step_counter)}

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Take over what `state_dict` returned.

        Raises:
            ValueError: It is of another buffer.
        """
        self._memory.load_state_dict(state)
        self.step_counter = int(state["step_counter"])


class EpisodeBuffer:
    """Base of the buffers that keep whole episodes in a ring.

    Attributes:
        step_counter: transitions stored since the beginning.

    Args:
        arguments: sizes of a batch.
        rng: draws; its state is the caller's to save.
        ring: empty.
    """

    def __init__(self, arguments: Arguments, rng: np.random.Generator, ring: EpisodeRing) -> None:
        self._arguments, self._rng, self._ring = arguments, rng, ring
        self.step_counter = 0

    @property
    def ready(self) -> bool:
        """Whether anything is stored."""
        return self.step_counter > 0

    def store_episode(self, episode: Episode) -> None:
        """Store an episode.

        Raises:
            ValueError: It is longer than the buffer, or of other shapes.
        """
        self._ring.add(episode)
        self.step_counter += len(episode)

    def state_dict(self) -> dict[str, Array]:
        """Return everything as arrays."""
        return {**self._ring.state_dict(), "step_counter": np.array(self.step_counter)}

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Take over what `state_dict` returned.

        Raises:
            ValueError: It is of another buffer.
        """
        self._ring.load_state_dict(state)
        self.step_counter = int(state["step_counter"])


class TrajectoryBuffer(EpisodeBuffer):
    """The last trajectories, for return decomposition.

    A drawn transition belongs to an episode with a probability in proportion to its length, so all stored transitions
    are equally likely. When there are too many, the oldest whole episode goes.

    Attributes:
        step_counter: transitions stored since the beginning.

    Args:
        arguments: buffer_size, batch_size, rrd_batch_size, rrd_sample_size, rrd_bias_correction, obs_dims, acts_dims.
        rng: draws; its state is the caller's to save.
    """

    def __init__(self, arguments: Arguments, rng: np.random.Generator) -> None:
        super().__init__(arguments, rng, _ring_of_vectors(arguments))

    def sample_batch(
        self,
        batch_size: int | None = None,
        rrd_batch_size: int | None = None,
        rrd_sample_size: int | None = None,
    ) -> BatchArrays:
        """Return transitions, and sub-sequences of episodes.

        Args:
            batch_size: transitions; None: the size of the arguments, as for the others.
            rrd_batch_size: transitions of all sub-sequences together.
            rrd_sample_size: K, transitions of one sub-sequence.

        Returns:
            obs, obs_next (batch, *observation), acts, rews (batch, 1), done (batch, 1); and, with R = batch over K,
            rrd_obs, rrd_obs_next (R, K, *observation), rrd_acts, rrd_rews (R, 1), rrd_var_coef (R, 1).

        Raises:
            ValueError: Nothing is stored.
        """
        arguments = self._arguments
        rows = self._ring.draw_rows(batch_size or arguments.batch_size, self._rng)
        obs, obs_next = self._ring.gather_pairs(rows)
        sample_size = rrd_sample_size or arguments.rrd_sample_size
        count = (rrd_batch_size or arguments.rrd_batch_size) // sample_size
        parts, regression = draw_sub_sequences(self._ring, count, sample_size, self._rng)
        rrd_obs, rrd_obs_next = self._ring.gather_pairs(parts)
        if not arguments.rrd_bias_correction:
            del regression["rrd_var_coef"]
        return {
            "obs": obs,
            "obs_next": obs_next,
            **gather_outcomes(self._ring, rows),
            "rrd_obs": rrd_obs,
            "rrd_obs_next": rrd_obs_next,
            "rrd_acts": self._ring.gather("action", parts),
            **regression,
        }

    sample = sample_batch


class EpisodeHeapBuffer(EpisodeBuffer):
    """The last trajectories and the ten best, for IRCR.

    The first half of a batch comes from the former, the other half from the latter. The reward of a transition is the
    return of its episode, scaled to 0..1 over all that are stored: (R - min) / (max - min), nan until two differ.

    Attributes:
        step_counter: transitions stored since the beginning.

    Args:
        arguments: buffer_size, batch_size, obs_dims, acts_dims.
        rng: draws; its state is the caller's to save.
    """

    def __init__(self, arguments: Arguments, rng: np.random.Generator) -> None:
        super().__init__(arguments, rng, _ring_of_vectors(arguments))
        self._best: list[Episode] = []
        self._best_ring = self._ring

    @property
    def ready(self) -> bool:
        """Whether two returns differ: one update with rewards of 0 / 0 would make all weights nan."""
        if not super().ready:
            return False
        totals = self._totals()
        return bool(totals.min() < totals.max())

    def store_episode(self, episode: Episode) -> None:
        """Store an episode; it joins the best if there are fewer than ten or the worst of them is not better.

        Raises:
            ValueError: It is longer than the buffer, or of other shapes.
        """
        super().store_episode(episode)
        if len(self._best) >= HEAP_EPISODES:
            totals = [best.total for best in self._best]
            worst = int(np.argmin(totals))
            if totals[worst] > episode.total:
                return
            self._best.pop(worst)
        self._best.append(episode)
        self._rebuild_best()

    def sample_batch(self, batch_size: int | None = None) -> BatchArrays:
        """Return obs, obs_next (batch, *observation), acts, rews (batch, 1) in 0..1, done (batch, 1).

        Raises:
            ValueError: Nothing is stored.
        """
        size = batch_size or self._arguments.batch_size
        halves = [
            gather_with_totals(ring, ring.draw_rows(count, self._rng))
            for ring, count in ((self._ring, size // 2), (self._best_ring, size - size // 2))
        ]
        batch = {name: np.concatenate([half[name] for half in halves]) for name in halves[0]}
        totals = self._totals()
        low, high = totals.min(), totals.max()
        with np.errstate(invalid="ignore"):  # 0 / 0: nan, as in the original
            batch["rews"] = ((batch["rews"] - low) / (high - low)).astype(np.float32)
        return batch

    sample = sample_batch

    def state_dict(self) -> dict[str, Array]:
        """Return everything as arrays."""
        best = {
            f"best_{place}_{name}": getattr(episode, name)
            for place, episode in enumerate(self._best)
            for name in Episode.__dataclass_fields__
        }
        return {**super().state_dict(), **best, "best": np.array(len(self._best))}

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Take over what `state_dict` returned.

        Raises:
            ValueError: It is of another buffer.
        """
        super().load_state_dict(state)
        self._best = [
            Episode(
                **{name: state[f"best_{place}_{name}"] for name in Episode.__dataclass_fields__}
            )
            for place in range(int(state["best"]))
        ]
        self._rebuild_best()

    def _totals(self) -> NDArray[np.float64]:
        """Return the returns of all episodes, those that both rings hold twice."""
        return np.concatenate([ring.episode_totals() for ring in (self._ring, self._best_ring)])

    def _rebuild_best(self) -> None:
        """Lay the best episodes out side by side."""
        if not self._best:
            return
        first = self._best[0]
        self._best_ring = EpisodeRing(
            sum(len(episode) for episode in self._best),
            first.following.shape[1:],
            action_shape=first.action.shape[1:],
            action_dtype=first.action.dtype,
        )
        for episode in self._best:
            self._best_ring.add(episode)


class FrameStackBuffer(EpisodeBuffer):
    """The last episodes of images, for DQN, return decomposition over it, and IRCR over it.

    Every image is stored once, in 8 bits; stacks are put together when they are drawn and divided by 255. IRCR gets
    the return of the episode as reward, unscaled and without best episodes, as in the original. Sub-sequences are drawn
    without replacement here as well; the original draws such indices, then other ones with replacement, for which its
    coefficient of the bias correction is not the right one.

    Attributes:
        step_counter: transitions stored since the beginning.

    Args:
        arguments: alg, buffer_size, batch_size, obs_dims (height, width, frames), the sizes and flag of rrd.
        rng: draws; its state is the caller's to save.
    """

    def __init__(self, arguments: Arguments, rng: np.random.Generator) -> None:
        height, width, frames = arguments.obs_dims
        ring = EpisodeRing(
            arguments.buffer_size,
            (height, width),
            frame_dtype=np.uint8,
            action_dtype=np.int64,
            frames=frames,
        )
        super().__init__(arguments, rng, ring)

    def sample_batch(self, batch_size: int | None = None) -> BatchArrays:
        """Return obs, obs_next (batch, height, width, frames) in 0..1, acts (batch,), rews, done (batch, 1).

        For rrd also rrd_obs, rrd_obs_next (R, K, height, width, frames), rrd_acts (R, K), rrd_rews, rrd_var_coef.

        Raises:
            ValueError: Nothing is stored.
        """
        arguments = self._arguments
        rows = self._ring.draw_rows(batch_size or arguments.batch_size, self._rng)
        obs, obs_next = split_stacks(self._ring.gather_stacks(rows))
        batch = {"obs": obs, "obs_next": obs_next, **gather_outcomes(self._ring, rows)}
        if arguments.alg == "ircr":
            totals = self._ring.episode_totals(self._ring.find_episodes(rows))
            batch["rews"] = totals[:, None].astype(np.float32)
        if arguments.alg == "rrd":
            size = arguments.rrd_sample_size
            count = arguments.rrd_batch_size // size
            parts, regression = draw_sub_sequences(self._ring, count, size, self._rng)
            if not arguments.rrd_bias_correction:
                del regression["rrd_var_coef"]
            rrd_obs, rrd_obs_next = split_stacks(self._ring.gather_stacks(parts))
            batch |= {"rrd_obs": rrd_obs, "rrd_obs_next": rrd_obs_next, **regression}
            batch["rrd_acts"] = self._ring.gather("action", parts)
        return batch

    sample = sample_batch


def _ring_of_vectors(arguments: Arguments) -> EpisodeRing:
    shape, dtype = _action_form(arguments)
    return EpisodeRing(
        arguments.buffer_size, arguments.obs_dims, action_shape=shape, action_dtype=dtype
    )


def _action_form(arguments: Arguments) -> tuple[tuple[int, ...], type[np.generic]]:
    """Return shape and dtype of a stored action: an index, or numbers."""
    return ((), np.int64) if arguments.discrete else (tuple(arguments.acts_dims), np.float32)


def _check_size(size: int, stored: int) -> int:
    if not stored:
        msg = f"a sample of {size} transitions from a buffer that holds none"
        raise ValueError(msg)
    return size
