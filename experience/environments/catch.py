"""A small task on images: move a paddle under falling balls.

Made for agents that see stacks of frames: which way a ball drifts is in no single frame, and is decided above the walls
of a field of 8 x 8 cells. An agent with three convolutions learns it in some 10,000 steps on one core.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

CELLS = 8
"""Of the field, along each side."""
PIXELS = 2
"""Of a cell, along each side."""
PADDLE_CELLS = 2
BALL_INTENSITY, PADDLE_INTENSITY = 255, 128
LEFT, STAY, RIGHT = range(3)
"""The actions."""


class CatchEnv(gymnasium.Env[NDArray[np.uint8], int]):
    """Balls fall one cell a step and drift left, straight down or right, back from the walls.

    A ball that comes down on the paddle gives 1, beside it -1; the next one appears in the step after. Observations are
    the field in shades of grey, (16, 16).

    Args:
        balls: of an episode, which then terminates; 3 take 23 steps.
    """

    def __init__(self, *, balls: int = 3) -> None:
        if balls < 1:
            msg = f"{balls} balls; needed at least 1"
            raise ValueError(msg)
        side = CELLS * PIXELS
        self.observation_space = gymnasium.spaces.Box(0, 255, (side, side), np.uint8)
        self.action_space = gymnasium.spaces.Discrete(3)  # type: ignore[assignment]  # numpy's integer, not int
        self._balls, self._left = balls, balls
        self._paddle = 0  # its leftmost cell
        self._row = self._column = self._drift = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Begin an episode: paddle and first ball anywhere.

        Args:
            seed: of the environment's generator; None: it goes on.
            options: not used.

        Returns:
            Observation and an empty dictionary.
        """
        super().reset(seed=seed)
        self._left = self._balls
        self._paddle = int(self.np_random.integers(CELLS - PADDLE_CELLS + 1))
        self._drop_ball()
        return self._draw(), {}

    def step(self, action: int) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        """Move the paddle, then the ball.

        Args:
            action: LEFT, STAY or RIGHT.

        Returns:
            Observation, reward, terminated, truncated (never) and an empty dictionary.
        """
        self._paddle = int(np.clip(self._paddle + action - STAY, 0, CELLS - PADDLE_CELLS))
        reward = 0.0
        if self._row == CELLS - 1:
            self._drop_ball()
        else:
            self._move_ball()
            if self._row == CELLS - 1:
                self._left -= 1
                caught = self._paddle <= self._column < self._paddle + PADDLE_CELLS
                reward = 1.0 if caught else -1.0
        return self._draw(), reward, self._left == 0, False, {}

    def _drop_ball(self) -> None:
        self._row = 0
        self._column = int(self.np_random.integers(CELLS))
        self._drift = int(self.np_random.integers(-1, 2))

    def _move_ball(self) -> None:
        self._row += 1
        if not 0 <= self._column + self._drift < CELLS:
            self._drift = -self._drift
        self._column += self._drift

    def _draw(self) -> NDArray[np.uint8]:
        field = np.zeros((CELLS, CELLS), np.uint8)
        field[-1, self._paddle : self._paddle + PADDLE_CELLS] = PADDLE_INTENSITY
        field[self._row, self._column] = BALL_INTENSITY
        return field.repeat(PIXELS, axis=0).repeat(PIXELS, axis=1)
