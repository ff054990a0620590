from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from experience.offline_data import Episode, ReplayBuffer, episode_from_arrays, make_episode


def recorded(steps: int, *, start: float = 0.0, terminated: bool = True) -> Episode:
    """Observations count up from `start` in two columns, so every row tells where it is from."""
    rows = start + np.arange(steps + 1)
    ends = np.arange(steps) == steps - 1
    return make_episode(
        np.stack([rows, -rows], axis=1),
        np.arange(steps) % 3,
        np.arange(steps) * 0.5,
        ends & terminated,
        ends & (not terminated),
    )


def dictionary(steps: int = 4) -> dict[str, Any]:
    rows = np.arange(steps + 1, dtype=np.float64)[:, None]
    return {
        "observations": rows[:-1],
        "actions": np.ones(steps, np.int32),
        "rewards": np.full(steps, 2.0),
        "next_observations": rows[1:],
    }


def test_transitions_of_all_episodes_follow_each_other() -> None:
    transitions = ReplayBuffer([recorded(2), recorded(3, start=10.0)]).transitions

    assert transitions.observation[:, 0].tolist() == [0, 1, 10, 11, 12]
    assert transitions.next_observation[:, 1].tolist() == [-1, -2, -11, -12, -13]
    assert transitions.action.tolist() == [0, 1, 0, 1, 2]
    assert transitions.reward.tolist() == [0.0, 0.5, 0.0, 0.5, 1.0]


def test_arrays_have_the_types_that_networks_are_fed_with() -> None:
    transitions = ReplayBuffer([recorded(2)]).transitions

    types = [field.dtype for field in transitions]

    assert types == [np.float32, np.int64, np.float32, np.float32, np.bool_]


def test_actions_that_are_numbers_become_float32() -> None:
    episode = make_episode(np.zeros((3, 4)), np.ones((2, 1)), [1, 1], [False, True], [False, False])

    assert episode.actions.dtype == np.float32


def test_a_truncated_episode_still_bootstraps() -> None:
    buffer = ReplayBuffer([recorded(2), recorded(2, terminated=False)])

    assert buffer.transitions.terminated.tolist() == [False, True, False, False]


def test_faithful_buffer_ends_every_episode_as_the_guide_does() -> None:
    buffer = ReplayBuffer([recorded(2), recorded(2, terminated=False)], faithful=True)

    assert buffer.transitions.terminated.tolist() == [False, True, False, True]


def test_dictionaries_of_the_guide_are_accepted() -> None:
    transitions = ReplayBuffer([dictionary(), recorded_column()]).transitions

    assert transitions.observation[:, 0].tolist() == [0, 1, 2, 3, 7]
    assert transitions.terminated.tolist() == [False, False, False, True, False]
    assert transitions.action.dtype == np.int64


def recorded_column() -> Episode:
    return make_episode([[7.0], [8.0]], [1], [0.0], [False], [True])


def test_flags_of_a_dictionary_are_honoured() -> None:
    episode = episode_from_arrays({**dictionary(), "truncations": [False, False, False, True]})

    assert not episode.terminations.any()
    assert episode.truncations.tolist() == [False, False, False, True]


def test_dictionary_of_several_episodes_is_refused() -> None:
    mixed = dictionary()
    mixed["next_observations"] = mixed["next_observations"] + [[0], [9], [0], [0]]

    with pytest.raises(ValueError, match=r"next_observations\[1\] is not observations\[2\]"):
        ReplayBuffer([mixed])


def test_missing_keys_are_all_named() -> None:
    with pytest.raises(ValueError, match="without actions, rewards"):
        episode_from_arrays({"observations": [[0.0]], "next_observations": [[1.0]]})


@pytest.mark.parametrize("limit", [1, 3, 4, 5], ids=["one", "within", "whole", "more"])
def test_limit_drops_the_oldest_transitions(limit: int) -> None:
    buffer = ReplayBuffer([recorded(2), recorded(2, start=10.0)], limit)

    assert buffer.transitions.observation[:, 0].tolist() == [0, 1, 10, 11][-limit:]
    assert (buffer.size, buffer.dropped) == (min(limit, 4), max(4 - limit, 0))


def test_a_sample_has_different_rows_of_the_same_transition() -> None:
    buffer = ReplayBuffer([recorded(50)])

    batch = buffer.sample(50, np.random.default_rng(0))

    assert sorted(batch.observation[:, 0].tolist()) == list(range(50))
    np.testing.assert_array_equal(batch.next_observation[:, 0], batch.observation[:, 0] + 1)
    np.testing.assert_array_equal(batch.reward, batch.observation[:, 0] * 0.5)


def test_a_batch_larger_than_the_buffer_has_the_asked_size() -> None:
    batch = ReplayBuffer([recorded(3)]).sample(64, np.random.default_rng(0))

    assert batch.observation.shape == (64, 2)
    assert set(batch.observation[:, 0].tolist()) == {0.0, 1.0, 2.0}


def test_every_transition_is_equally_likely() -> None:
    buffer = ReplayBuffer([recorded(10)])

    rows = buffer.sample_indices(4, np.random.default_rng(3), count=5_000)

    # 20,000 draws of 10 rows: 2,000 each, standard deviation below 42.
    assert np.abs(np.bincount(rows.reshape(-1)) - 2_000).max() < 210


def test_many_batches_are_those_of_as_many_single_draws() -> None:
    buffer = ReplayBuffer([recorded(30)])
    one_by_one = np.random.default_rng(5)

    together = buffer.sample_indices(7, np.random.default_rng(5), count=4)

    single = [buffer.sample_indices(7, one_by_one) for _ in range(4)]
    np.testing.assert_array_equal(together, single)


def test_transitions_cannot_be_changed() -> None:
    transitions = ReplayBuffer([recorded(3)]).transitions

    with pytest.raises(ValueError, match="read-only"):
        transitions.reward[0] = 1.0


@pytest.mark.parametrize(
    ("episodes", "limit", "words"),
    [([], 10, "0 episodes"), ([recorded(2)], 0, "at most 0"),
     ([recorded(2), recorded_column()], 9, "episode 1 has")],
    ids=["no-episode", "no-limit", "unlike"],
)  # fmt: skip
def test_unusable_episodes_are_refused(episodes: list[Any], limit: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ReplayBuffer(episodes, limit)


def test_episode_lengths_are_checked() -> None:
    with pytest.raises(ValueError, match="'observations': 2"):
        make_episode([[0.0], [1.0]], [0, 1], [0.0, 0.0], [False, True], [False, False])


def test_empty_sample_is_refused() -> None:
    with pytest.raises(ValueError, match="a sample of 0"):
        ReplayBuffer([recorded(2)]).sample(0, np.random.default_rng(0))
