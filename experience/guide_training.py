"""The agents' own `train`: the loop of `training.py` with the habits of the migration guide.

A progress line every 10 episodes, the agent saved every 100 and at the end, TensorBoard on request.
"""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experience.evaluation import Environment
from experience.logs import EpisodeFigures, EvaluationFigures, Listener, RunLog
from experience.trainable import ReplayingAgent
from experience.training import TrainingResult, TrainingSettings, train

PROGRESS_EVERY = 10
SAVE_EVERY = 100
TENSORBOARD_FOLDER = "runs/guide"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Progress:
    """Says how the training goes and saves the agent."""

    agent: ReplayingAgent
    episodes: int
    save_path: Path | None

    def on_episode(self, figures: EpisodeFigures) -> None:
        if figures.episode % PROGRESS_EVERY == 0:
            _log.info(
                "Episode %d/%d | reward %.2f | mean of the last %d %.2f | epsilon %.3f | memory %d",
                figures.episode,
                self.episodes,
                figures.episode_return,
                PROGRESS_EVERY,
                np.mean(self.agent.history["rewards"][-PROGRESS_EVERY:]),
                self.agent.epsilon,
                len(self.agent.memory),
            )
        if self.save_path is not None and figures.episode % SAVE_EVERY == 0:
            self.agent.save(self.save_path)

    def on_evaluation(self, figures: EvaluationFigures) -> None:
        """There are none here."""


def train_by_guide(
    agent: ReplayingAgent,
    environment: Environment,
    episodes: int,
    *,
    rng: np.random.Generator,
    update_target_freq: int,
    save_path: str | Path | None,
    tensorboard_log: str | Path | bool | None,
) -> TrainingResult:
    """Train the agent for a number of episodes, one replay a step.

    Args:
        agent: trained in place; its history gets one figure an episode.
        environment: left open.
        episodes: to play.
        rng: exploration, samples and the seeds of the episodes.
        update_target_freq: episodes between two copies of the target network, the first after the first episode.
        save_path: for `agent.save`, its folder made if missing; None: nothing is saved.
        tensorboard_log: folder for TensorBoard's events and the run's tables, made if missing; True: one under
            `TENSORBOARD_FOLDER`, as the guide's agent has it; False or None: none.
    """
    path = None if save_path is None else Path(save_path)
    if path is not None:
        # Now, not behind the first hundred episodes.
        path.parent.mkdir(parents=True, exist_ok=True)
    folder = TENSORBOARD_FOLDER if tensorboard_log is True else tensorboard_log or None
    listeners: list[Listener] = [_Progress(agent, episodes, path)]
    with ExitStack() as stack:
        if folder is not None:
            Path(folder).mkdir(parents=True, exist_ok=True)
            log = RunLog(Path(folder), tensorboard=True)
            listeners.append(stack.enter_context(log))
        settings = TrainingSettings(target_every=update_target_freq)
        result = train(
            agent, environment, rng=rng, episodes=episodes, settings=settings, listeners=listeners
        )
    if path is not None:
        agent.save(path)
    return result
