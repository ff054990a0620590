"""Learning curves in groups: what each algorithm reached in a task on both frameworks, and whether they differ.

Runs of one group differ in framework and seed only. What is compared is the mean of a run's last evaluations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.curves import LABELS
from benchmarks.results import Curve
from benchmarks.seed_statistics import (
    Interval,
    bootstrap_interval,
    permutation_p_value,
    welch_interval,
)

FINAL_EVALUATIONS = 4
"""The last few of a run, averaged: a single one of five episodes says little."""
FRAMEWORKS = LABELS
"""Names and labels, in the order in which they are shown."""
DECOMPOSED = "RRD-"
SIGNIFICANCE = 0.05
BOUND_SHARE = 0.1
"""Frameworks count as equal if they certainly differ by less than this share of what the best algorithm learnt in the task
(final - first return)."""

METHOD = (
    f"A run counts with the mean of its last {FINAL_EVALUATIONS} tests. In brackets are 95 % bootstrap intervals of the mean over "
    "the seeds. p is of the exact permutation test of equal means. The last interval is Welch's, of PyTorch minus TensorFlow: "
    f"where all of it lies within {BOUND_SHARE:.0%} of what the task's best algorithm learnt (the bound), the frameworks are equivalent, by two "
    f"one-sided tests at {SIGNIFICANCE:.0%}; where p is below {SIGNIFICANCE}, they differ (of ten groups one will, in two tables of five, by chance alone)."
)
COLUMNS = (
    "task", "algorithm", "steps", "seeds", "before", "TensorFlow", "PyTorch", "p", "difference, 90 %", "verdict",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reached:
    """What the runs of one framework reached.

    Attributes:
        finals: one a seed.
        interval: bootstrap interval of their mean, 95 %.
    """

    finals: tuple[float, ...]
    interval: Interval

    @property
    def mean(self) -> float:
        """Mean over the seeds."""
        return float(np.mean(self.finals))


@dataclass(frozen=True, slots=True)
class Comparison:
    """Whether the final returns of both frameworks differ.

    Attributes:
        p_value: of the permutation test of equal means.
        interval: of mean(torch) - mean(legacy), 90 %, Welch.
        bound: differences below it are of no account.
    """

    p_value: float
    interval: Interval
    bound: float

    @property
    def verdict(self) -> str:
        """What can be said, in two words."""
        if self.p_value < SIGNIFICANCE:
            return "they differ"
        return "equivalent" if self.interval.is_within(self.bound) else "no difference found"


@dataclass(frozen=True, slots=True)
class LearningSummary:
    """One algorithm in one task.

    Attributes:
        reached: by framework, "legacy" first; a framework without runs is not there.
        first: mean of all first evaluations.
        steps: environment steps of the longest run.
        comparison: None without two runs of each framework.
    """

    task: str
    algorithm: str
    reached: dict[str, Reached]
    first: float
    steps: int
    comparison: Comparison | None


@dataclass(frozen=True, slots=True)
class Gain:
    """What return decomposition reached beyond its basis alone, on one framework.

    Attributes:
        interval: of the difference of the means, 95 %, Welch.
        p_value: of the permutation test of equal means.
    """

    task: str
    algorithm: str
    label: str
    interval: Interval
    p_value: float


def final_return(curve: Curve) -> float:
    """Return what a run reached: its own final evaluation, else the mean of its last ones."""
    if curve.final is not None:
        return curve.final
    return float(np.mean(curve.returns[-FINAL_EVALUATIONS:]))


def grouped(curves: Sequence[Curve]) -> dict[str, dict[str, list[Curve]]]:
    """Return the curves by task and algorithm, both in order of appearance."""
    groups: dict[str, dict[str, list[Curve]]] = {}
    for curve in curves:
        groups.setdefault(curve.task, {}).setdefault(curve.algorithm, []).append(curve)
    return groups


def summarize_learning(curves: Sequence[Curve]) -> list[LearningSummary]:
    """Return one summary for every task and algorithm; runs that do not name their task are left out."""
    summaries = []
    for task, algorithms in grouped(curves).items():
        if not task:
            continue
        # An algorithm that learns nothing would otherwise be held to a share of nothing.
        learnt = max(_learnt(members) for members in algorithms.values())
        summaries += [
            _summarize(task, algorithm, members, bound=BOUND_SHARE * learnt)
            for algorithm, members in algorithms.items()
        ]
    return summaries


def summarize_gains(curves: Sequence[Curve]) -> list[Gain]:
    """Return what return decomposition gained over its basis alone, wherever a task has runs of both."""
    gains = []
    for task, algorithms in grouped(curves).items():
        for algorithm, members in algorithms.items():
            basis = algorithms.get(algorithm.removeprefix(DECOMPOSED))
            if not task or basis is None or not algorithm.startswith(DECOMPOSED):
                continue
            for framework, label in FRAMEWORKS.items():
                alone, decomposed = (_finals(runs, framework) for runs in (basis, members))
                if min(len(alone), len(decomposed)) > 1:
                    interval = welch_interval(alone, decomposed, confidence=0.95)
                    p_value = permutation_p_value(alone, decomposed)
                    gains.append(Gain(task, algorithm, label, interval, p_value))
    return gains


def table_cells(summaries: Sequence[LearningSummary]) -> list[list[str]]:
    """Return head and rows: means with 95 % bootstrap intervals, and the tests."""
    rows = [list(COLUMNS)]
    for summary in summaries:
        compared = ["", "", ""]
        if summary.comparison is not None:
            found = summary.comparison
            compared = [
                f"{found.p_value:.2f}",
                f"{_range(found.interval)} (bound {_number(found.bound)})",
                found.verdict,
            ]
        reached = [_reached(summary.reached.get(name)) for name in FRAMEWORKS]
        seeds = dict.fromkeys(str(len(found.finals)) for found in summary.reached.values())
        named = [summary.task, summary.algorithm, f"{summary.steps:,}", " and ".join(seeds)]
        rows.append([*named, _number(summary.first), *reached, *compared])
    return rows


def format_table(summaries: Sequence[LearningSummary]) -> list[str]:
    """Return the lines of a Markdown table of `table_cells`."""
    head, *rows = table_cells(summaries)
    return [_line(row) for row in (head, ["---"] * len(head), *rows)]


def format_gains(gains: Sequence[Gain]) -> list[str]:
    """Return one line a gain."""
    return [
        f"{gain.algorithm} against {gain.algorithm.removeprefix(DECOMPOSED)} alone, {gain.task}, {gain.label}: "
        f"{_range(gain.interval)} more (95 %, Welch), p = {gain.p_value:.3f}"
        for gain in gains
    ]


def _summarize(
    task: str, algorithm: str, members: Sequence[Curve], *, bound: float
) -> LearningSummary:
    finals = {name: _finals(members, name) for name in FRAMEWORKS}
    comparison = None
    if min(len(values) for values in finals.values()) > 1:
        comparison = Comparison(
            permutation_p_value(finals["legacy"], finals["torch"]),
            welch_interval(finals["legacy"], finals["torch"]),
            bound,
        )
    return LearningSummary(
        task=task,
        algorithm=algorithm,
        reached={name: _reach(values) for name, values in finals.items() if values},
        first=_first(members),
        steps=int(max(curve.steps[-1] for curve in members)),
        comparison=comparison,
    )


def _finals(members: Sequence[Curve], framework: str) -> list[float]:
    return [final_return(curve) for curve in members if curve.framework == framework]


def _first(members: Sequence[Curve]) -> float:
    return float(np.mean([curve.returns[0] for curve in members]))


def _learnt(members: Sequence[Curve]) -> float:
    return abs(float(np.mean([final_return(curve) for curve in members])) - _first(members))


def _reach(finals: Sequence[float]) -> Reached:
    low, high = bootstrap_interval(finals)
    return Reached(tuple(finals), Interval(float(low), float(high)))


def _reached(reached: Reached | None) -> str:
    return "" if reached is None else f"{_number(reached.mean)} ({_range(reached.interval)})"


def _range(interval: Interval) -> str:
    return f"{_number(interval.low)} to {_number(interval.high)}"


def _number(value: float) -> str:
    """Return three digits or whole numbers, with a minus sign that is no hyphen."""
    digits = max(0, 2 - int(np.floor(np.log10(max(abs(value), 0.01)))))
    text = f"{value:,.{min(digits, 2)}f}"
    return text.replace("-", "\N{MINUS SIGN}") if float(text.replace(",", "")) else "0"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
