"""What the Q-learning agents of the RRD suite do in numpy: actions as rows of zeros and a one, exploration.

One copy, so that the two sides cannot differ in it. Nothing in here knows a framework.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from experience.schedules import LinearSchedule

MAX_INTENSITY = 255.0
"""What observations are divided by before the network sees them; replay buffers give batches that are divided."""
_ACTIONS = ("acts", "rrd_acts")


class ConvolutionSizes(TypedDict):
    """Sizes of a network on images, as its arguments."""

    filters: tuple[int, int, int]
    units: int


def convolution_sizes(args: Any) -> ConvolutionSizes:  # noqa: ANN401  flags, see `Settings`
    """Return the original's sizes, unless the arguments have `conv_filters` and `conv_units`."""
    first, second, third = getattr(args, "conv_filters", None) or (32, 64, 64)
    return {
        "filters": (int(first), int(second), int(third)),
        "units": int(getattr(args, "conv_units", None) or 512),
    }


def encode_actions(arrays: Mapping[str, NDArray[Any]], count: int) -> dict[str, NDArray[Any]]:
    """Return the batch with numbered actions (...,) as rows (..., count) of zeros and a one.

    Rows that are encoded already stay as they are.

    Args:
        arrays: of a batch, under the original's names.
        count: number of actions.

    Raises:
        ValueError: An action is not one of 0 to count - 1.
    """
    result = dict(arrays)
    for name in _ACTIONS:
        if name in result and not _is_encoded(result[name], count):
            result[name] = _one_hot(result[name], count)
    return result


def choose_actions(
    greedy: NDArray[np.int64], count: int, epsilon: float, noise: NDArray[np.floating]
) -> NDArray[np.int64]:
    """Return the greedy actions, each replaced by a random one with probability epsilon.

    Args:
        greedy: (batch,).
        count: number of actions.
        epsilon: in [0, 1].
        noise: (batch, 2), uniform in [0, 1): whether, and which.
    """
    random = (noise[:, 1] * count).astype(np.int64)
    return np.where(noise[:, 0] <= epsilon, random, greedy)


def exploration_rate(args: Any, environment_steps: int) -> float:  # noqa: ANN401  flags, see `Settings`
    """Return epsilon, which falls in a straight line from eps_l to eps_r over eps_decay environment steps."""
    schedule = LinearSchedule(args.eps_l, args.eps_r, args.eps_decay)
    return schedule(environment_steps)


def _is_encoded(actions: NDArray[Any], count: int) -> bool:
    return np.issubdtype(actions.dtype, np.floating) and actions.shape[-1:] == (count,)


def _one_hot(actions: NDArray[Any], count: int) -> NDArray[np.float32]:
    if actions.size and not (actions.min() >= 0 and actions.max() < count):
        msg = f"actions from {actions.min()} to {actions.max()}; needed 0 to {count - 1}"
        raise ValueError(msg)
    encoded: NDArray[np.float32] = np.eye(count, dtype=np.float32)[actions]
    return encoded
