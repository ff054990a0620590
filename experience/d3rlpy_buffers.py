"""Replay buffers that d3rlpy dumped to HDF5, as episodes. d3rlpy is not needed, and nothing in the file is run.

`ReplayBuffer.dump` of d3rlpy 2 writes observations_0, actions_0, rewards_0, terminated_0, observations_1, ...;
`MDPDataset.dump` of d3rlpy 1 wrote all steps in a row: observations, actions, rewards, terminals, episode_terminals.
d3rlpy keeps as many observations as actions. What followed a terminal step is not in the file and never used: its own
observation stands there. Of an episode that was cut off, the last observation is what the step before led to, so it
has one step fewer here: exactly the transitions that d3rlpy trains on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from experience.dataset_files import MissingDatasetError, Sizes, open_hdf5, read_numbers
from experience.offline_data import Episode, make_episode

if TYPE_CHECKING:
    import h5py

Array = NDArray[Any]  # Any: integers, floats and booleans side by side


def read_d3rlpy_buffer(path: Path | str) -> list[Episode]:
    """Return the episodes of a dumped buffer, in their order; those without any transition are left out.

    Raises:
        DatasetError: The file is damaged, unsafe, or of another kind.
        MissingPackageError: h5py is not installed.
    """
    path = Path(path)
    with open_hdf5(path) as (file, sizes):
        try:
            parts = _numbered(file, sizes) if "rewards_0" in file else _in_a_row(file, sizes)
            found = [_episode(part) for part in parts]
        except (OSError, KeyError, RuntimeError, TypeError, ValueError) as error:
            msg = f"{path}: not a replay buffer of d3rlpy that can be read: {error}"
            raise MissingDatasetError(msg) from error
    episodes = [episode for episode in found if episode is not None]
    if not episodes:
        msg = f"{path}: has no episode with a transition"
        raise MissingDatasetError(msg)
    return episodes


def _numbered(file: h5py.File, sizes: Sizes) -> Iterator[Mapping[str, Array]]:
    """Yield the episodes of d3rlpy 2."""
    number = 0
    while f"rewards_{number}" in file:
        names = ("observations", "actions", "rewards", "terminated")
        if f"observations_{number}_0" in file:
            msg = "its observations are tuples of arrays; needed one array a step"
            raise ValueError(msg)
        yield {name: read_numbers(file, f"{name}_{number}", sizes) for name in names}
        number += 1


def _in_a_row(file: h5py.File, sizes: Sizes) -> Iterator[Mapping[str, Array]]:
    """Yield the episodes of d3rlpy 1."""
    names = ("observations", "actions", "rewards", "terminals")
    arrays = {name: read_numbers(file, name, sizes) for name in names}
    terminals = arrays["terminals"].reshape(-1).astype(np.bool_)
    ends = terminals
    if "episode_terminals" in file:
        ends = read_numbers(file, "episode_terminals", sizes).reshape(-1).astype(np.bool_)
    lengths = {name: len(array) for name, array in arrays.items()} | {
        "episode_terminals": len(ends)
    }
    if len(set(lengths.values())) != 1:
        msg = f"found {lengths} rows; needed as many everywhere"
        raise ValueError(msg)
    bounds = [0, *(np.flatnonzero(ends | terminals) + 1).tolist()]
    if bounds[-1] != len(ends):
        bounds.append(len(ends))
    for first, last in pairwise(bounds):
        part = {name: array[first:last] for name, array in arrays.items() if name != "terminals"}
        yield {**part, "terminated": terminals[last - 1]}


def _episode(arrays: Mapping[str, Array]) -> Episode | None:
    """Return one episode; None if it has no transition."""
    observations, actions, rewards = (
        arrays[name] for name in ("observations", "actions", "rewards")
    )
    steps = len(rewards)
    if not steps == len(observations) == len(actions) or rewards.size != steps:
        msg = (
            f"an episode has observations {observations.shape}, actions {actions.shape} and rewards {rewards.shape}; "
            "needed as many of each"
        )
        raise ValueError(msg)
    terminated = bool(np.asarray(arrays["terminated"]).reshape(-1)[-1])
    if actions.dtype.kind in "iu":
        # d3rlpy keeps the number of an action as a row of one.
        actions = actions.reshape(steps)
    if terminated:
        observations = np.concatenate([observations, observations[-1:]])
    else:
        steps, actions, rewards = steps - 1, actions[:-1], rewards[:-1]
    if steps < 1:
        return None
    last = np.arange(steps) == steps - 1
    return make_episode(observations, actions, rewards, last & terminated, last & (not terminated))
