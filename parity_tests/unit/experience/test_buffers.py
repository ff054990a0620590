from __future__ import annotations

import itertools

import numpy as np
import pytest

from experience.agent import Batch
from experience.buffers import ReplayMemory


def numbered(first: int, rows: int) -> Batch:
    """Return transitions that can be told apart in every field."""
    numbers = np.arange(first, first + rows)
    return Batch(
        np.stack([numbers, numbers + 0.5], axis=1).astype(np.float32),
        numbers % 5,
        numbers * 0.25,
        np.stack([-numbers, numbers], axis=1).astype(np.float32),
        numbers % 3 == 0,
    )


def fill(memory: ReplayMemory, first: int, rows: int) -> None:
    for observation, action, reward, next_observation, terminated in zip(
        *numbered(first, rows), strict=True
    ):
        memory.add(observation, action, reward, next_observation, terminated)


def contents(memory: ReplayMemory) -> Batch:
    """Return everything that is stored, oldest number first."""
    batch = memory.gather(np.arange(len(memory)))
    order = np.argsort(batch.reward)
    return Batch(*(field[order] for field in batch))


@pytest.mark.parametrize("capacity", [1, 2, 7, 12])
@pytest.mark.parametrize("rows", [0, 1, 6, 7, 8, 12, 13, 24, 40])
def test_the_last_transitions_stay_whole(capacity: int, rows: int) -> None:
    memory = ReplayMemory(capacity, (2,))

    fill(memory, 0, rows)

    kept = min(capacity, rows)
    assert len(memory) == kept
    for stored, needed in zip(contents(memory), numbered(rows - kept, kept), strict=True):
        np.testing.assert_array_equal(stored, needed)


@pytest.mark.parametrize("capacity", [1, 4, 9])
@pytest.mark.parametrize("sizes", [*itertools.product([0, 3, 9, 25], repeat=2)], ids=str)
def test_a_batch_is_stored_like_its_rows(capacity: int, sizes: tuple[int, ...]) -> None:
    by_row, by_batch = ReplayMemory(capacity, (2,)), ReplayMemory(capacity, (2,))

    first = 0
    for size in (2, *sizes):
        fill(by_row, first, size)
        by_batch.add_batch(numbered(first, size))
        first += size

    for name, values in by_row.state_dict().items():
        np.testing.assert_array_equal(values, by_batch.state_dict()[name], err_msg=name)


def test_a_sample_has_no_transition_twice() -> None:
    memory = ReplayMemory(40, (2,))
    memory.add_batch(numbered(0, 40))

    batch = memory.sample(40, np.random.default_rng(3))

    assert sorted(batch.reward.tolist()) == (np.arange(40) * 0.25).tolist()


def test_the_fields_of_a_sampled_row_belong_together() -> None:
    memory = ReplayMemory(50, (2,))
    memory.add_batch(numbered(0, 70))

    batch = memory.sample(16, np.random.default_rng(4))

    numbers = batch.observation[:, 0].astype(int)
    for found, needed in zip(batch, numbered(0, 70), strict=True):
        np.testing.assert_array_equal(found, needed[numbers])


def test_every_transition_is_drawn_equally_often() -> None:
    memory = ReplayMemory(20, (2,))
    memory.add_batch(numbered(0, 20))
    rng = np.random.default_rng(5)

    counts = np.bincount(memory.sample_indices(5, rng, count=4_000).ravel(), minlength=20)

    # 4,000 draws of 5 from 20: mean 1,000, standard deviation sqrt(4000 * 0.25 * 0.75) = 27.4.
    assert np.abs(counts - 1_000).max() < 5 * 27.4


def test_several_batches_are_drawn_like_one_after_the_other() -> None:
    memory = ReplayMemory(30, (2,))
    memory.add_batch(numbered(0, 30))
    one_by_one = np.random.default_rng(6)

    together = memory.sample_indices(4, np.random.default_rng(6), count=3)

    np.testing.assert_array_equal(
        together, [memory.sample_indices(4, one_by_one) for _ in range(3)]
    )
    assert memory.gather(together).observation.shape == (3, 4, 2)


def test_a_sample_is_a_copy() -> None:
    memory = ReplayMemory(3, (2,))
    memory.add_batch(numbered(0, 3))

    memory.sample(3, np.random.default_rng(0)).observation[:] = 99.0

    np.testing.assert_array_equal(contents(memory).observation, numbered(0, 3).observation)


@pytest.mark.parametrize("wanted", [0, 6], ids=["nothing", "more-than-stored"])
def test_an_impossible_sample_names_both_numbers(wanted: int) -> None:
    memory = ReplayMemory(10, (2,))
    memory.add_batch(numbered(0, 5))

    with pytest.raises(ValueError, match=f"{wanted} transitions .* holds 5"):
        memory.sample(wanted, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("observation", "action"),
    [(np.zeros(3), 0), (np.float32(1.0), 0), (np.zeros(2), np.zeros(2))],
    ids=["longer", "scalar", "vector-action"],
)
def test_another_shape_is_refused(observation: np.ndarray, action: object) -> None:
    memory = ReplayMemory(4, (2,))

    with pytest.raises(ValueError, match="needed"):
        memory.add(observation, action, 0.0, observation, False)
    assert len(memory) == 0


def test_a_ragged_batch_is_refused() -> None:
    memory = ReplayMemory(4, (2,))

    with pytest.raises(ValueError, match=r"action of shape \(2,\)"):
        memory.add_batch(numbered(0, 3)._replace(action=np.zeros(2, np.int64)))


@pytest.mark.parametrize("rows", [0, 4, 7, 10], ids=["empty", "part", "full", "wrapped"])
def test_a_restored_memory_goes_on_like_the_first(rows: int) -> None:
    first, second = ReplayMemory(7, (2,)), ReplayMemory(7, (2,))
    fill(first, 0, rows)

    second.load_state_dict(first.state_dict())
    for memory in (first, second):
        fill(memory, 100, 5)

    for name, values in first.state_dict().items():
        np.testing.assert_array_equal(values, second.state_dict()[name], err_msg=name)


@pytest.mark.parametrize(
    "other",
    [
        ReplayMemory(8, (2,)),
        ReplayMemory(7, (3,)),
        ReplayMemory(7, (2,), observation_dtype=np.float64),
    ],
    ids=["capacity", "shape", "dtype"],
)
def test_the_state_of_another_memory_is_refused(other: ReplayMemory) -> None:
    memory = ReplayMemory(7, (2,))
    fill(memory, 0, 5)

    with pytest.raises(ValueError, match="does not fit"):
        other.load_state_dict(memory.state_dict())
    assert len(other) == 0


def test_a_state_with_a_field_missing_is_refused() -> None:
    state = ReplayMemory(7, (2,)).state_dict()
    del state["reward"]

    with pytest.raises(ValueError, match="lacks reward"):
        ReplayMemory(7, (2,)).load_state_dict(state)


def test_continuous_actions_and_wide_rewards_are_kept() -> None:
    memory = ReplayMemory(
        2, (1,), observation_dtype=np.float64, action_shape=(3,), action_dtype=np.float64
    )

    memory.add(np.array([1e-9]), np.array([0.1, -0.2, 0.3]), 0.1, np.array([2.0]), True)

    batch = memory.sample(1, np.random.default_rng(0))
    assert batch.action.tolist() == [[0.1, -0.2, 0.3]]
    assert batch.reward.tolist() == [0.1]
    assert batch.terminated.tolist() == [True]
