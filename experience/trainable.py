"""What the training loop asks of an agent: little of every agent, more only of those that have it.

An agent learns from its replay memory (`Replaying`), from whole episodes (`finish_episode`), or both. `training.py`
looks for each of these by name, so a new algorithm brings what it needs and leaves out the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from experience.agent import Agent
from experience.buffers import ReplayMemory

if TYPE_CHECKING:
    from experience.training import TrainingSettings

_CALLED = ("act", "remember", "save", "load")
_SETTINGS_OF = {
    "replay": ("learning_starts", "train_every", "updates_per_train"),
    "update_target": ("target_every", "target_unit"),
    "epsilon": ("exploration",),
}
"""What an agent has to have for these settings of the loop to mean anything."""


class TrainableAgent(Agent, Protocol):
    """An agent that can be trained by the loop.

    It may also have, and the loop then uses:

    * everything of `Replaying`, and `update_many(count, rng) -> float`: the same as that many calls of `replay`,
      returning their mean loss; called where several updates are due at once, so that it can do them in one go.
    * `finish_episode(rng) -> float | None`: called when an episode has ended, for whatever is learnt from whole
      episodes; returns the loss of its update, None if it did none. Steps that it keeps for a later episode belong
      into `save`, or a resumed run would not be the same.
    * `update_target()`: copies the online network into the target network.
    * the `epsilon` of `Exploring`.
    * `history: dict[str, list[float]]`: gets one figure an episode under "rewards", "lengths", "losses", "epsilons".
    """

    def remember(
        self,
        observation: NDArray[np.floating],
        action: int,
        reward: float,
        next_observation: NDArray[np.floating],
        terminated: bool,
    ) -> None:
        """Take note of one transition."""
        ...


@runtime_checkable
class Replaying(Protocol):
    """Learns from random batches of a memory."""

    batch_size: int
    memory: ReplayMemory

    def replay(self, rng: np.random.Generator) -> float:
        """Train on a random batch and return the loss; 0.0 while there is less than a batch."""
        ...


@runtime_checkable
class Exploring(Protocol):
    """Takes random actions at a rate, which a schedule may set and the loop writes down."""

    epsilon: float


class ReplayingAgent(TrainableAgent, Replaying, Exploring, Protocol):
    """An agent with everything that the migration guide's own loop shows."""

    history: dict[str, list[float]]

    def update_target(self) -> None:
        """Copy the online network into the target network."""
        ...


def check_trainable(agent: object, settings: TrainingSettings) -> None:
    """Raise one ValueError with everything that the loop cannot do with this agent under these settings."""
    missing = [name for name in _CALLED if not hasattr(agent, name)]
    problems = [f"no {', '.join(missing)}"] if missing else []
    if not (isinstance(agent, Replaying) or hasattr(agent, "finish_episode")):
        problems.append("neither a memory with replay nor finish_episode to learn by")
    defaults = type(settings)()
    for ability, names in _SETTINGS_OF.items():
        changed = [name for name in names if getattr(settings, name) != getattr(defaults, name)]
        if changed and not hasattr(agent, ability):
            problems.append(f"no {ability}, which {', '.join(changed)} would need")
    if problems:
        msg = f"the training loop cannot train this agent: {type(agent).__name__} has {'; '.join(problems)}"
        raise ValueError(msg)
