"""The training loop: act, step, remember, update, copy the target network, evaluate, write checkpoints.

One loop for the agents of both frameworks, whatever they learn from; `trainable.py` says what it asks of them.
Everything random comes from one generator, and every episode is reset with a seed drawn from it, so the state between
two episodes is small and a resumed run equals an uninterrupted one.
"""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from experience.evaluation import Environment, play_episodes
from experience.logs import EpisodeFigures, EvaluationFigures, Listener, RunLog
from experience.run_checkpoints import (
    AGENT_NAME,
    RunCheckpoint,
    RunCheckpointError,
    write_folder,
    write_run_checkpoint,
)
from experience.schedules import LinearSchedule
from experience.trainable import Exploring, Replaying, TrainableAgent, check_trainable

BEST_PREFIX = "best-"
StopReason = Literal["budget", "goal", "interrupted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """How the loop trains; the defaults are those of the migration guide.

    Those of replay, target network and exploration rate have no effect on an agent that has none; for such an agent
    `train` refuses other values than the defaults.

    Raises:
        ValueError: A number is out of range.
    """

    learning_starts: int = 0  # environment steps before the first update
    train_every: int = 1  # environment steps
    updates_per_train: int = 1
    target_every: int = 10  # of the unit below
    # The guide copies after episodes 0, 10, 20, ...: the first copy comes after the first episode.
    target_unit: Literal["episodes", "steps"] = "episodes"
    # By environment steps; None: the agent's own decay per replay.
    exploration: LinearSchedule | None = None
    evaluate_every: int = 0  # environment steps, at the end of the episode; 0: never
    checkpoint_every: int = 2_000  # environment steps, at the end of the episode
    goal: float | None = None  # mean return of an evaluation that ends the run

    def __post_init__(self) -> None:
        counts = (
            self.train_every,
            self.updates_per_train,
            self.target_every,
            self.checkpoint_every,
        )
        if min(counts) < 1 or min(self.learning_starts, self.evaluate_every) < 0:
            msg = f"a period below 1 or a negative number of steps in {self}"
            raise ValueError(msg)
        if self.target_unit not in ("episodes", "steps"):
            msg = f"target_unit {self.target_unit!r}; needed episodes or steps"
            raise ValueError(msg)

    def count_updates(self, steps: int) -> int:
        """Return the updates of a run of so many environment steps."""
        bursts = steps // self.train_every - self.learning_starts // self.train_every
        return max(0, bursts) * self.updates_per_train


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How the loop measures the agent, for choosing the weights to keep; not for the final figure.

    Attributes:
        make_environment: gives a new environment.
        episodes: played each time, always the same ones, so that two evaluations can be compared.
        seed: of the first one. The final figure needs others, or the choice would flatter it.
    """

    make_environment: Callable[[], Environment]
    episodes: int = 10
    seed: int = 1_000_000


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """What came of it."""

    reason: StopReason  # why it ended
    episodes: int
    steps: int
    updates: int
    best_return: float | None  # mean return of the best evaluation; None: there was none
    best_episode: int | None
    best_path: Path | None  # of the agent at that moment, for `load`


@dataclass(slots=True)
class _Counters:
    """What changes during a run and is neither agent nor generator."""

    episode: int = 0
    step: int = 0
    updates: int = 0
    evaluated_at: int = 0  # step
    saved_at: int = 0  # step
    best_return: float | None = None
    best_episode: int | None = None
    goal_reached: bool = False


def train(
    agent: TrainableAgent,
    environment: Environment,
    *,
    rng: np.random.Generator,
    episodes: int | None = None,
    steps: int | None = None,
    settings: TrainingSettings | None = None,
    evaluation: Evaluation | None = None,
    run_folder: Path | None = None,
    log: RunLog | None = None,
    listeners: Sequence[Listener] = (),
    should_stop: Callable[[], bool] | None = None,
    checkpoint: RunCheckpoint | None = None,
) -> TrainingResult:
    """Train the agent and return the figures of the run.

    A run ends with an episode: the one in which `steps` is reached is played to its end, because only between
    episodes can a run be continued exactly. The environment needs a time limit for that.

    Args:
        agent: trained in place.
        environment: reset with a seed at every episode. If it (unwrapped) has `state_dict` and `load_state_dict`,
            for what outlives an episode, they go into the checkpoints.
        rng: exploration, samples and the seeds of the episodes.
        episodes: of the whole run, earlier processes included.
        steps: environment steps of the whole run; at least one of the two budgets is needed.
        settings: how to train.
        evaluation: how to choose the best weights; None: no evaluations.
        run_folder: gets checkpoints and the best agent; None: nothing is written.
        log: its position goes into the checkpoints; also a listener.
        listeners: hear of every episode and evaluation.
        should_stop: asked after every episode.
        checkpoint: to go on from. The caller has loaded the agent from it and opened the log at its position;
            memory, generator and environment are restored here.

    Raises:
        ValueError: No budget is given, or the agent lacks what the loop or the settings need.
        RunCheckpointError: The checkpoint does not fit.
    """
    if episodes is None and steps is None:
        msg = "no budget: give episodes, steps or both"
        raise ValueError(msg)
    settings = settings or TrainingSettings()
    check_trainable(agent, settings)
    run = _Run(agent, environment, rng, settings, evaluation, run_folder, log, listeners)
    if checkpoint is not None:
        run.restore(checkpoint)
    reason = run.stop_reason(episodes, steps, should_stop)
    while reason is None:
        run.record_episode(run.play_episode())
        reason = run.stop_reason(episodes, steps, should_stop)
    if run.counters.saved_at < run.counters.step:
        run.save()
    return run.result(reason)


@dataclass(slots=True)
class _Run:
    """One call of `train`: the arguments, and what has been counted."""

    agent: TrainableAgent
    environment: Environment
    rng: np.random.Generator
    settings: TrainingSettings
    evaluation: Evaluation | None
    run_folder: Path | None
    log: RunLog | None
    listeners: Sequence[Listener]
    counters: _Counters = field(default_factory=_Counters)
    replaying: Replaying | None = field(init=False)  # the agent, if it learns from its memory
    exploring: Exploring | None = field(init=False)  # the agent, if it has an exploration rate

    def __post_init__(self) -> None:
        # Asked once: the look at every member of a protocol would cost more than a quick agent's step.
        self.replaying = self.agent if isinstance(self.agent, Replaying) else None
        self.exploring = self.agent if isinstance(self.agent, Exploring) else None

    def stop_reason(
        self, episodes: int | None, steps: int | None, should_stop: Callable[[], bool] | None
    ) -> StopReason | None:
        """Return why no further episode is played, or None."""
        counters = self.counters
        if counters.goal_reached:
            return "goal"
        if (episodes is not None and counters.episode >= episodes) or (
            steps is not None and counters.step >= steps
        ):
            return "budget"
        return "interrupted" if should_stop is not None and should_stop() else None

    def play_episode(self) -> EpisodeFigures:
        """Play and learn until the environment ends the episode."""
        agent, counters, settings = self.agent, self.counters, self.settings
        shown, _ = self.environment.reset(seed=int(self.rng.integers(2**31 - 1)))
        total, length, losses = 0.0, 0, list[float]()
        ended = False
        while not ended:
            # The environment may put the next observation into the same array.
            observation = copy.copy(shown)
            if settings.exploration is not None and self.exploring is not None:
                self.exploring.epsilon = settings.exploration(counters.step)
            action = int(agent.act(observation, self.rng, explore=True))
            shown, reward, terminated, truncated, _ = self.environment.step(action)
            # A time limit is no end of the task: the value of the next state still counts.
            agent.remember(observation, action, float(reward), shown, bool(terminated))
            ended = bool(terminated or truncated)
            total += float(reward)
            length += 1
            counters.step += 1
            self._learn(losses)
            if settings.target_unit == "steps" and counters.step % settings.target_every == 0:
                self._update_target()
        self._learn_from_episode(losses)
        if settings.target_unit == "episodes" and counters.episode % settings.target_every == 0:
            self._update_target()
        counters.episode += 1
        loss = float(np.mean(losses)) if losses else None
        epsilon = None if self.exploring is None else float(self.exploring.epsilon)
        return EpisodeFigures(counters.episode, counters.step, total, length, loss, epsilon)

    def record_episode(self, figures: EpisodeFigures) -> None:
        """Record the episode, then evaluate and save where it is time."""
        counters, settings = self.counters, self.settings
        row = {
            "rewards": figures.episode_return,
            "lengths": float(figures.length),
            # As the agent's own `replay` says it: no update, no loss.
            "losses": figures.loss or 0.0,
        }
        if figures.epsilon is not None:
            row["epsilons"] = figures.epsilon
        history: dict[str, list[float]] = getattr(self.agent, "history", {})
        for name, value in row.items():
            history.setdefault(name, []).append(value)
        for listener in self._listeners():
            listener.on_episode(figures)
        if (
            self.evaluation is not None
            and settings.evaluate_every
            and counters.step - counters.evaluated_at >= settings.evaluate_every
        ):
            self._evaluate(self.evaluation)
        if counters.step - counters.saved_at >= settings.checkpoint_every:
            self.save()

    def save(self) -> None:
        """Write a checkpoint, and forget the agents that were best before."""
        if self.run_folder is None:
            return
        self.counters.saved_at = self.counters.step
        state = {
            "counters": asdict(self.counters),
            "random": self.rng.bit_generator.state,
            "environment": self._environment_state(),
            "log": self.log.position() if self.log is not None else None,
        }
        episode = self.counters.episode
        memory = None if self.replaying is None else self.replaying.memory
        write_run_checkpoint(self.run_folder, episode, agent=self.agent, memory=memory, state=state)
        for folder in self.run_folder.glob(f"{BEST_PREFIX}*"):
            # A later one than the checkpoint's cannot be there: it would have become the best.
            if folder != self._best_folder():
                shutil.rmtree(folder)

    def restore(self, checkpoint: RunCheckpoint) -> None:
        """Go back to where the checkpoint was written. Raises RunCheckpointError if it does not fit."""
        if self.replaying is not None:
            checkpoint.restore_memory(self.replaying.memory)
        checkpoint.restore_generator(self.rng)
        try:
            self.counters = _Counters(**checkpoint.state["counters"])
            stored = checkpoint.state["environment"]
        except (KeyError, TypeError) as error:
            msg = f"{checkpoint.folder}: its state is incomplete: {error}"
            raise RunCheckpointError(msg) from error
        load = getattr(_unwrap(self.environment), "load_state_dict", None)
        if (stored is None) != (load is None):
            msg = f"{checkpoint.folder}: written for another environment than {_unwrap(self.environment)}"
            raise RunCheckpointError(msg)
        if load is not None:
            load(stored)

    def result(self, reason: StopReason) -> TrainingResult:
        """Return the figures so far."""
        counters, folder = self.counters, self._best_folder()
        return TrainingResult(
            reason=reason,
            episodes=counters.episode,
            steps=counters.step,
            updates=counters.updates,
            best_return=counters.best_return,
            best_episode=counters.best_episode,
            best_path=folder / AGENT_NAME if folder is not None else None,
        )

    def _learn(self, losses: list[float]) -> None:
        """Do the updates that are due after this step and add their mean loss."""
        settings, agent = self.settings, self.replaying
        step = self.counters.step
        if agent is None or step <= settings.learning_starts or step % settings.train_every:
            return
        if len(agent.memory) < agent.batch_size:
            return
        count = settings.updates_per_train
        update_many = getattr(agent, "update_many", None)
        if count > 1 and update_many is not None:
            losses.append(float(update_many(count, self.rng)))
        else:
            losses.append(sum(float(agent.replay(self.rng)) for _ in range(count)) / count)
        self.counters.updates += count

    def _learn_from_episode(self, losses: list[float]) -> None:
        """Let the agent learn from the episode that has ended, if it does, and add the loss."""
        finish: Callable[[np.random.Generator], float | None] | None
        finish = getattr(self.agent, "finish_episode", None)
        loss = None if finish is None else finish(self.rng)
        if loss is not None:
            losses.append(float(loss))
            self.counters.updates += 1

    def _update_target(self) -> None:
        """Copy the online network into the target network of an agent that has one."""
        update: Callable[[], None] | None = getattr(self.agent, "update_target", None)
        if update is not None:
            update()

    def _evaluate(self, evaluation: Evaluation) -> None:
        """Play greedy episodes and keep the agent if it is the best so far."""
        counters = self.counters
        returns = play_episodes(
            self.agent,
            evaluation.make_environment,
            episodes=evaluation.episodes,
            seed=evaluation.seed,
        )
        mean = float(returns.mean())
        counters.evaluated_at = counters.step
        figures = EvaluationFigures(
            episode=counters.episode,
            step=counters.step,
            episodes=len(returns),
            mean_return=mean,
            deviation=float(returns.std()),
            minimum=float(returns.min()),
            maximum=float(returns.max()),
        )
        if counters.best_return is None or mean > counters.best_return:
            counters.best_return, counters.best_episode = mean, counters.episode
            folder = self._best_folder()
            if folder is not None:
                write_folder(folder, lambda path: self.agent.save(path / AGENT_NAME))
        counters.goal_reached = self.settings.goal is not None and mean >= self.settings.goal
        for listener in self._listeners():
            listener.on_evaluation(figures)

    def _best_folder(self) -> Path | None:
        if self.run_folder is None or self.counters.best_episode is None:
            return None
        return self.run_folder / f"{BEST_PREFIX}{self.counters.best_episode:06d}"

    def _listeners(self) -> tuple[Listener, ...]:
        return (self.log, *self.listeners) if self.log is not None else tuple(self.listeners)

    def _environment_state(self) -> Any:  # noqa: ANN401  plain data of the environment's choice
        save = getattr(_unwrap(self.environment), "state_dict", None)
        return save() if save is not None else None


def _unwrap(environment: Environment) -> object:
    return getattr(environment, "unwrapped", environment)
