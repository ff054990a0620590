"""What a run of the RRD suite shows and writes: a table per cycle, a text log, TensorBoard, the returns of its tests.

Files lie where the original puts them, under one log folder: text/<name>-(<date>).log, board/<name>/debug,
rews[/<tag>]/<name>/<env>.npz with the key `info`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import numpy as np

from experience.arguments import Arguments
from experience.logs import TensorBoardWriter

Echo = Callable[[str], None]


@dataclass(slots=True)
class Averages:
    """Means of figures by name, in the order in which they came first."""

    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, figures: Mapping[str, float]) -> None:
        """Count one value of each figure."""
        for name, value in figures.items():
            self.sums[name] = self.sums.get(name, 0.0) + float(value)
            self.counts[name] = self.counts.get(name, 0) + 1

    def means(self) -> dict[str, float]:
        """Return the mean of each figure."""
        return {name: total / self.counts[name] for name, total in self.sums.items()}

    def clear(self) -> None:
        """Begin anew."""
        self.sums.clear()
        self.counts.clear()


class SuiteLog:
    """The files of one run.

    Args:
        arguments: tag, name, env, log_folder, tensorboard, save_rews.
        echo: shows a line of text; None: nothing is shown.
        now: of the text log's name.
        text_name: of the text log that a resumed run goes on with; None: a new one.
        steps: environment steps so far, for TensorBoard.

    Raises:
        ImportError: TensorBoard is wanted and not installed.
    """

    def __init__(
        self,
        arguments: Arguments,
        *,
        echo: Echo | None = None,
        now: datetime | None = None,
        text_name: str | None = None,
        steps: int = 0,
    ) -> None:
        self._arguments, self._echo = arguments, echo
        folder = Path(arguments.log_folder)
        moment = (now or datetime.now()).strftime(
            "%Y-%m-%d-%H-%M-%S"
        )  # local time: a name for people
        self.text_name = text_name or f"{arguments.name}-({moment}).log"
        (folder / "text").mkdir(parents=True, exist_ok=True)
        self._board: TensorBoardWriter | None = None
        if arguments.tensorboard:
            board = folder / "board" / arguments.name / "debug"
            board.mkdir(parents=True, exist_ok=True)
            self._board = TensorBoardWriter(board, episode=steps)
        self._text = (folder / "text" / self.text_name).open("a", encoding="utf-8")

    def __enter__(self) -> Self:
        """Return the log itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the files."""
        self._text.close()
        if self._board is not None:
            self._board.close()

    def say(self, text: str) -> None:
        """Write lines into the text log, and show them."""
        self._text.write(text + "\n")
        self._text.flush()
        if self._echo is not None:
            self._echo(text)

    def show_arguments(self) -> None:
        """Write every argument into the text log."""
        for name, value in vars(self._arguments).items():
            self._text.write(f"{name}: {value}\n")
        self._text.flush()

    def show_cycle(
        self, rows: Mapping[str, str], figures: Mapping[str, float], *, steps: int
    ) -> None:
        """Write the table of a cycle, and its figures as TensorBoard scalars of the family `train`.

        Args:
            rows: counters, as they are shown.
            figures: averages over the cycle.
            steps: environment steps of the run.
        """
        shown = {**rows, **{name: f"{value:.5g}" for name, value in figures.items()}}
        self.say(format_table(shown))
        if self._board is not None:
            finite = {
                f"train/{name}": value for name, value in figures.items() if math.isfinite(value)
            }
            self._board.add_scalars(steps, finite)

    def write_returns(self, returns: list[tuple[int, float]]) -> Path | None:
        """Write the (environment step, mean return) of every test so far, if the arguments want it.

        Returns:
            The file, with one array `info` (tests, 2).
        """
        arguments = self._arguments
        if not arguments.save_rews:
            return None
        parts = ["rews", *([arguments.tag] if arguments.tag else []), arguments.name]
        folder = Path(arguments.log_folder).joinpath(*(part.replace("/", "-") for part in parts))
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{arguments.env.replace('/', '-')}.npz"
        arrays: dict[str, Any] = {"info": np.array(returns, np.float64).reshape(-1, 2)}
        np.savez(path, **arrays)
        return path


def format_table(rows: Mapping[str, str]) -> str:
    """Return the rows as two columns in a frame."""
    left = max(map(len, rows), default=0)
    right = max(map(len, rows.values()), default=0)
    line = f"+{'-' * (left + 2)}+{'-' * (right + 2)}+"
    body = [f"| {name:<{left}} | {value:>{right}} |" for name, value in rows.items()]
    return "\n".join([line, *body, line])
