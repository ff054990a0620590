"""Schedules of the exploration rate: how it falls, as functions of what came before and nothing else."""

from __future__ import annotations

from dataclasses import dataclass


def decay_epsilon(
    epsilon: float, *, epsilon_min: float = 0.01, epsilon_decay: float = 0.995
) -> float:
    """Return the rate after one more replay.

        epsilon * epsilon_decay if epsilon > epsilon_min else epsilon

    There is no clamping, so the last value lies slightly below the minimum: 1.0 becomes 0.00998645 after 919 calls
    and stays there.

    Source: the DQN of the migration guide, which decays per replay and not per episode.
    """
    return epsilon * epsilon_decay if epsilon > epsilon_min else epsilon


@dataclass(frozen=True, slots=True)
class LinearSchedule:
    """A value that goes from `start` to `end` in a straight line and stays there.

    Raises:
        ValueError: The length is negative.
    """

    start: float  # at step 0
    end: float  # from step `steps` on
    steps: int  # environment steps; 0: `end` from the beginning

    def __post_init__(self) -> None:
        if self.steps < 0:
            msg = f"a schedule over {self.steps} steps; needed 0 or more"
            raise ValueError(msg)

    def __call__(self, step: int) -> float:
        """Return the value at `step`, counted from 0."""
        if step >= self.steps:
            return self.end
        return self.start + (self.end - self.start) * max(step, 0) / self.steps
