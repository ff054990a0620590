from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from experience.arguments import Arguments, choose_defaults
from experience.episode_ring import Episode, EpisodeRing
from experience.suite_buffers import (
    EpisodeHeapBuffer,
    FrameStackBuffer,
    TrajectoryBuffer,
    TransitionBuffer,
    create_buffer,
)


def arguments(alg: str = "rrd", **changes: Any) -> Arguments:
    chosen = choose_defaults(alg=alg, env="Hopper-v5", **changes)
    chosen.obs_dims, chosen.acts_dims, chosen.acts_num = (2,), (3,), 3
    return chosen


def episode(number: int, length: int, reward: float = 1.0) -> Episode:
    """Observation t of episode n is (n, t), action (n, t, -t), done only at the end of even episodes."""
    steps = np.arange(length + 1, dtype=np.float32)
    observations = np.stack([np.full(length + 1, number, np.float32), steps], axis=1)
    action = np.stack([observations[:-1, 0], steps[:-1], -steps[:-1]], axis=1)
    rewards = np.zeros(length, np.float32)
    rewards[-1] = reward
    done = np.zeros(length, np.float32)
    done[-1] = number % 2 == 0
    return Episode(observations[:1], observations[1:], action, rewards, done)


def fill(buffer: Any, lengths: Sequence[int], rewards: Sequence[float] | None = None) -> Any:
    for number, length in enumerate(lengths):
        reward = rewards[number] if rewards is not None else 10.0 * number
        buffer.store_episode(episode(number, length, reward))
    return buffer


@pytest.mark.parametrize("kind", [TransitionBuffer, TrajectoryBuffer, EpisodeHeapBuffer])
def test_next_observation_is_the_next_step_of_the_same_episode(kind: Any) -> None:
    buffer = fill(kind(arguments(buffer_size=23), np.random.default_rng(0)), [5, 7, 4, 6, 9, 3])

    batch = buffer.sample_batch(500)

    np.testing.assert_array_equal(batch["obs_next"] - batch["obs"], np.tile([0.0, 1.0], (500, 1)))
    np.testing.assert_array_equal(batch["acts"][:, :2], batch["obs"])
    lengths = np.array([5, 7, 4, 6, 9, 3])[batch["obs"][:, 0].astype(int)]
    ends = (batch["obs_next"][:, 1] == lengths) & (batch["obs"][:, 0] % 2 == 0)
    np.testing.assert_array_equal(batch["done"][:, 0] == 1.0, ends)


def test_oldest_whole_episode_goes_when_there_are_too_many_transitions() -> None:
    buffer = fill(
        TrajectoryBuffer(arguments(buffer_size=15), np.random.default_rng(0)), [6, 5, 4, 1]
    )

    batch = buffer.sample_batch(400)

    assert set(batch["obs"][:, 0]) == {1.0, 2.0, 3.0}
    assert buffer.step_counter == 16


def test_transition_ring_overwrites_single_transitions() -> None:
    buffer = fill(
        TransitionBuffer(arguments("sac", buffer_size=7), np.random.default_rng(0)), [6, 3]
    )

    batch = buffer.sample_batch(400)

    kept = {(0, 2), (0, 3), (0, 4), (0, 5), (1, 0), (1, 1), (1, 2)}
    assert {tuple(row) for row in batch["obs"].astype(int).tolist()} == kept


def test_every_transition_is_equally_likely() -> None:
    buffer = fill(TrajectoryBuffer(arguments(), np.random.default_rng(0)), [10, 30])

    drawn = buffer.sample_batch(40_000)["obs"]

    counts = np.bincount((drawn[:, 0] * 10 + drawn[:, 1]).astype(int), minlength=40)
    # Chi-square with 39 degrees of freedom: 72 is its 0.999 quantile.
    assert np.sum((counts - 1000) ** 2 / 1000) < 72


def test_sub_sequences_come_from_episodes_in_proportion_to_their_length() -> None:
    buffer = fill(TrajectoryBuffer(arguments(), np.random.default_rng(0)), [10, 30])

    batch = buffer.sample_batch(1, rrd_batch_size=4000, rrd_sample_size=2)

    share = np.mean(batch["rrd_obs"][:, 0, 0] == 1)
    assert abs(share - 0.75) < 4 * np.sqrt(0.75 * 0.25 / 2000)


def test_batch_has_the_shapes_of_the_original() -> None:
    buffer = fill(TrajectoryBuffer(arguments(), np.random.default_rng(0)), [100, 80])

    shapes = {name: array.shape for name, array in buffer.sample().items()}

    assert shapes == {
        "obs": (256, 2), "obs_next": (256, 2), "acts": (256, 3), "rews": (256, 1), "done": (256, 1),
        "rrd_obs": (4, 64, 2), "rrd_obs_next": (4, 64, 2), "rrd_acts": (4, 64, 3), "rrd_rews": (4, 1),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("length", "distinct", "coefficient"),
    [(16, 8, 0.5), (8, 8, 0.0), (5, None, 1.0), (1, 1, 0.0)],
    ids=["longer", "equal", "shorter", "one"],
)
def test_steps_are_drawn_without_replacement_where_there_are_enough(
    length: int, distinct: int | None, coefficient: float
) -> None:
    chosen = arguments(rrd_batch_size=400, rrd_sample_size=8, rrd_bias_correction=True)
    buffer = fill(TrajectoryBuffer(chosen, np.random.default_rng(0)), [length], [3.0])

    batch = buffer.sample_batch(1)

    counts = {len(set(steps)) for steps in batch["rrd_obs"][:, :, 1].tolist()}
    assert counts == {distinct} if distinct else len(counts) > 1
    np.testing.assert_array_equal(batch["rrd_var_coef"], np.full((50, 1), coefficient, np.float32))
    np.testing.assert_array_equal(batch["rrd_rews"], np.full((50, 1), 3 / length, np.float32))


def test_ircr_scales_returns_over_buffer_and_heap() -> None:
    rewards = [4.0, 9.0, 6.0]
    buffer = fill(
        EpisodeHeapBuffer(arguments("ircr"), np.random.default_rng(0)), [3, 4, 5], rewards
    )

    batch = buffer.sample_batch(200)

    expected = (np.array(rewards)[batch["obs"][:, 0].astype(int)] - 4) / 5
    np.testing.assert_allclose(batch["rews"][:, 0], expected, rtol=1e-6)


def test_ircr_rewards_are_nan_until_two_returns_differ() -> None:
    buffer = fill(
        EpisodeHeapBuffer(arguments("ircr"), np.random.default_rng(0)), [3, 3], [2.0, 2.0]
    )

    assert np.isnan(buffer.sample_batch(8)["rews"]).all()
    assert not buffer.ready
    assert fill(buffer, [3], [4.0]).ready


@pytest.mark.parametrize("alg", ["sac", "rrd", "ircr"])
def test_an_empty_buffer_is_not_ready(alg: str) -> None:
    assert not create_buffer(arguments(alg), np.random.default_rng(0)).ready


def test_ircr_draws_half_of_a_batch_from_the_ten_best_episodes() -> None:
    rewards = [50.0, 3.0, *range(100, 109), 2.0, 50.0, 1.0]
    buffer = fill(
        EpisodeHeapBuffer(arguments("ircr", buffer_size=8), np.random.default_rng(0)),
        [4] * 14,
        rewards,
    )

    batch = buffer.sample_batch(301)

    assert set(batch["obs"][:150, 0]) == {12.0, 13.0}
    # An equal return takes the place of the worst: 12 stands for 0.
    assert set(batch["obs"][150:, 0]) == {*range(2, 11), 12}
    assert batch["rews"].min() == 0
    assert batch["rews"].max() == 1


def frames_arguments(alg: str, **changes: Any) -> Arguments:
    chosen = choose_defaults(alg=alg, env="Assault", basis_alg="dqn", **changes)
    chosen.obs_dims, chosen.acts_dims, chosen.acts_num = (5, 4, 3), (6,), 6
    return chosen


def frames_episode(number: int, length: int) -> tuple[Episode, np.ndarray]:
    rng = np.random.default_rng(number)
    images = rng.integers(0, 256, (length + 3, 5, 4), np.uint8)
    images[:, 0, 0] = number
    images[:, 0, 1] = np.arange(length + 3)
    action = np.arange(length) % 6
    made = Episode(images[:3], images[3:], action, np.ones(length, np.float32), np.zeros(length))
    return made, images


@pytest.mark.parametrize("alg", ["dqn", "ircr", "rrd"])
def test_stacks_are_put_together_from_single_images(alg: str) -> None:
    buffer = FrameStackBuffer(frames_arguments(alg, buffer_size=17), np.random.default_rng(0))
    stored = {}
    for number, length in enumerate([6, 2, 9, 3, 4]):
        made, stored[number] = frames_episode(number, length)
        buffer.store_episode(made)

    batch = buffer.sample_batch(64)

    for row in range(64):
        number, first = (batch["obs"][row, 0, :2, 0] * 255).round().astype(int)
        images = np.moveaxis(stored[number][first : first + 4], 0, -1).astype(np.float32) / 255
        np.testing.assert_array_equal(batch["obs"][row], images[..., :3])
        np.testing.assert_array_equal(batch["obs_next"][row], images[..., 1:])
        assert batch["acts"][row] == first % 6
        assert batch["rews"][row, 0] == (len(stored[number]) - 3 if alg == "ircr" else 1)


def test_image_sub_sequences_have_the_shapes_of_the_original() -> None:
    chosen = frames_arguments("rrd", rrd_bias_correction=True, rrd_sample_size=8)
    buffer = FrameStackBuffer(chosen, np.random.default_rng(0))
    buffer.store_episode(frames_episode(0, 10)[0])

    batch = buffer.sample_batch()

    assert batch["rrd_obs"].shape == batch["rrd_obs_next"].shape == (4, 8, 5, 4, 3)
    assert batch["rrd_acts"].shape == (4, 8)
    np.testing.assert_allclose(batch["rrd_var_coef"], np.full((4, 1), 0.2), rtol=1e-6)


@pytest.mark.parametrize("kind", [TransitionBuffer, TrajectoryBuffer, EpisodeHeapBuffer])
@pytest.mark.parametrize("lengths", [[3, 4], [9] * 9, [1] * 200], ids=["part", "full", "many"])
def test_restored_buffer_goes_on_as_the_stored_one(kind: Any, lengths: list[int]) -> None:
    chosen = arguments(buffer_size=70, rrd_sample_size=4, rrd_batch_size=8)
    stored = fill(kind(chosen, np.random.default_rng(1)), lengths)
    restored = kind(chosen, np.random.default_rng(1))

    restored.load_state_dict(stored.state_dict())

    for extra in range(80):
        for buffer in (stored, restored):
            buffer.store_episode(episode(1000 + extra, 1 + extra % 7, float(extra)))
        expected, found = stored.sample_batch(16), restored.sample_batch(16)
        for name, array in expected.items():
            np.testing.assert_array_equal(found[name], array, err_msg=name)


def test_state_of_another_buffer_is_refused() -> None:
    stored = fill(TrajectoryBuffer(arguments(buffer_size=70), np.random.default_rng(0)), [3])
    other = TrajectoryBuffer(arguments(buffer_size=71), np.random.default_rng(0))

    with pytest.raises(ValueError, match="does not fit"):
        other.load_state_dict(stored.state_dict())


@pytest.mark.parametrize("length", [0, 8], ids=["empty", "long"])
def test_episode_that_does_not_fit_is_refused(length: int) -> None:
    ring = EpisodeRing(7, (2,), action_shape=(3,))

    with pytest.raises(ValueError, match="needed 1 to 7"):
        ring.add(episode(0, max(length, 1)) if length else _empty())


def test_empty_buffer_gives_no_sample() -> None:
    with pytest.raises(ValueError, match="holds none"):
        TrajectoryBuffer(arguments(), np.random.default_rng(0)).sample_batch()


def test_episode_of_other_shapes_is_refused() -> None:
    ring = EpisodeRing(7, (2,), action_shape=(4,))

    with pytest.raises(ValueError, match=r"'action': \(3, 4\)"):
        ring.add(episode(0, 3))


@pytest.mark.parametrize(
    ("alg", "kind"),
    [
        ("sac", TransitionBuffer),
        ("td3", TransitionBuffer),
        ("rrd", TrajectoryBuffer),
        ("ircr", EpisodeHeapBuffer),
    ],
)
def test_algorithm_chooses_its_buffer(alg: str, kind: type) -> None:
    assert type(create_buffer(arguments(alg), np.random.default_rng(0))) is kind


def test_images_are_kept_in_a_frame_stack_buffer() -> None:
    buffer = create_buffer(frames_arguments("rrd", buffer_size=9), np.random.default_rng(0))

    assert type(buffer) is FrameStackBuffer


def _empty() -> Episode:
    full = episode(0, 1)
    return Episode(full.first, full.following[:0], full.action[:0], full.reward[:0], full.done[:0])
