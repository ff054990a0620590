"""Replay memory: the last transitions in contiguous numpy rings, sampled without replacement.

Holds numbers only; which framework trains on a sample is not known here. The caller owns the generator that draws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from experience.agent import Batch

Array = NDArray[Any]  # Any: integers, floats and booleans side by side


class ReplayMemory:
    """The last `capacity` transitions, oldest overwritten first.

    Attributes:
        capacity: transitions kept.

    Args:
        capacity: transitions kept, at least one.
        observation_shape: shape of one observation.
        observation_dtype: rewards are stored in it too if it is a floating type, in float32 otherwise.
        action_shape: shape of one action; () for an index.
        action_dtype: of an action.

    Raises:
        ValueError: The capacity is not positive.
    """

    def __init__(
        self,
        capacity: int,
        observation_shape: Sequence[int],
        *,
        observation_dtype: DTypeLike = np.float32,
        action_shape: Sequence[int] = (),
        action_dtype: DTypeLike = np.int64,
    ) -> None:
        if capacity < 1:
            msg = f"a replay memory of {capacity} transitions; needed at least 1"
            raise ValueError(msg)
        self.capacity = capacity
        floating = np.issubdtype(np.dtype(observation_dtype), np.floating)
        observations = (capacity, *observation_shape)
        # One array a field: a sample is then one `take` each, which is as fast as one packed row and leaves every
        # field contiguous for the framework. numpy.zeros does not touch its pages before they are written.
        self._fields: dict[str, Array] = {
            "observation": np.zeros(observations, observation_dtype),
            "action": np.zeros((capacity, *action_shape), action_dtype),
            "reward": np.zeros(capacity, observation_dtype if floating else np.float32),
            "next_observation": np.zeros(observations, observation_dtype),
            "terminated": np.zeros(capacity, np.bool_),
        }
        self._rings = tuple(self._fields.values())
        self._position = 0  # where the next transition goes
        self._size = 0

    def __len__(self) -> int:
        """Return the number of stored transitions."""
        return self._size

    def add(
        self,
        observation: Array,
        action: int | np.integer | Array,
        reward: float,
        next_observation: Array,
        terminated: bool,
    ) -> None:
        """Store one transition.

        Raises:
            ValueError: An observation or action has another shape.
        """
        observations, actions, rewards, next_observations, ends = self._rings
        index = self._position
        # Assignment would broadcast a scalar or a single row in silence.
        if (
            np.shape(observation) != observations.shape[1:]
            or np.shape(next_observation) != observations.shape[1:]
        ):
            msg = (
                f"an observation of shape {np.shape(observation)}, then one of {np.shape(next_observation)}; "
                f"needed {observations.shape[1:]}"
            )
            raise ValueError(msg)
        if np.shape(action) != actions.shape[1:]:
            msg = f"an action of shape {np.shape(action)}; needed {actions.shape[1:]}"
            raise ValueError(msg)
        observations[index] = observation
        actions[index] = action
        rewards[index] = reward
        next_observations[index] = next_observation
        ends[index] = terminated
        self._position = (index + 1) % self.capacity
        self._size = min(self._size + 1, self.capacity)

    def add_batch(self, batch: Batch) -> None:
        """Store transitions in the order of their rows; of more than `capacity`, the last ones stay.

        Raises:
            ValueError: The fields have different lengths or other shapes than the memory.
        """
        rows = len(batch.reward)
        for (name, ring), values in zip(self._fields.items(), batch, strict=True):
            if np.shape(values) != (rows, *ring.shape[1:]):
                msg = f"{name} of shape {np.shape(values)}; needed {(rows, *ring.shape[1:])}"
                raise ValueError(msg)
        kept = min(rows, self.capacity)
        # The position moves as if every row had been written, so that add_batch equals repeated add.
        places = (self._position + np.arange(rows - kept, rows)) % self.capacity
        for ring, values in zip(self._rings, batch, strict=True):
            ring[places] = values[rows - kept :]
        self._position = (self._position + rows) % self.capacity
        self._size = min(self._size + rows, self.capacity)

    def sample_indices(
        self, batch_size: int, rng: np.random.Generator, *, count: int | None = None
    ) -> NDArray[np.int64]:
        """Return places of the memory, drawn without replacement within a batch.

        Args:
            batch_size: transitions of one batch.
            rng: draws.
            count: number of independent batches; None: one.

        Returns:
            (batch,), or (count, batch). Every set of transitions is equally likely; their order has no meaning.

        Raises:
            ValueError: Fewer transitions are stored than asked for.
        """
        if not 1 <= batch_size <= self._size:
            msg = f"a sample of {batch_size} transitions from a memory that holds {self._size}"
            raise ValueError(msg)
        if count is None:
            return rng.choice(self._size, batch_size, replace=False, shuffle=False)
        drawn = [
            rng.choice(self._size, batch_size, replace=False, shuffle=False) for _ in range(count)
        ]
        return np.array(drawn, np.int64).reshape(count, batch_size)

    def gather(self, indices: NDArray[np.int64]) -> Batch:
        """Return copies of the transitions at `indices`; every field starts with the shape of `indices`."""
        return Batch(*[ring.take(indices, axis=0) for ring in self._rings])

    def sample(self, batch_size: int, rng: np.random.Generator) -> Batch:
        """Return `batch_size` different transitions.

        Raises:
            ValueError: Fewer transitions are stored than asked for.
        """
        return self.gather(self.sample_indices(batch_size, rng))

    def state_dict(self) -> dict[str, Array]:
        """Return copies of what is stored, as arrays only; `load_state_dict` of an equal memory goes on from it."""
        stored = {name: ring[: self._size].copy() for name, ring in self._fields.items()}
        return {**stored, "position": np.array(self._position), "capacity": np.array(self.capacity)}

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Take over what `state_dict` returned.

        Raises:
            ValueError: It is of a memory of another capacity, shape or dtype; nothing has changed then.
        """
        missing = sorted({*self._fields, "position", "capacity"} - set(state))
        if missing:
            msg = f"the stored replay memory lacks {', '.join(missing)}"
            raise ValueError(msg)
        size = len(state["reward"])
        found = {
            name: (len(state[name]), state[name].shape[1:], state[name].dtype)
            for name in self._fields
        }
        needed = {name: (size, ring.shape[1:], ring.dtype) for name, ring in self._fields.items()}
        position, capacity = int(state["position"]), int(state["capacity"])
        # Below capacity, the ring has not yet wrapped and the next place is behind the last row.
        consistent = 0 <= position < capacity and (size == capacity or position == size)
        if found != needed or capacity != self.capacity or not consistent:
            msg = (
                f"the stored replay memory does not fit: capacity {capacity}, position {position}, {found}; "
                f"needed capacity {self.capacity}, {needed}"
            )
            raise ValueError(msg)
        for name, ring in self._fields.items():
            ring[:size] = state[name]
        self._position, self._size = position, size
