"""Atari games as the original shows them to its agents: four frames per action, grey, 84 x 84.

`<Name>Deterministic-v4` of old is `ALE/<Name>-v5` with a frame skip of 4 and without sticky actions (ale-py 0.12.1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from experience.environments import make_environment

if TYPE_CHECKING:
    from gymnasium import Env

SIDE = 84
"""Pixels."""
FRAME_SKIP = 4
STICKINESS = 0.25
"""Probability that the previous action is repeated, where actions stick; that of Deterministic-v0."""


def make_atari(name: str, *, sticky: bool) -> Env[Any, Any]:
    """Return a game by its id, without a time limit.

    Raises:
        MissingExtraError: ale_py is not installed.
        ValueError: There is no such game.
    """
    return make_environment(
        name,
        max_episode_steps=-1,
        frameskip=FRAME_SKIP,
        repeat_action_probability=STICKINESS if sticky else 0.0,
    )


def prepare_screen(screen: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the screen (height, width, 3) as (84, 84) shades of grey, every pixel the mean of those that it covers."""
    import cv2

    grey = cv2.cvtColor(screen, cv2.COLOR_RGB2GRAY)
    small: NDArray[np.uint8] = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return small
