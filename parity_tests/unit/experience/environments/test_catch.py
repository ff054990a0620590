from __future__ import annotations

import numpy as np
import pytest

gymnasium = pytest.importorskip("gymnasium")

from gymnasium.utils.env_checker import check_env  # noqa: E402  after the skip

from experience.arguments import choose_defaults  # noqa: E402
from experience.environments import make_environment  # noqa: E402
from experience.environments.catch import LEFT, RIGHT, STAY, CatchEnv  # noqa: E402
from experience.environments.suite import make_suite_environment  # noqa: E402


class Script:
    """Stands for the environment's generator: gives the numbers as written down, in turn."""

    def __init__(self, *numbers: int) -> None:
        self.numbers = list(numbers)

    def integers(self, *_: int) -> int:
        return self.numbers.pop(0)


def scripted(*numbers: int, balls: int = 3) -> tuple[CatchEnv, np.ndarray]:
    """Return an environment whose draws are paddle, then column and drift of every ball; and what it shows first."""
    environment = CatchEnv(balls=balls)
    environment.reset(seed=0)
    environment.np_random = Script(*numbers)
    return environment, environment.reset()[0]


def places(image: np.ndarray, intensity: int) -> list[tuple[int, int]]:
    """Return the cells of one intensity as (row, column)."""
    return [(int(row), int(column)) for row, column in np.argwhere(image[::2, ::2] == intensity)]


def test_the_checker_of_gymnasium_finds_nothing() -> None:
    check_env(make_environment("Catch", seed=1).unwrapped, skip_render_check=True)


def test_ball_and_paddle_are_drawn_as_blocks_of_pixels() -> None:
    _, image = scripted(3, 5, 0)

    assert places(image, 255) == [(0, 5)]
    assert places(image, 128) == [(7, 3), (7, 4)]
    np.testing.assert_array_equal(image[:2, 10:12], 255)
    assert (image > 0).sum() == 4 * 3


def test_balls_come_back_from_the_walls() -> None:
    environment, _ = scripted(0, 6, 1)

    columns = [places(environment.step(STAY)[0], 255)[0][1] for _ in range(4)]

    assert columns == [7, 6, 5, 4]


@pytest.mark.parametrize(("action", "paddle"), [(LEFT, 0), (STAY, 1), (RIGHT, 2)])
def test_actions_move_the_paddle_by_one_cell(action: int, paddle: int) -> None:
    environment, _ = scripted(1, 5, 0)

    image, *_ = environment.step(action)

    assert places(image, 128) == [(7, paddle), (7, paddle + 1)]


def test_the_paddle_stays_in_the_field() -> None:
    environment, _ = scripted(6, 0, 0)

    image, *_ = environment.step(RIGHT)

    assert places(image, 128) == [(7, 6), (7, 7)]


@pytest.mark.parametrize(
    ("column", "reward"), [(2, -1.0), (3, 1.0), (4, 1.0), (5, -1.0)],
    ids=["left-of-it", "left-half", "right-half", "right-of-it"],
)  # fmt: skip
def test_a_ball_on_the_paddle_gives_1_and_beside_it_minus_1(column: int, reward: float) -> None:
    environment, _ = scripted(3, column, 0)

    rewards = [environment.step(STAY)[1] for _ in range(7)]

    assert rewards == [0.0] * 6 + [reward]


def test_the_next_ball_appears_in_the_step_after() -> None:
    environment, _ = scripted(3, 3, 0, 6, 0)

    shown = [places(environment.step(STAY)[0], 255)[0] for _ in range(8)]

    assert shown[-2:] == [(7, 3), (0, 6)]


def test_three_balls_take_23_steps() -> None:
    environment = make_environment("Catch", seed=0)

    ends = [environment.step(STAY)[2] for _ in range(23)]

    assert ends == [False] * 22 + [True]


def test_an_episode_without_balls_is_refused() -> None:
    with pytest.raises(ValueError, match="0 balls"):
        CatchEnv(balls=0)


def test_the_suite_shows_stacks_of_its_frames() -> None:
    environment = make_suite_environment(choose_defaults(alg="dqn", env="Catch", frames=3))

    first = environment.reset(seed=3)
    second = environment.step(STAY).observation

    assert environment.obs_dims == (16, 16, 3)
    np.testing.assert_array_equal(second[..., :2], first[..., 1:])
    assert not np.array_equal(second[..., 2], first[..., 2])
