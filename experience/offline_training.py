"""Training on recorded data: draw a batch, update, copy the target network where it is due, write down, save.

One loop for the offline agents of both frameworks. Everything random comes from one generator and from the agent's own,
both of which are in the checkpoints, so a resumed run equals an uninterrupted one bit by bit.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from experience.offline_data import ReplayBuffer
from experience.run_checkpoints import (
    AGENT_NAME,
    CHECKPOINT_FOLDER,
    STATE_NAME,
    RunCheckpointError,
    write_folder,
)

METRICS_NAME = "metrics.jsonl"
STATE_VERSION = 1
Figures = Mapping[str, float]


class OfflineLearner(Protocol):
    """What the loop asks of an agent; all of `torch_impl/offline_*.py` and `legacy_tf/offline_*.py` have it."""

    settings: dict[str, Any]  # Any: see `experience.offline_settings.Settings`

    def update_many(
        self,
        buffer: ReplayBuffer,
        count: int,
        generator: np.random.Generator,
        batch_size: int | None = None,
    ) -> dict[str, float]:
        """Do several updates on random batches and return the means of their figures."""
        ...

    def update_target_network(self) -> None:
        """Copy the trained networks into their targets."""
        ...

    def save(self, path: Path) -> None:
        """Write everything but the data."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OfflineSettings:
    """How the loop trains.

    Raises:
        ValueError: A period is below 1.
    """

    batch_size: int | None = None  # None: the agent's own
    # Updates between two copies of the target network: after updates freq, 2 freq, ..., as in the notebook that the
    # migration guide describes ((step + 1) % freq == 0). None: the agent's own; agents whose targets follow
    # softly take none.
    target_update_freq: int | None = None
    # Copies after updates 1, freq + 1, 2 freq + 1, ... instead: the guide's own loop and d3rlpy count from 0 and
    # copy where step % freq == 0.
    copy_first: bool = False
    log_every: int = 1_000  # updates
    checkpoint_every: int = 5_000  # updates
    evaluate_every: int = 0  # updates; 0: never

    def __post_init__(self) -> None:
        given = (self.batch_size, self.target_update_freq, self.log_every, self.checkpoint_every)
        if min(number for number in given if number is not None) < 1 or self.evaluate_every < 0:
            msg = f"a number below 1 in {self}"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class OfflineResult:
    """What came of it.

    Attributes:
        reason: why it ended.
        updates: of the whole run.
        history: rows of metrics.jsonl that this call wrote: "step" and figures.
    """

    reason: Literal["budget", "interrupted"]
    updates: int
    history: list[dict[str, float]]


@dataclass(frozen=True, slots=True)
class OfflineCheckpoint:
    """A whole checkpoint on disk; the caller loads the agent from `agent_path`."""

    folder: Path
    updates: int
    generator: Mapping[str, Any]  # Any: state of a numpy generator
    seconds: float

    @property
    def agent_path(self) -> Path:
        """What the agent's `load` takes."""
        return self.folder / AGENT_NAME


def train_offline(
    agent: OfflineLearner,
    buffer: ReplayBuffer,
    *,
    steps: int = 10_000,
    generator: np.random.Generator,
    settings: OfflineSettings | None = None,
    evaluate: Callable[[], Figures] | None = None,
    run_folder: Path | None = None,
    on_figures: Callable[[Mapping[str, float]], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    checkpoint: OfflineCheckpoint | None = None,
) -> OfflineResult:
    """Train the agent on the buffer and return the figures of the run.

    Args:
        agent: trained in place.
        buffer: drawn from.
        steps: updates of the whole run, earlier processes included.
        generator: draws the batches.
        settings: how to train.
        evaluate: returns figures of the agent, every `evaluate_every` updates.
        run_folder: gets metrics.jsonl and checkpoints; None: nothing is written.
        on_figures: hears every row of the log.
        should_stop: asked where a period ends.
        checkpoint: to go on from; the caller has loaded the agent from it, the generator is restored here.

    Raises:
        ValueError: There is nothing to do, evaluations are asked for without `evaluate`, or copies of the target network
            for an agent that never copies one.
    """
    settings = settings or OfflineSettings()
    if settings.target_update_freq is not None and "target_update_freq" not in agent.settings:
        tau = agent.settings.get("tau")
        why = (
            "has no target network"
            if tau is None
            else f"moves its targets with every update (tau {tau})"
        )
        msg = f"target_update_freq {settings.target_update_freq}: the agent {why}; leave it out"
        raise ValueError(msg)
    if steps < 1 or (settings.evaluate_every and evaluate is None):
        msg = f"{steps} steps, an evaluation every {settings.evaluate_every}; needed at least 1 step, and evaluate"
        raise ValueError(msg)
    run = _Run(agent, buffer, generator, settings, evaluate, run_folder, on_figures)
    if checkpoint is not None:
        run.restore(checkpoint)
    run.begin()
    while run.done < steps:
        if run.history and should_stop is not None and should_stop():
            break
        run.advance(min(run.next_end(settings.log_every), steps))
    if run_folder is not None and run.saved_at != run.done:
        run.save()
    reason: Literal["budget", "interrupted"] = "budget" if run.done >= steps else "interrupted"
    return OfflineResult(reason, run.done, run.history)


@dataclass(slots=True)
class _Run:
    """One call of `train_offline`: the arguments, and what has been counted."""

    agent: OfflineLearner
    buffer: ReplayBuffer
    generator: np.random.Generator
    settings: OfflineSettings
    evaluate: Callable[[], Figures] | None
    run_folder: Path | None
    on_figures: Callable[[Mapping[str, float]], None] | None
    done: int = 0
    saved_at: int = 0
    seconds_before: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    started: float = field(default_factory=time.perf_counter)

    def begin(self) -> None:
        """Make the folder; rows of the log behind what is done are cut off."""
        if self.run_folder is not None:
            self.run_folder.mkdir(parents=True, exist_ok=True)
            _cut_log(self.run_folder / METRICS_NAME, self.done)

    def restore(self, checkpoint: OfflineCheckpoint) -> None:
        """Go on where the checkpoint was written."""
        try:
            self.generator.bit_generator.state = dict(checkpoint.generator)
        except (KeyError, TypeError, ValueError) as error:
            msg = f"{checkpoint.folder / STATE_NAME}: not the state of a generator: {error}"
            raise RunCheckpointError(msg) from error
        self.done = self.saved_at = checkpoint.updates
        self.seconds_before = checkpoint.seconds

    def next_end(self, period: int) -> int:
        """Return the first multiple of the period above what is done."""
        return (self.done // period + 1) * period

    def advance(self, end: int) -> None:
        """Train up to update `end`, then log, evaluate and save where it is time."""
        settings, first = self.settings, self.done
        sums: dict[str, list[float]] = {}
        while self.done < end:
            count = self._next_copy(end) - self.done
            figures = self.agent.update_many(
                self.buffer, count, self.generator, settings.batch_size
            )
            for name, value in figures.items():
                sums.setdefault(name, []).append(value * count)
            self.done += count
            if self._copies_at(self.done):
                self.agent.update_target_network()
        row = {name: sum(values) / (end - first) for name, values in sums.items()}
        if self.evaluate is not None and self._passed(first, settings.evaluate_every):
            row |= self.evaluate()
        self._record({"step": end, **row})
        if self.run_folder is not None and self._passed(first, settings.checkpoint_every):
            self.save()

    def save(self) -> None:
        """Write a checkpoint, then remove the older ones."""
        if self.run_folder is None:
            return
        self.saved_at = self.done
        state = {
            "state_version": STATE_VERSION,
            "updates": self.done,
            "generator": self.generator.bit_generator.state,
            "seconds": self._seconds(),
        }

        def write(folder: Path) -> None:
            self.agent.save(folder / AGENT_NAME)
            text = json.dumps(state, indent=1, sort_keys=True)
            (folder / STATE_NAME).write_text(text + "\n", encoding="utf-8")

        parent = self.run_folder / CHECKPOINT_FOLDER
        final = write_folder(parent / f"update-{self.done:09d}", write)
        for other in parent.glob("update-*"):
            if other != final:
                shutil.rmtree(other)

    def _frequency(self) -> int | None:
        given = self.settings.target_update_freq
        found: int | None = (
            self.agent.settings.get("target_update_freq") if given is None else given
        )
        return found

    def _copies_at(self, number: int) -> bool:
        """Return whether the target network is copied after update `number`, counted from 1."""
        frequency = self._frequency()
        shift = 1 if self.settings.copy_first else 0
        return frequency is not None and (number - shift) % frequency == 0

    def _next_copy(self, end: int) -> int:
        """Return the next update after which the target network is copied, at most `end`."""
        frequency = self._frequency()
        if frequency is None:
            return end
        shift = 1 if self.settings.copy_first else 0
        return min(end, ((self.done - shift) // frequency + 1) * frequency + shift)

    def _passed(self, first: int, period: int) -> bool:
        return bool(period) and self.done // period > first // period

    def _record(self, row: dict[str, float]) -> None:
        self.history.append(row)
        if self.on_figures is not None:
            self.on_figures(row)
        if self.run_folder is not None:
            line = json.dumps({**row, "seconds": round(self._seconds(), 3)})
            with (self.run_folder / METRICS_NAME).open("a", encoding="utf-8") as file:
                file.write(line + "\n")

    def _seconds(self) -> float:
        return self.seconds_before + time.perf_counter() - self.started


def read_offline_checkpoint(run_folder: Path) -> OfflineCheckpoint:
    """Return the latest checkpoint of a run.

    Raises:
        RunCheckpointError: There is none, or it cannot be read.
    """
    folders = sorted((run_folder / CHECKPOINT_FOLDER).glob("update-*"))
    if not folders:
        msg = f"{run_folder}: no checkpoint in it; the run ended before the first one was written"
        raise RunCheckpointError(msg)
    path = folders[-1] / STATE_NAME
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        if state["state_version"] != STATE_VERSION:
            msg = f"version {state['state_version']}; this torchward reads {STATE_VERSION}"
            raise ValueError(msg)
        found = OfflineCheckpoint(
            folders[-1], int(state["updates"]), dict(state["generator"]), float(state["seconds"])
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f"{path}: cannot be read: {error}"
        raise RunCheckpointError(msg) from error
    return found


def _cut_log(path: Path, last: int) -> None:
    """Remove all rows behind update `last`."""
    if not path.exists():
        return
    lines = path.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if json.loads(line)["step"] <= last]
    path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
