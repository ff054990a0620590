from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from experience.d3rlpy_buffers import read_d3rlpy_buffer
from experience.dataset_files import DatasetError
from parity_tests import FIXTURES


@pytest.mark.parametrize("kind", ["discrete", "continuous"])
def test_a_buffer_of_d3rlpy_gives_the_transitions_it_trained_on(kind: str) -> None:
    folder = FIXTURES / "d3rlpy" / f"buffer_{kind}"

    episodes = read_d3rlpy_buffer(folder / "buffer.h5")

    with np.load(folder / "expected.npz") as expected:
        assert [len(episode) for episode in episodes] == [12, 8, 14]  # the second was cut off
        for number, episode in enumerate(episodes):
            observations = expected[f"observations_{number}"]
            steps = len(episode)
            terminated = bool(expected[f"terminated_{number}"])
            np.testing.assert_array_equal(episode.observations[:steps], observations[:steps])
            following = observations[-1]  # repeated, or the one that the last step led to
            np.testing.assert_array_equal(episode.observations[-1], following)
            actions = expected[f"actions_{number}"][:steps]
            np.testing.assert_array_equal(
                episode.actions, actions[:, 0] if kind == "discrete" else actions
            )
            np.testing.assert_array_equal(episode.rewards, expected[f"rewards_{number}"][:steps, 0])
            assert bool(episode.terminations[-1]) is terminated
            assert bool(episode.truncations[-1]) is not terminated
            assert not episode.terminations[:-1].any()


def _write(path: Path, **arrays: object) -> Path:
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file.create_dataset(name, data=values)
    return path


def test_a_data_set_of_d3rlpy_1_is_cut_where_its_episodes_end(tmp_path: Path) -> None:
    path = _write(
        tmp_path / "old.h5",
        observations=np.arange(14, dtype=np.float32).reshape(7, 2),
        actions=np.array([0, 1, 0, 1, 1, 0, 1], np.int32),
        rewards=np.arange(7, dtype=np.float32),
        terminals=np.array([0, 0, 1, 0, 0, 0, 0], np.float32),
        episode_terminals=np.array([0, 0, 1, 0, 0, 1, 0], np.float32),
        version="1.0",
    )

    episodes = read_d3rlpy_buffer(path)

    # The last step alone is an episode without transition.
    assert [len(episode) for episode in episodes] == [3, 2]
    assert [bool(episode.terminations[-1]) for episode in episodes] == [True, False]
    assert episodes[1].observations.tolist() == [[6, 7], [8, 9], [10, 11]]
    assert episodes[1].rewards.tolist() == [3, 4]


def test_a_data_set_of_d3rlpy_1_without_episode_ends_has_those_of_the_task(tmp_path: Path) -> None:
    path = _write(
        tmp_path / "old.h5",
        observations=np.zeros((5, 2), np.float32),
        actions=np.zeros((5, 1), np.float32),
        rewards=np.ones((5, 1), np.float32),
        terminals=np.array([0, 1, 0, 0, 1]),
    )

    assert [len(episode) for episode in read_d3rlpy_buffer(path)] == [2, 3]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "has no 'observations'"),
        ({"rewards_0": np.zeros((3, 1)), "observations_0_0": np.zeros((3, 2))}, "tuples"),
        (
            {
                "rewards_0": np.zeros((3, 1)),
                "observations_0": np.zeros((2, 2)),
                "actions_0": np.zeros((3, 1)),
                "terminated_0": True,
            },
            "as many of each",
        ),
        (
            {
                "rewards_0": np.zeros((1, 1)),
                "observations_0": np.zeros((1, 2)),
                "actions_0": np.zeros((1, 1)),
                "terminated_0": False,
            },
            "no episode with a transition",
        ),
    ],
    ids=["empty", "tuples", "lengths", "single cut step"],
)
def test_other_files_are_refused_in_one_line(
    tmp_path: Path, arrays: dict[str, object], message: str
) -> None:
    path = _write(tmp_path / "buffer.h5", **arrays)

    with pytest.raises(DatasetError, match=message) as caught:
        read_d3rlpy_buffer(path)

    assert "\n" not in str(caught.value)


def test_a_link_in_a_buffer_is_not_followed(tmp_path: Path) -> None:
    path = _write(tmp_path / "buffer.h5", rewards_0=np.zeros((3, 1)))
    with h5py.File(path, "a") as file:
        file["observations_0"] = h5py.ExternalLink("other.h5", "/observations_0")

    with pytest.raises(DatasetError, match="not followed"):
        read_d3rlpy_buffer(path)
