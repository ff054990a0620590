"""What a run writes down: progress.csv, metrics.jsonl and, on request, TensorBoard events.

The two text files can be cut back to an earlier length, so that a resumed run continues them without a seam.
"""

from __future__ import annotations

import csv
import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Protocol, Self, TextIO

CSV_NAME = "progress.csv"
JSON_LINES_NAME = "metrics.jsonl"
COLUMNS = ("episode", "step", "episode_return", "length", "loss", "epsilon")


@dataclass(frozen=True, slots=True)
class EpisodeFigures:
    """One finished episode of training."""

    episode: int  # counted from 1
    step: int  # environment steps of the run so far
    episode_return: float  # sum of rewards, not discounted
    length: int  # environment steps
    loss: float | None  # mean over the updates of this episode; None: there was none
    epsilon: float | None  # exploration rate after it; None: the agent has none


@dataclass(frozen=True, slots=True)
class EvaluationFigures:
    """Greedy episodes at one moment of training."""

    episode: int  # training episodes before it
    step: int  # environment steps of training before it
    episodes: int  # episodes played here
    mean_return: float
    deviation: float  # standard deviation over the episodes
    minimum: float
    maximum: float


class TensorBoardWriter:
    """Scalars as TensorBoard events, written without TensorFlow and without torch.

    Args:
        folder: gets one more events file.
        episode: where the run is; TensorBoard drops what an earlier file says about later episodes.

    Raises:
        ImportError: The package tensorboard is not installed; the message says what to type.
    """

    def __init__(self, folder: Path, *, episode: int = 0) -> None:
        # With this module present, tensorboard takes its own stub of TensorFlow's file functions instead of
        # importing TensorFlow for them (tensorboard 2.21.0, compat/__init__.py): six seconds and 700 MB.
        sys.modules.setdefault("tensorboard.compat.notf", ModuleType("tensorboard.compat.notf"))
        try:
            from tensorboard.compat.proto import event_pb2, summary_pb2
            from tensorboard.summary.writer.event_file_writer import EventFileWriter
        except ModuleNotFoundError as error:
            msg = f"TensorBoard files need the package {error.name}; install it with: pip install 'torchward[rl]'"
            raise ImportError(msg) from error
        self._events, self._summaries = event_pb2, summary_pb2
        self._writer = EventFileWriter(str(folder))
        started = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._writer.add_event(
            event_pb2.Event(wall_time=time.time(), step=episode, session_log=started)
        )

    def add_scalars(self, episode: int, scalars: Mapping[str, float]) -> None:
        """Write one value per tag."""
        values = [
            self._summaries.Summary.Value(tag=tag, simple_value=value)
            for tag, value in scalars.items()
        ]
        summary = self._summaries.Summary(value=values)
        self._writer.add_event(
            self._events.Event(wall_time=time.time(), step=episode, summary=summary)
        )

    def close(self) -> None:
        """Write out what is still in memory."""
        self._writer.close()


class Listener(Protocol):
    """Whoever wants to hear of the training: a log, a progress bar, a parent process."""

    def on_episode(self, figures: EpisodeFigures) -> None:
        """Take note of a finished episode."""
        ...

    def on_evaluation(self, figures: EvaluationFigures) -> None:
        """Take note of an evaluation."""
        ...


class RunLog:
    """The files of one run; a `Listener`.

    Seconds stand only in metrics.jsonl: progress.csv of two equal runs is equal byte by byte.

    Args:
        folder: must exist.
        tensorboard: also write events.
        position: from `position()` of an earlier process; later rows are cut off. None: begin anew.
        clock: gives seconds from any origin.

    Raises:
        ValueError: A file is shorter than its position says.
    """

    def __init__(
        self,
        folder: Path,
        *,
        tensorboard: bool = False,
        position: Mapping[str, float] | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._clock = clock
        position = position or {}
        self._episode = int(position.get("episode", 0))
        # First of all, because it may be missing: nothing is open or cut off then.
        self._tensorboard = (
            TensorBoardWriter(folder, episode=self._episode) if tensorboard else None
        )
        self._seconds_before = float(position.get("seconds", 0.0)) - clock()
        self._csv = _open_at(folder / CSV_NAME, int(position.get(CSV_NAME, 0)))
        self._lines = _open_at(folder / JSON_LINES_NAME, int(position.get(JSON_LINES_NAME, 0)))
        self._rows = csv.DictWriter(self._csv, COLUMNS, lineterminator="\n")
        if self._csv.tell() == 0:
            self._rows.writeheader()

    def __enter__(self) -> Self:
        """Return the log itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the files."""
        self.close()

    def seconds(self) -> float:
        """Return how long the run has taken, over all its processes."""
        return self._seconds_before + self._clock()

    def on_episode(self, figures: EpisodeFigures) -> None:
        """Add one row to every file."""
        row = asdict(figures)
        self._rows.writerow(row)
        self._csv.flush()
        self._write_line({"kind": "episode", **row})
        self._episode = figures.episode
        if self._tensorboard is not None:
            # The guide's names, and its counting from episode 0.
            scalars = {"Reward/Episode": figures.episode_return}
            if figures.epsilon is not None:
                scalars["Epsilon"] = figures.epsilon
            if figures.loss is not None:
                scalars["Loss/Episode"] = figures.loss
            self._tensorboard.add_scalars(figures.episode - 1, scalars)

    def on_evaluation(self, figures: EvaluationFigures) -> None:
        """Add one line to metrics.jsonl and one scalar."""
        self._write_line({"kind": "evaluation", **asdict(figures)})
        if self._tensorboard is not None:
            self._tensorboard.add_scalars(
                figures.episode - 1, {"Evaluation/Return": figures.mean_return}
            )

    def position(self) -> dict[str, float]:
        """Return where the files are, in bytes, and the seconds so far."""
        return {
            CSV_NAME: self._csv.tell(),
            JSON_LINES_NAME: self._lines.tell(),
            "seconds": self.seconds(),
            "episode": self._episode,
        }

    def close(self) -> None:
        """Close the files."""
        self._csv.close()
        self._lines.close()
        if self._tensorboard is not None:
            self._tensorboard.close()

    def _write_line(self, row: Mapping[str, object]) -> None:
        self._lines.write(json.dumps({**row, "seconds": round(self.seconds(), 3)}) + "\n")
        self._lines.flush()


def _open_at(path: Path, position: int) -> TextIO:
    """Return the file open for writing at `position` bytes, everything behind it gone."""
    size = path.stat().st_size if path.exists() else 0
    if position > size:
        msg = f"{path}: has {size} bytes, the checkpoint was written after {position}; it was changed since"
        raise ValueError(msg)
    file = path.open("r+" if position else "w", encoding="utf-8", newline="")
    file.seek(position)
    file.truncate()
    return file
