"""A benchmark result as text for people: numbers with units, one table for the terminal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.compare import Verdict, best, compare, guide_style, judge
from benchmarks.learning import (
    format_gains,
    summarize_gains,
    summarize_learning,
    table_cells,
)
from benchmarks.measure import Spread, summarize
from benchmarks.results import BenchResult, Measurement, WorkloadResult

if TYPE_CHECKING:
    from rich.console import RenderableType

EQUAL_WITHIN = 0.02
"""Factors this near to 1 are shown as equal: medians of a shared machine do not resolve less."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a result table, ready to print; "" where there is nothing to say."""

    label: str
    framework: str
    variant: str
    median: str
    spread: str
    against_guide: str  # how many times better than fit + predict
    against_best: str  # how many times better than the best legacy style
    details: str
    problem: str
    leading: bool  # the best of its case


def format_value(value: float, unit: str) -> str:
    """Return a number in the scale people read it in: "3,120", "71 µs", "51,577 bytes"; rates carry no unit."""
    if unit == "bytes":
        return f"{value / 1e6:,.0f} MB" if value >= 10e6 else f"{value:,.0f} bytes"
    if unit.startswith("s"):
        return _format_seconds(value)
    return _three_digits(value)


def format_spread(spread: Spread, unit: str) -> str:
    """Return the middle half in the scale of the median: "68-73"; "" where every value was the same."""
    if spread.low == spread.high:
        return ""
    factor = 1.0
    if unit == "bytes":
        factor = 1e-6 if spread.median >= 10e6 else 1.0
    elif unit.startswith("s"):
        factor = _time_scale(spread.median)[0]
    low, high = spread.low * factor, spread.high * factor
    digits = _decimals(spread.median * factor)
    return f"{low:,.{digits}f} to {high:,.{digits}f}"


def format_factor(spread: Spread | None) -> str:
    """Return "3.1x", "0.42x", "1/78" or "1.0x"; "" for None."""
    if spread is None:
        return ""
    if abs(spread.median - 1) < EQUAL_WITHIN:
        return "1.0x"
    if spread.median < 0.1:
        return f"1/{1 / spread.median:,.0f}"
    return f"{_three_digits(spread.median, at_least=2)}x"


def unit_name(workload: WorkloadResult) -> str:
    """Return the unit where the numbers do not carry it themselves (rates), else ""."""
    return workload.unit if workload.better == "higher" else ""


def table_rows(workload: WorkloadResult, case: str) -> list[Row]:
    """Return the rows of one case, in the order in which they were measured."""
    guide = guide_style(workload, case)
    best_legacy = best(workload, case, "legacy")
    measured = [m for m in workload.measurements if m.case == case]
    winners = [best(workload, case, framework) for framework in ("legacy", "torch", "other")]
    ranked = [m for m in winners if m is not None]
    first = None
    if len(ranked) > 1:
        pick = max if workload.better == "higher" else min
        first = pick(ranked, key=lambda m: summarize(m.values).median)
    return [_row(workload, m, guide, best_legacy, leading=m is first) for m in measured]


def describe_verdict(verdict: Verdict) -> str:
    """Return one line: what was promised, what was found."""
    text = verdict.requirement.text
    # Below 1 the promise is a bound on how much longer something may take: say it in that direction.
    inverted = verdict.requirement.at_least < 1
    if verdict.factor is None:
        return f"{text}: not measured"
    found = 1 / verdict.factor.median if inverted else verdict.factor.median
    bound = 1 / verdict.requirement.at_least if inverted else verdict.requirement.at_least
    word = "at most" if inverted else "at least"
    state = "met" if verdict.met else "NOT MET"
    return f"{text}: {found:.2f}x, {word} {bound:.3g}x needed, {state}"


def describe_machine(result: BenchResult) -> str:
    """Return the first line of every report: machine, threads, versions."""
    facts = result.environment
    cores = facts.get("cores", "?")
    threads = facts.get("threads per process", "?")
    versions = [
        f"{name} {facts[name]}"
        for name in ("tensorflow", "keras", "torch")
        if facts.get(name, "not installed") != "not installed"
    ]
    plural = "" if threads == "1" else "s"
    return ", ".join([f"{cores} cores", "CPU only", f"{threads} thread{plural}", *versions])


def render_table(result: BenchResult, *, width: int | None = None) -> list[RenderableType]:
    """Return what the terminal shows, for `rich.Console.print`."""
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    repeats = result.settings.get("repeats", "?")
    parts: list[RenderableType] = [Text.assemble(("machine  ", "bold"), describe_machine(result))]
    if result.workloads:
        text = (
            f"median of {repeats} rounds and their middle half; vs: how many times better than the guide's "
            "style (fit + predict) and than TensorFlow's best"
        )
        parts.append(Text(text, "dim"))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), width=width, header_style="bold")
    table.add_column("", ratio=1, min_width=24, overflow="fold")
    for heading in ("median", "middle half", "vs guide", "vs best TF"):
        table.add_column(heading, justify="right", no_wrap=True)
    for workload in result.workloads:
        for case in workload.cases():
            heading = ", ".join(part for part in (workload.name, case, unit_name(workload)) if part)
            table.add_row(Text(""))
            table.add_row(Text(heading, "bold cyan"))
            for row in table_rows(workload, case):
                table.add_row(*_cells(row))
    if result.workloads:
        parts.append(table)
    parts.extend(_learning(result))
    lines = [describe_verdict(verdict) for w in result.workloads for verdict in judge(w)]
    if lines:
        parts.append(Text())
    for line in lines:
        style = "red" if "NOT MET" in line else "green" if line.endswith("met") else "yellow"
        parts.append(Text.from_markup(f"[{style}]{escape(line)}[/]"))
    return parts


def _learning(result: BenchResult) -> list[RenderableType]:
    """Return what the runs of each task reached, and what return decomposition gained; [] without any that name their task."""
    from rich.table import Table
    from rich.text import Text

    (_, *head), *rows = table_cells(summarize_learning(result.curves))
    parts: list[RenderableType] = []
    for task in dict.fromkeys(row[0] for row in rows):
        table = Table(*head, box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        for row in rows:
            if row[0] == task:
                table.add_row(*row[1:])
        parts += [Text(), Text(task, "bold cyan"), table]
    lines = format_gains(summarize_gains(result.curves))
    return [*parts, *(Text(f"\n{line}") for line in lines)]


def _cells(row: Row) -> list[RenderableType]:
    from rich.text import Text

    style = "bold" if row.leading else ""
    label = Text("  " + row.label, style)
    if row.problem:
        label.append(f"\n    {row.problem}", "yellow")
        return [label]
    return [
        label,
        Text(row.median, style),
        Text(row.spread, "dim"),
        Text(row.against_guide),
        Text(row.against_best),
    ]


def _row(
    workload: WorkloadResult,
    measurement: Measurement,
    guide: Measurement | None,
    best_legacy: Measurement | None,
    *,
    leading: bool,
) -> Row:
    details = ", ".join(_detail(name, value) for name, value in measurement.details.items())
    empty = Row(
        measurement.label, measurement.framework, measurement.variant, "", "", "", "", details,
        measurement.problem or "", leading=False,
    )  # fmt: skip
    if not measurement.values:
        return empty
    spread = summarize(measurement.values)
    return Row(
        label=measurement.label,
        framework=measurement.framework,
        variant=measurement.variant,
        median=format_value(spread.median, workload.unit),
        spread=format_spread(spread, workload.unit),
        against_guide=_factor(workload, guide, measurement),
        against_best=_factor(workload, best_legacy, measurement),
        details=details,
        problem="",
        leading=leading,
    )


def _factor(workload: WorkloadResult, reference: Measurement | None, found: Measurement) -> str:
    if reference is None or reference is found or workload.name == "size":
        return ""  # of file formats no one is the other's successor
    return format_factor(compare(reference, found, better=workload.better))


def _detail(name: str, value: str | float) -> str:
    if isinstance(value, str):
        return f"{name} {value}"
    return f"{value:,} {name}" if isinstance(value, int) else f"{_three_digits(value)} {name}"


def _format_seconds(value: float) -> str:
    factor, name = _time_scale(value)
    return f"{_three_digits(value * factor)} {name}"


def _time_scale(seconds: float) -> tuple[float, str]:
    if seconds >= 1:
        return 1.0, "s"
    return (1e3, "ms") if seconds >= 1e-3 else (1e6, "µs")


def _decimals(value: float) -> int:
    magnitude = abs(value)
    if magnitude >= 100:
        return 0
    return 1 if magnitude >= 10 else 2


def _three_digits(value: float, *, at_least: int = 3) -> str:
    """Return the value with about three significant digits and thousands separators."""
    decimals = _decimals(value)
    if at_least < 3:
        decimals = max(decimals - (1 if abs(value) >= 1 else 0), 0)
    return f"{value:,.{decimals}f}"
