"""Whole episodes in contiguous numpy rings: the storage under the buffers of the RRD suite.

Transitions of an episode lie side by side, each with its action, reward, end and the frame that came after it; what
was seen before the first one is kept once per episode. A frame is one observation, or one image of a stack of
`frames`. Which rows are drawn, and what is done with them, is the buffers' business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Array = NDArray[Any]  # Any: integers, floats and booleans side by side
_FIRST_EPISODES = 64
"""Places for episodes at first; doubled when they are full."""


@dataclass(frozen=True, slots=True)
class Episode:
    """One finished episode of T steps.

    Attributes:
        first: (frames, *frame), what was seen before the first step.
        following: (T, *frame), the new frame after each step.
        action: (T, *action).
        reward: (T,), as the environment gave it.
        done: (T,), true for real ends only; a time limit still bootstraps.
    """

    first: Array
    following: Array
    action: Array
    reward: Array
    done: Array

    def __len__(self) -> int:
        """Return T."""
        return len(self.reward)

    @property
    def total(self) -> float:
        """Sum of the rewards."""
        return float(np.sum(self.reward, dtype=np.float64))


class EpisodeRing:
    """The last whole episodes that together have at most `capacity` transitions.

    Attributes:
        capacity: transitions kept.
        steps: transitions stored now.
        episodes: whole episodes stored now.

    Args:
        capacity: see above.
        frame_shape: shape of one observation, or of one image.
        frame_dtype: of it.
        action_shape: shape of one action; () for an index.
        action_dtype: of it.
        frames: frames in a stack; 1: observations are not stacked.

    Raises:
        ValueError: Capacity or frames is not positive.
    """

    def __init__(
        self,
        capacity: int,
        frame_shape: Sequence[int],
        *,
        frame_dtype: DTypeLike = np.float32,
        action_shape: Sequence[int] = (),
        action_dtype: DTypeLike = np.float32,
        frames: int = 1,
    ) -> None:
        if capacity < 1 or frames < 1:
            msg = f"an episode ring of {capacity} transitions, {frames} frames; needed at least 1 of each"
            raise ValueError(msg)
        self.capacity, self.frames = capacity, frames
        self.steps = self.episodes = 0
        # numpy.zeros does not touch its pages before they are written.
        self._rows: dict[str, Array] = {
            "following": np.zeros((capacity, *frame_shape), frame_dtype),
            "action": np.zeros((capacity, *action_shape), action_dtype),
            "reward": np.zeros(capacity, np.float32),
            "done": np.zeros(capacity, np.float32),
            "number": np.zeros(capacity, np.int64),  # of the episode, counted over the whole run
        }
        self._heads: dict[str, Array] = _make_heads(
            _FIRST_EPISODES, frames, frame_shape, frame_dtype
        )
        self._head_row = 0  # where the oldest transition is
        self._head_number = 0  # of the oldest episode

    def add(self, episode: Episode) -> None:
        """Store an episode; the oldest whole ones go as long as there are too many transitions.

        Raises:
            ValueError: It has no step, more than `capacity`, or arrays of other shapes.
        """
        length = len(episode)
        self._check(episode, length)
        while self.steps + length > self.capacity:
            self._drop_oldest()
        if self.episodes == len(self._heads["length"]):
            self._grow()
        start = (self._head_row + self.steps) % self.capacity
        number = self._head_number + self.episodes
        places = (start + np.arange(length)) % self.capacity
        for name, ring in self._rows.items():
            ring[places] = number if name == "number" else getattr(episode, name)
        slot = number % len(self._heads["length"])
        values = {"first": episode.first, "start": start, "length": length, "total": episode.total}
        for name, value in values.items():
            self._heads[name][slot] = value
        self.steps += length
        self.episodes += 1

    def draw_rows(self, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return (count,) places of stored transitions, each equally likely, with replacement.

        Raises:
            ValueError: Nothing is stored.
        """
        if not self.steps:
            msg = f"a sample of {count} transitions from a buffer that holds none"
            raise ValueError(msg)
        return (self._head_row + rng.integers(self.steps, size=count)) % self.capacity

    def find_episodes(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the slot of the episode of each row; drawn rows give episodes in proportion to their length."""
        slots: NDArray[np.int64] = self._rows["number"][rows] % len(self._heads["length"])
        return slots

    def episode_lengths(self, slots: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the transitions of each episode."""
        lengths: NDArray[np.int64] = self._heads["length"][slots]
        return lengths

    def episode_totals(self, slots: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
        """Return the sum of the rewards of each episode; None: of all that are stored, oldest first."""
        totals: NDArray[np.float64]
        totals = self._heads["total"][self._live_slots() if slots is None else slots]
        return totals

    def rows_of(self, slots: NDArray[np.int64], steps: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the places of steps (episodes, K) of the episodes (episodes,)."""
        return (self._heads["start"][slots][:, None] + steps) % self.capacity

    def gather(self, name: str, rows: NDArray[np.int64]) -> Array:
        """Return copies of action, reward or done at `rows`."""
        return self._rows[name].take(rows, axis=0)

    def gather_pairs(self, rows: NDArray[np.int64]) -> tuple[Array, Array]:
        """Return the observations (*rows, *frame) before and after each transition; for one frame in a stack."""
        flat = rows.ravel()
        slots = self.find_episodes(flat)
        # take wraps -1, the row before the first.
        before = self._rows["following"].take(flat - 1, axis=0, mode="wrap")
        is_first = flat == self._heads["start"][slots]
        before[is_first] = self._heads["first"][slots[is_first], 0]
        after = self._rows["following"].take(flat, axis=0)
        shape = (*rows.shape, *before.shape[1:])
        return before.reshape(shape), after.reshape(shape)

    def gather_stacks(self, rows: NDArray[np.int64]) -> Array:
        """Return (*rows, frames + 1, *frame): the stack before each transition and the frame after it."""
        flat = rows.ravel()
        slots = self.find_episodes(flat)
        step = (flat - self._heads["start"][slots]) % self.capacity
        # Position among the first frames and those that followed, of the oldest frame of each stack and onwards.
        position = step[:, None] + np.arange(self.frames + 1)
        following = (self._heads["start"][slots][:, None] + position - self.frames) % self.capacity
        stacks: Array = self._rows["following"].take(following, axis=0)
        places, ages = np.nonzero(position < self.frames)
        stacks[places, ages] = self._heads["first"][slots[places], position[places, ages]]
        return stacks.reshape(*rows.shape, *stacks.shape[1:])

    def state_dict(self) -> dict[str, Array]:
        """Return copies of what is stored, oldest first; `load_state_dict` of an equal ring goes on from it."""
        rows = (self._head_row + np.arange(self.steps)) % self.capacity
        slots = self._live_slots()
        stored = {name: ring[rows] for name, ring in self._rows.items() if name != "number"}
        heads = {name: ring[slots] for name, ring in self._heads.items() if name != "start"}
        places = [self.capacity, self._head_row, self._head_number]
        return {**stored, **heads, "places": np.array(places, np.int64)}

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Take over what `state_dict` returned.

        Raises:
            ValueError: It is of a ring of another capacity, shape or dtype; nothing has changed then.
        """
        self._check_state(state)
        capacity, self._head_row, self._head_number = (int(value) for value in state["places"])
        self.steps, self.episodes = len(state["reward"]), len(state["length"])
        rows = (self._head_row + np.arange(self.steps)) % capacity
        numbers = self._head_number + np.arange(self.episodes)
        while len(self._heads["length"]) < self.episodes:
            self._heads = _make_heads(
                2 * len(self._heads["length"]), self.frames, *_shape_and_dtype(self._heads["first"])
            )
        for name, ring in self._rows.items():
            ring[rows] = np.repeat(numbers, state["length"]) if name == "number" else state[name]
        slots = numbers % len(self._heads["length"])
        ends = np.cumsum(state["length"])
        starts = (self._head_row + ends - state["length"]) % capacity
        for name, ring in self._heads.items():
            ring[slots] = starts if name == "start" else state[name]

    def _live_slots(self) -> NDArray[np.int64]:
        numbers = self._head_number + np.arange(self.episodes)
        return numbers % len(self._heads["length"])

    def _drop_oldest(self) -> None:
        length = int(self._heads["length"][self._head_number % len(self._heads["length"])])
        self._head_row = (self._head_row + length) % self.capacity
        self._head_number += 1
        self.steps -= length
        self.episodes -= 1

    def _grow(self) -> None:
        """Double the places for episodes."""
        numbers = self._head_number + np.arange(self.episodes)
        old = self._heads
        size = len(old["length"])
        self._heads = _make_heads(2 * size, self.frames, *_shape_and_dtype(old["first"]))
        for name, ring in self._heads.items():
            ring[numbers % (2 * size)] = old[name][numbers % size]

    def _check(self, episode: Episode, length: int) -> None:
        if not 1 <= length <= self.capacity:
            msg = f"an episode of {length} steps for a buffer of {self.capacity}; needed 1 to {self.capacity}"
            raise ValueError(msg)
        needed = {
            name: (length, *ring.shape[1:]) for name, ring in self._rows.items() if name != "number"
        }
        needed["first"] = self._heads["first"].shape[1:]
        # Assignment would broadcast a scalar or a single row in silence.
        found = {name: np.shape(getattr(episode, name)) for name in needed}
        if found != needed:
            msg = f"an episode of shapes {found}; needed {needed}"
            raise ValueError(msg)

    def _check_state(self, state: Mapping[str, Array]) -> None:
        heads = {name: ring for name, ring in self._heads.items() if name != "start"}
        rows = {name: ring for name, ring in self._rows.items() if name != "number"}
        missing = sorted({*heads, *rows, "places"} - set(state))
        if missing:
            msg = f"the stored buffer lacks {', '.join(missing)}"
            raise ValueError(msg)
        found = {name: (state[name].shape[1:], state[name].dtype) for name in (*rows, *heads)}
        needed = {name: (ring.shape[1:], ring.dtype) for name, ring in {**rows, **heads}.items()}
        counts = {len(state[name]) for name in rows}, {len(state[name]) for name in heads}
        lengths = state["length"]
        steps = int(lengths.sum())
        consistent = counts == ({steps}, {len(lengths)}) and np.all(lengths > 0)
        places = state["places"]
        fitting = places.shape == (3,) and int(places[0]) == self.capacity >= steps
        if (
            found != needed
            or not consistent
            or not fitting
            or not 0 <= int(places[1]) < self.capacity
        ):
            msg = (
                f"the stored buffer does not fit: {steps} steps, places {places.tolist()}, {found}; "
                f"needed capacity {self.capacity}, {needed}"
            )
            raise ValueError(msg)


def _make_heads(
    size: int, frames: int, frame_shape: Sequence[int], frame_dtype: DTypeLike
) -> dict[str, Array]:
    return {
        "first": np.zeros((size, frames, *frame_shape), frame_dtype),
        "start": np.zeros(size, np.int64),
        "length": np.zeros(size, np.int64),
        "total": np.zeros(size, np.float64),
    }


def _shape_and_dtype(first: Array) -> tuple[tuple[int, ...], np.dtype[Any]]:
    return first.shape[2:], first.dtype
