"""Settings under which an environment is known to be learnt, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from experience.schedules import LinearSchedule
from experience.training import TrainingSettings


@dataclass(frozen=True, slots=True)
class Preset:
    """How to train on one environment.

    Attributes:
        agent: arguments of the agent's constructor; the two sizes come from the environment.
        training: settings of the loop.
        episodes: budget, None: no limit.
        steps: budget in environment steps, None: no limit.
        evaluation_episodes: of an evaluation during training.
    """

    agent: Mapping[str, object]
    training: TrainingSettings
    episodes: int | None = None
    steps: int | None = None
    evaluation_episodes: int = 20


CARTPOLE_STEPS = 50_000

DQN_PRESETS: Mapping[str, Preset] = MappingProxyType({})
