"""What a person sees of a training run: facts at the start, a progress bar on a terminal, the result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

import typer

from experience.logs import EpisodeFigures, EvaluationFigures

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from parity_tests.train_plan import RunPlan

_LABEL_WIDTH = 12


class Display:
    """Shows a run while it is under way; a bar only if standard error is a terminal.

    Args:
        plan: of the run.
        shown: False: nothing at all is shown.
    """

    def __init__(self, plan: RunPlan, *, shown: bool) -> None:
        self._plan, self._shown = plan, shown
        self._best: float | None = None
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        """Return the display itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.stop()

    def on_start(self, facts: Mapping[str, Any]) -> None:
        """Print what is being trained, and where the run goes on if it does."""
        if not self._shown:
            return
        plan = self._plan
        place = plan.dataset or plan.environment
        what = f"{plan.pair} on {place}, {plan.framework}, seed {plan.seed}"
        _print("train", f"{what}, {_format_budget(plan)}")
        _print("device:", str(facts["device"]))
        if facts.get("how_updates_run"):
            _print("updates", str(facts["how_updates_run"]))
        _print("run folder", str(facts["run_folder"]))
        resumed = facts.get("resumed_at")
        if resumed:
            _print("resumed at", f"episode {resumed['episode']:,}, step {resumed['step']:,}")
        self._start_bar()

    def on_episode(self, figures: EpisodeFigures) -> None:
        """Move the bar."""
        if self._bar is None or self._task is None:
            return
        done = figures.step if self._plan.steps is not None else figures.episode
        best = "" if self._best is None else f"  best evaluation {self._best:.1f}"
        epsilon = "" if figures.epsilon is None else f"  epsilon {figures.epsilon:.3f}"
        text = f"episode {figures.episode}  return {figures.episode_return:.1f}{epsilon}{best}"
        self._bar.update(self._task, completed=done, description=text)

    def on_evaluation(self, figures: EvaluationFigures) -> None:
        """Remember the best figure for the bar."""
        if self._best is None or figures.mean_return > self._best:
            self._best = figures.mean_return

    def _start_bar(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        console = Console(stderr=True)
        if not console.is_terminal:
            return
        columns = (
            BarColumn(20),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
        )
        self._bar = Progress(*columns, console=console, transient=True)
        total = self._plan.steps if self._plan.steps is not None else self._plan.episodes
        self._task = self._bar.add_task("", total=total)
        self._bar.start()


def format_result(result: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the lines of a result as label and text."""
    reasons = {"goal": "; the goal is reached", "interrupted": "; interrupted", "budget": ""}
    figures = (
        f"{result['episodes']:,} episodes, {result['steps']:,} steps, {result['updates']:,} updates"
    )
    yield "trained", f"{figures} in {result['seconds']:.0f} s{reasons[result['reason']]}"
    if result["best_return"] is not None:
        chosen = f"mean return {result['best_return']:.1f} in {result['plan']['evaluation_episodes']} episodes"
        yield "best", f"episode {result['best_episode']:,}: {chosen}; these weights are kept"
    if "mean_return" not in result:
        return
    mean = f"mean {result['mean_return']:.1f}, deviation {result['deviation']:.1f}"
    span = f"{result['minimum']:.1f} to {result['maximum']:.1f}"
    yield (
        "evaluation",
        f"{result['final_episodes']} greedy episodes with seeds of their own: {mean}, {span}",
    )
    yield "wrote", " ".join(result["agent"])


def format_verdict(result: Mapping[str, Any]) -> str:
    """Return the last line: what was reached, measured by what the environment calls solved."""
    if "mean_return" not in result:
        return f"DONE   {result['updates']:,} updates; no environment to evaluate in, name one with --env"
    figure = f"mean return {result['mean_return']:.1f} over {result['final_episodes']} episodes"
    if result["solved"] is None:
        return f"DONE   {figure}; {result['plan']['environment']} names no threshold"
    if result["solved"]:
        return f"PASS   {figure}; solved from {result['threshold']:g}"
    return f"NOT SOLVED   {figure}; solved from {result['threshold']:g}"


def _format_budget(plan: RunPlan) -> str:
    budgets = ((plan.steps, "steps"), (plan.episodes, "episodes"))
    return "at most " + " or ".join(
        f"{number:,} {unit}" for number, unit in budgets if number is not None
    )


def _print(label: str, text: str) -> None:
    typer.echo(f"{label:<{_LABEL_WIDTH}}{text}")
