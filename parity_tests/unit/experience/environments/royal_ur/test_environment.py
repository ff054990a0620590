from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from experience.environments.royal_ur.features import extract_features
from experience.environments.royal_ur.players import RandomPlayer
from experience.environments.royal_ur.rules import make_state

gymnasium = pytest.importorskip("gymnasium")

from experience.environments import make_environment  # noqa: E402
from experience.environments.royal_ur.environment import RoyalUrEnv  # noqa: E402


def play(environment: Any, seed: int, *, limit: int = 2000) -> list[tuple[Any, ...]]:
    """Return (observation, reward, terminated, truncated, info) of an episode of random legal moves."""
    generator = np.random.default_rng(seed)
    _, info = environment.reset(seed=seed)
    steps: list[tuple[Any, ...]] = []
    while len(steps) < limit:
        action = generator.choice(np.flatnonzero(info["action_mask"]))
        steps.append(environment.step(action))
        info = steps[-1][4]
        if steps[-1][2] or steps[-1][3]:
            break
    return steps


@pytest.mark.parametrize("mode", ["ansi", "rgb_array"])
@pytest.mark.parametrize("opponent", ["random", "heuristic", "self"])
def test_gymnasium_finds_nothing_wrong(opponent: str, mode: str) -> None:
    from gymnasium.utils.env_checker import check_env

    environment = RoyalUrEnv(opponent, render_mode=mode)
    environment.action_space.seed(0)

    check_env(environment, skip_render_check=True)


@pytest.mark.parametrize("opponent", ["random", "heuristic", "self", RandomPlayer()])
def test_a_game_ends_with_a_winner_and_his_reward(opponent: Any) -> None:
    steps = play(RoyalUrEnv(opponent), seed=0)

    *before, (observation, reward, terminated, truncated, info) = steps
    assert (terminated, truncated) == (True, False)
    assert all(step[1] == 0 and not step[2] and step[4]["action_mask"].any() for step in before)
    assert not info["action_mask"].any()
    if opponent == "self":
        assert reward == 1
    else:
        assert reward == (1 if info["winner"] == info["side"] else -1)
    assert observation[38 + info["winner"] - 1] == 7


def test_a_seed_repeats_the_game() -> None:
    first, second = (play(RoyalUrEnv("random"), seed=4) for _ in range(2))

    assert len(first) == len(second)
    assert all(np.array_equal(a[0], b[0]) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("side", [1, 2])
def test_the_agent_plays_the_side_it_asked_for(side: int) -> None:
    steps = play(RoyalUrEnv("heuristic", side=side), seed=1)

    assert {step[4]["side"] for step in steps} == {side}
    assert {step[4]["player"] for step in steps[:-1]} == {side}


def test_without_a_wish_both_sides_come_up() -> None:
    environment = RoyalUrEnv()

    assert {environment.reset(seed=k)[1]["side"] for k in range(20)} == {1, 2}


def test_an_action_outside_the_mask_changes_nothing_and_costs() -> None:
    environment = RoyalUrEnv("random", side=1, illegal_reward=-0.5)
    environment.reset(seed=0)
    environment._state = make_state((5, 8, -1, 20, 20, 20, 20), roll=3)
    before = environment.state

    observation, reward, terminated, truncated, info = environment.step(np.int64(0))

    assert info["action_mask"].tolist() == [0, 1, 1, 0, 0, 0, 0]
    assert (reward, terminated, truncated) == (-0.5, False, False)
    np.testing.assert_array_equal(environment.state, before)
    np.testing.assert_array_equal(observation, extract_features(before))


def test_an_episode_is_cut_off_at_its_limit() -> None:
    steps = play(RoyalUrEnv("random", max_moves=5), seed=2)

    assert [step[3] for step in steps] == [False] * 4 + [True]


def test_text_shows_both_rows_the_pieces_beside_them_and_the_turn() -> None:
    environment = RoyalUrEnv(render_mode="ansi")
    environment._state = make_state(
        (5, 13, 20, 20, -1, -1, -1), (16, 8, 20, -1, -1, -1, -1), player=2, roll=3
    )

    assert environment.render() == (
        "player 1: 3 to start, 2 finished\n"
        "  * . . .     1 .\n"
        "  . 1 . * 2 . . .\n"
        "  2 . . .     * .\n"
        "player 2: 4 to start, 1 finished\n"
        "player 2 to move, roll 3\n"
    )


def test_the_picture_differs_exactly_where_a_piece_moved() -> None:
    environment = RoyalUrEnv(render_mode="rgb_array")
    pictures = []
    for square in (4, 5):
        environment._state = make_state((square, *(-1,) * 6), roll=1)
        pictures.append(environment.render())

    changed = np.argwhere((pictures[0] != pictures[1]).any(axis=2)) // 32

    assert pictures[0].shape == (224, 256, 3)
    assert pictures[0].dtype == np.uint8
    # Squares 4 and 5 are the first two of the middle row.
    assert {tuple(cell) for cell in changed.tolist()} == {(3, 0), (3, 1)}


def test_it_is_known_by_its_name() -> None:
    environment = make_environment("RoyalUr", seed=0, opponent="random")

    assert isinstance(environment.unwrapped, RoyalUrEnv)
    assert environment.observation_space.shape == (150,)


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"side": 3}, "got 3"),
        ({"render_mode": "human"}, "'human'"),
        ({"opponent": "nobody"}, "there is no player 'nobody'"),
    ],
)
def test_wrong_settings_are_refused(options: dict[str, Any], part: str) -> None:
    with pytest.raises(ValueError, match=part):
        RoyalUrEnv(**options)


def test_a_finished_game_takes_no_step() -> None:
    environment = RoyalUrEnv()
    environment.reset(seed=0)
    environment._state = make_state((20,) * 7)

    with pytest.raises(ValueError, match="in a running game"):
        environment.step(np.int64(0))
