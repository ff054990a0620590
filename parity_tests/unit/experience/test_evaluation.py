from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from experience.evaluation import play_episodes


class Countdown:
    """Ends after (seed modulo 4) + 1 steps and pays what the action says."""

    made = 0
    closed = 0

    def __init__(self) -> None:
        Countdown.made += 1

    def reset(self, *, seed: int | None = None) -> tuple[NDArray[np.float32], dict[str, Any]]:
        assert seed is not None
        self.left = seed % 4 + 1
        return np.array([self.left], np.float32), {}

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        assert self.left > 0, "stepped after its end"
        self.left -= 1
        ended = self.left == 0
        return np.array([self.left], np.float32), float(action), ended, False, {}

    def close(self) -> None:
        Countdown.closed += 1


class Echo:
    """Acts as it observes, and notes the shapes of its batches."""

    def __init__(self) -> None:
        self.shapes: set[tuple[int, ...]] = set()

    def act(
        self, observation: NDArray[np.floating], rng: np.random.Generator, *, explore: bool
    ) -> NDArray[np.int64]:
        assert not explore
        self.shapes.add(observation.shape)
        return observation[:, 0].astype(np.int64)


def play(**arguments: int) -> list[float]:
    return play_episodes(Echo(), Countdown, seed=8, **arguments).tolist()  # type: ignore[arg-type]


@pytest.mark.parametrize("parallel", [1, 3, 6, 50])
def test_returns_do_not_depend_on_how_many_are_played_at_once(parallel: int) -> None:
    # Seeds 8 to 13: 1, 2, 3, 4, 1, 2 steps; the rewards are n, n-1, ..., 1.
    assert play(episodes=6, parallel=parallel) == [1.0, 3.0, 6.0, 10.0, 1.0, 3.0]


def test_batches_keep_their_size_while_episodes_end() -> None:
    agent = Echo()

    play_episodes(agent, Countdown, episodes=6, seed=8, parallel=3)  # type: ignore[arg-type]

    assert agent.shapes == {(3, 1)}


def test_every_environment_is_closed() -> None:
    Countdown.made = Countdown.closed = 0

    play(episodes=7, parallel=3)

    assert (Countdown.made, Countdown.closed) == (7, 7)


@pytest.mark.parametrize(("episodes", "parallel"), [(0, 1), (1, 0)])
def test_nothing_to_play_is_refused(episodes: int, parallel: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        play(episodes=episodes, parallel=parallel)
