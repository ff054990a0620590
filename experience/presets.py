"""Settings under which an environment is known to be learnt, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from experience.environments import ALIASES, LANGUAGE_LEARNING
from experience.schedules import LinearSchedule
from experience.training import TrainingSettings


@dataclass(frozen=True, slots=True)
class Preset:
    """How to train one agent on one environment.

    Attributes:
        agent: arguments of the agent's constructor; the two sizes come from the environment.
        training: settings of the loop.
        episodes: budget; None: no limit.
        steps: budget in environment steps; None: no limit.
        evaluation_episodes: of one evaluation during training.
    """

    agent: Mapping[str, object]
    training: TrainingSettings
    episodes: int | None = None
    steps: int | None = None
    evaluation_episodes: int = 20


_CONTROL: Mapping[str, object] = MappingProxyType(
    {
        "hidden_sizes": [256, 256],
        "dropout": 0.0,
        "learning_rate": 0.0023,
        "gamma": 0.99,
        "epsilon_decay": 1.0,  # the loop sets epsilon
        "batch_size": 64,
        "memory_size": 50_000,
        "gradient_clip": 10.0,
        "loss": "huber",
    }
)
_CONTROL_TRAINING = TrainingSettings(
    learning_starts=1_000,
    # Bursts of updates against a target that stands still: steadier than an update per step, half as many of them,
    # and an agent can do a burst in a few calls.
    train_every=256,
    updates_per_train=128,
    target_every=256,
    target_unit="steps",
    exploration=LinearSchedule(1.0, 0.04, 8_000),
    evaluate_every=2_000,
    checkpoint_every=5_000,
)
GENERAL = Preset(_CONTROL, _CONTROL_TRAINING, steps=100_000)
"""For environments without a preset: classic control and the like. No promise that it learns."""
DQN_PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        # 500 is the most that an episode can give: nothing is left to learn then.
        "CartPole-v1": Preset(_CONTROL, replace(_CONTROL_TRAINING, goal=500.0), steps=100_000),
        # The guide's own agent and loop: all defaults.
        LANGUAGE_LEARNING: Preset({}, TrainingSettings(), episodes=100),
    }
)
"""Presets of the pair `dqn` by environment."""


def find_preset(pair: str, environment: str) -> Preset:
    """Return how to train the pair on the environment.

    A pair without presets gets its own defaults and the loop's: nothing is known of its arguments.
    """
    if pair != "dqn":
        return Preset({}, TrainingSettings(), steps=50_000)
    return DQN_PRESETS.get(ALIASES.get(environment, environment), GENERAL)
