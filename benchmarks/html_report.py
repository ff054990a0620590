"""A benchmark result as one HTML file: no script, no network, the same input gives the same bytes.

What can be said is worked out here in Python; the template `report.html.j2` only arranges it. Labels may come from files
and packages, so the template escapes everything but the figures drawn here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.compare import best, compare, guide_style, judge
from benchmarks.figures import (
    axis_note,
    draw_curves,
    draw_learning,
    draw_measurements,
    mean_curve,
)
from benchmarks.learning import (
    METHOD,
    format_gains,
    grouped,
    summarize_gains,
    summarize_learning,
    table_cells,
)
from benchmarks.measure import Spread, summarize
from benchmarks.report import (
    Row,
    describe_machine,
    describe_verdict,
    format_factor,
    format_value,
    table_rows,
    unit_name,
)
from benchmarks.results import OPERATIONS, BenchResult, Curve, WorkloadResult
from benchmarks.settings import FULL_TRAINING_STEPS
from benchmarks.workloads import GUIDE_PAIR, is_guides

INSTALL_HINT = "the HTML report needs matplotlib and jinja2: pip install 'torchward[report]'"

LEARNING_CAPTION = (
    "Return of greedy test episodes over environment steps: mean over the seeds and its 95 % bootstrap interval; "
    "TensorFlow is dashed."
)


class ReportExtraError(RuntimeError):
    """matplotlib or jinja2 is not installed; the message is one line with the command."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawing and what it shows in words."""

    svg: str
    caption: str


@dataclass(frozen=True, slots=True)
class CaseView:
    """One case of a workload, ready to show."""

    name: str
    anchor: str
    figure: Figure | None
    rows: list[Row]
    has_factors: bool
    has_details: bool


@dataclass(frozen=True, slots=True)
class WorkloadView:
    """One workload, ready to show."""

    name: str
    title: str
    what: str
    unit_name: str
    cases: list[CaseView]
    verdicts: list[tuple[str, str]]  # ("met" | "missed" | "unknown", text)
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TaskView:
    """What was learnt in one task, ready to show."""

    task: str
    figure: Figure
    rows: list[list[str]]  # head first


@dataclass(frozen=True, slots=True)
class KeyFigure:
    """One of the few numbers at the top."""

    title: str
    value: str
    unit: str  # "" where the value carries it
    text: str


@dataclass(frozen=True, slots=True)
class Claim:
    """One line of the guide's performance table beside what was measured here."""

    what: str
    claimed: str
    measured: tuple[tuple[str, str], ...]  # (who, value)


def render_html(result: BenchResult) -> str:
    """Return the page.

    Raises:
        ReportExtraError: matplotlib or jinja2 is missing.
    """
    try:
        import jinja2
        import matplotlib as mpl
    except ModuleNotFoundError as error:
        raise ReportExtraError(INSTALL_HINT) from error
    del mpl  # only asked whether it is there: the figures import it where they draw
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    source = Path(__file__).with_name("report.html.j2").read_text(encoding="utf-8")
    return environment.from_string(source).render(
        result=result,
        machine=describe_machine(result),
        guides_pair=_of_guides_pair(result),
        key_figures=key_figures(result),
        claims=guide_claims(result),
        workloads=[view_workload(workload) for workload in result.workloads],
        curves=view_curves(result.curves),
        learning=view_learning(result.curves),
        learning_method=METHOD,
        gains=format_gains(summarize_gains(result.curves)),
        parity=parity_rows(result.parity),
    )


def view_workload(workload: WorkloadResult) -> WorkloadView:
    """Return everything the template shows of one workload."""
    states = {True: "met", False: "missed", None: "unknown"}
    return WorkloadView(
        name=workload.name,
        title=workload.title,
        what=workload.what,
        unit_name=unit_name(workload),
        cases=[_view_case(workload, case) for case in workload.cases()],
        verdicts=[(states[v.met], describe_verdict(v)) for v in judge(workload)],
        notes=workload.notes,
    )


def key_figures(result: BenchResult) -> list[KeyFigure]:
    """Return at most four figures: what PyTorch reaches, and how that compares with the legacy side."""
    titles = {
        "updates": None,  # its own title says of what
        "training": "Training step",
        "inference": "One action",
        "startup": "Start to first step",
        "memory": "Peak memory",
    }
    figures = []
    for name, title in titles.items():
        workload = result.find(name)
        if workload is None:
            continue
        case = workload.cases()[0]
        found = best(workload, case, "torch")
        if found is None:
            continue
        value = format_value(summarize(found.values).median, workload.unit)
        figures.append(
            KeyFigure(
                title or workload.title,
                value,
                unit_name(workload).replace("updates", ""),
                _against_legacy(workload, case),
            )
        )
    return figures[:4]


def guide_claims(result: BenchResult) -> list[Claim]:
    """Return the rows of the guide's performance table with what this run measured; [] without any."""
    claims: list[Claim] = []
    if not _of_guides_pair(result):
        return claims
    training = result.find("training")
    if training is not None:
        measured = []
        full = bool(result.settings.get("full training"))
        for measurement in training.measurements:
            if not measurement.values:
                continue
            seconds = summarize(measurement.values).median
            steps = int(measurement.details.get(OPERATIONS, 0))
            text = f"{format_value(seconds, 's')} a step"
            if steps == FULL_TRAINING_STEPS and full:
                text = f"{format_value(seconds * FULL_TRAINING_STEPS, 's')} for the 100 episodes"
            else:
                text += f" (over {steps:,} steps)"
            measured.append((measurement.label, text))
        claims.append(Claim("100 episodes", "TensorFlow 120 s, PyTorch 95 s", tuple(measured)))
    for name, what, claimed in (
        ("memory", "Memory", "TensorFlow 450 MB, PyTorch 380 MB"),
        ("size", "Model file", "48 KB .h5, 52 KB .pth"),
    ):
        workload = result.find(name)
        if workload is not None:
            measured = [
                (m.label, format_value(summarize(m.values).median, workload.unit))
                for m in workload.measurements
                if m.values
            ]
            claims.append(Claim(what, claimed, tuple(measured)))
    return [claim for claim in claims if claim.measured]


def _of_guides_pair(result: BenchResult) -> bool:
    """Return whether the guide's agent was measured; results from before pairs had a name are of it."""
    pairs = result.settings.get("pairs")
    pair = str(result.settings.get("pair", GUIDE_PAIR))
    return is_guides(pair, None if pairs is None else str(pairs))


def _seeds(members: Sequence[Curve]) -> str:
    return "1 seed" if len(members) == 1 else f"{len(members)} seeds"


def _finals(members: Sequence[Curve]) -> str:
    """Return what the kept weights of each run reached in its final evaluation, and how many solved the task."""
    finals = [curve.final for curve in members if curve.final is not None]
    if not finals:
        return ""
    listed = ", ".join(f"{value:,.1f}" for value in finals)
    threshold = members[0].threshold
    solved = sum(threshold is not None and value >= threshold for value in finals)
    verdict = (
        "" if threshold is None else f" ({solved} of {len(finals)} at {threshold:,.0f} or more)"
    )
    return f", final evaluations {listed}{verdict}"


def view_curves(curves: Sequence[Curve]) -> Figure | None:
    """Return the learning curves that name no task, with a caption that says where each framework ended; None without any."""
    curves = [curve for curve in curves if not curve.task]
    if not curves:
        return None
    ends = []
    labels = dict.fromkeys((curve.framework, curve.label) for curve in curves)
    for framework, label in labels:
        members = [c for c in curves if (c.framework, c.label) == (framework, label)]
        steps, mean = mean_curve(members)
        if len(steps):
            ends.append(
                f"{label}: {_seeds(members)}, mean {mean[-1]:,.0f} at the end{_finals(members)}"
            )
    caption = (
        "Return over environment steps. Thin lines are single seeds, thick lines the mean; TensorFlow is dashed. A run "
        "that reaches its goal stops, and its last value counts on in the mean. "
        + ". ".join(ends)
        + "."
    )
    return Figure(draw_curves("learning", curves), caption)


def view_learning(curves: Sequence[Curve]) -> list[TaskView]:
    """Return the tasks that curves name, each with a figure and a table."""
    summaries = summarize_learning(curves)
    views = []
    for number, (task, algorithms) in enumerate(grouped(curves).items()):
        if not task:
            continue
        rows = table_cells([summary for summary in summaries if summary.task == task])
        svg = draw_learning(f"learning-{number}", algorithms)
        views.append(TaskView(task, Figure(svg, LEARNING_CAPTION), rows))
    return views


def parity_rows(parity: Mapping[str, object] | None) -> list[list[str]]:
    """Return header and rows of the parity report's results; [] if there are none.

    The report is a mapping with a list of flat mappings under "results" (or another name): the first such list is
    shown, with the columns that hold single values.
    """
    if parity is None:
        return []
    for value in parity.values():
        if isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
            columns = [
                str(name)
                for name in value[0]
                if all(isinstance(item.get(name), str | int | float | None) for item in value)
            ]
            return [columns] + [[_cell(item.get(name)) for name in columns] for item in value]
    return []


def _view_case(workload: WorkloadResult, case: str) -> CaseView:
    measurements = [m for m in workload.measurements if m.case == case]
    anchor = "-".join(
        part for part in (workload.name, case.replace(" ", "-").replace(",", "")) if part
    )
    rows = table_rows(workload, case)
    svg = draw_measurements(f"figure-{anchor}", measurements, workload.unit)
    figure = None
    if svg:
        figure = Figure(svg, f"{_finding(workload, case)} {axis_note(measurements)}")
    return CaseView(
        name=case,
        anchor=anchor,
        figure=figure,
        rows=rows,
        has_factors=any(row.against_best or row.against_guide for row in rows),
        has_details=any(row.details for row in rows),
    )


def _finding(workload: WorkloadResult, case: str) -> str:
    """Return what the figure shows, in a sentence."""
    direction = "more is better" if workload.better == "higher" else "less is better"
    found = [m for m in workload.measurements if m.case == case and m.values]
    pick = max if workload.better == "higher" else min
    winner = pick(found, key=lambda m: summarize(m.values).median)
    value = f"{format_value(summarize(winner.values).median, workload.unit)} {unit_name(workload)}".strip()
    return f"Best: {winner.label} with {value} ({direction})."


def _against_legacy(workload: WorkloadResult, case: str) -> str:
    """Return how the best PyTorch style compares with both yardsticks of the legacy side."""
    found = best(workload, case, "torch")
    guide, fastest = guide_style(workload, case), best(workload, case, "legacy")
    if found is None or fastest is None:
        return "TensorFlow was not measured"
    factor = compare(fastest, found, better=workload.better)
    text = f"{_times(factor)} as fast as TensorFlow's best call style"
    if workload.name == "memory" and factor is not None:
        return f"{1 / factor.median:.2f} of TensorFlow's smallest"
    if guide is not None and guide is not fastest:
        text += f", {_times(compare(guide, found, better=workload.better))} as the guide's"
    return text


def _times(factor: Spread | None) -> str:
    """Return "5.4 times as good as" in the words of a headline: "5.4 times"."""
    return format_factor(factor).removesuffix("x") + " times"


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
