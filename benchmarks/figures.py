"""Figures as inline SVG: colours are the page's CSS variables, text is text, the same input gives the same bytes.

matplotlib draws with marker colours that no page uses; afterwards they are replaced by `var(--...)`, so that a figure
follows the reader's light or dark theme. Figures are drawn narrow: a phone shows them at their own size.
"""

from __future__ import annotations

import io
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.measure import summarize
from benchmarks.report import format_value
from benchmarks.results import Curve, Measurement
from benchmarks.seed_statistics import bootstrap_interval

WIDTH_INCHES = 4.4
ROW_INCHES = 0.5
PANEL_INCHES = 1.35
LOG_FROM = 20.0
"""Largest by smallest value from which an axis is logarithmic: below, a common zero shows the sizes better."""

MARKERS = {
    "#010203": "var(--text)",
    "#010204": "var(--quiet)",
    "#010205": "var(--line)",
    "#010206": "var(--legacy)",
    "#010207": "var(--torch)",
    "#010208": "var(--other)",
}
TEXT, QUIET, LINE, LEGACY, TORCH, OTHER = MARKERS
THEMES = (
    ("#ffffff", "#1c1b1a", "#65615c", "#e2ded8", "#c2570c", "#1660b8", "#77716a"),
    ("#1d1f21", "#ececea", "#a5a29c", "#35383b", "#f2924a", "#6eb0ff", "#a8a39b"),
)
"""Background and the colours of MARKERS, light and dark, as in report.html.j2: for figures that are files of their own."""
COLOURS = {"legacy": LEGACY, "torch": TORCH, "other": OTHER}

STYLE: dict[Any, Any] = {  # Any: matplotlib types its keys as an enumeration of hundreds
    "svg.fonttype": "none",
    "font.size": 10.5,
    "font.family": "sans-serif",
    "text.color": TEXT,
    "axes.edgecolor": LINE,
    "axes.labelcolor": QUIET,
    "axes.linewidth": 0.8,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "grid.color": LINE,
    "grid.linewidth": 0.7,
    "legend.frameon": False,
}


def draw_measurements(name: str, measurements: Sequence[Measurement], unit: str) -> str:
    """Return one row a variant: every round as a faint dot, the middle half as a bar, the median as a dot.

    Args:
        name: unique on the page; prefix of the ids inside.
        measurements: of one case; those without values are left out.
        unit: of the values.

    Returns:
        SVG text for inlining, "" if nothing was measured.
    """
    shown = [measurement for measurement in measurements if measurement.values]
    if not shown:
        return ""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    values = np.concatenate([np.asarray(measurement.values) for measurement in shown])
    logarithmic = bool(values.max() / values.min() > LOG_FROM)
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        figure = Figure((WIDTH_INCHES, 0.45 + ROW_INCHES * len(shown)))
        axes = figure.add_axes(
            (0.02, 0.32 / figure.get_figheight(), 0.94, 1 - 0.34 / figure.get_figheight())
        )
        _scale(axes, values, unit, logarithmic=logarithmic)
        for row, measurement in enumerate(shown):
            _draw_row(axes, len(shown) - 1 - row, measurement, unit)
        axes.set_ylim(-0.5, len(shown) - 0.25)
        return _svg(figure, name)


def axis_note(measurements: Sequence[Measurement]) -> str:
    """Return what the caption has to say about the axis."""
    values = [value for measurement in measurements for value in measurement.values]
    if values and max(values) / min(values) > LOG_FROM:
        return "The axis is logarithmic: from one line to the next it is ten times as much."
    return "The axis starts at zero."


def draw_curves(name: str, curves: Sequence[Curve]) -> str:
    """Return return over steps: a thin line a seed, a thick one for the mean of each framework; "" without any."""
    if not curves:
        return ""
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    groups: dict[tuple[str, str], list[Curve]] = defaultdict(list)
    for curve in curves:
        groups[curve.framework, curve.label].append(curve)
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        figure = Figure((WIDTH_INCHES, 3.1))
        axes = figure.add_axes((0.12, 0.15, 0.85, 0.72))
        for (framework, label), members in groups.items():
            colour = COLOURS.get(framework, OTHER)
            for curve in members:
                axes.plot(curve.steps, curve.returns, color=colour, linewidth=0.8, alpha=0.35)
            steps, mean = mean_curve(members)
            seeds = f"{len(members)} seed" + ("" if len(members) == 1 else "s")
            dashes = (0, (4, 2)) if framework == "legacy" else "-"
            axes.plot(
                steps,
                mean,
                color=colour,
                linewidth=2.2,
                linestyle=dashes,
                label=f"{label}, {seeds}",
            )
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.set_xlabel("environment steps")
        axes.grid(visible=True, axis="y")
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(length=0)
        axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2, borderaxespad=0.2)
        return _svg(figure, name)


def draw_learning(name: str, algorithms: Mapping[str, Sequence[Curve]]) -> str:
    """Return one panel an algorithm, below each other with the same axes; "" without any.

    A panel has a line a framework, the mean over its seeds, and around it the 95 % bootstrap interval of that mean.

    Args:
        name: unique on the page; prefix of the ids inside.
        algorithms: their runs of one task.
    """
    if not algorithms:
        return ""
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter, MaxNLocator

    height = 0.85 + PANEL_INCHES * len(algorithms)
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        figure = Figure((WIDTH_INCHES, height))
        panels = figure.subplots(len(algorithms), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
        for axes, (algorithm, members) in zip(panels, algorithms.items(), strict=True):
            _draw_panel(axes, members)
            axes.set_title(algorithm, loc="left", fontsize=10.5, color=TEXT, pad=3)
            axes.yaxis.set_major_locator(MaxNLocator(4))
            axes.grid(visible=True, axis="y")
            axes.spines[["top", "right", "left"]].set_visible(False)
            axes.tick_params(length=0)
        panels[-1].xaxis.set_major_formatter(EngFormatter(sep=""))
        panels[-1].set_xlabel("environment steps")
        top = 1 - 0.55 / height
        figure.subplots_adjust(left=0.15, right=0.97, top=top, bottom=0.45 / height, hspace=0.35)
        lines, labels = panels[0].get_legend_handles_labels()
        figure.legend(lines, labels, loc="upper left", ncols=2, bbox_to_anchor=(0.13, 1.0))
        return _svg(figure, name)


def standalone(svg: str) -> str:
    """Return an inline figure as a file of its own, on a background, in the reader's light or dark theme."""
    size = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    width, height = (size[1], size[2]) if size else ("100%", "100%")
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'width="{width}" height="{height}" role="img"'
    )
    names = [variable.removeprefix("var(").removesuffix(")") for variable in MARKERS.values()]
    light, dark = (
        "; ".join(
            f"{name}: {colour}" for name, colour in zip(["--page", *names], theme, strict=True)
        )
        for theme in THEMES
    )
    style = (
        f"<style>:root {{ {light}; font-family: sans-serif }} "
        f"@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}</style>"
    )
    background = '<rect width="100%" height="100%" style="fill: var(--page)"/>'
    body = re.sub(r'^<svg( aria-hidden="true")?', head, svg, count=1).replace(
        ' href="#', ' xlink:href="#'
    )
    start = body.index(">") + 1
    return f"{body[:start]}\n{style}\n{background}{body[start:]}\n"


def _draw_panel(axes: Any, members: Sequence[Curve]) -> None:  # noqa: ANN401
    """Draw the runs of one algorithm. Any: matplotlib is optional and not imported here."""
    frameworks = dict.fromkeys((curve.framework, curve.label) for curve in members)
    for framework, label in frameworks:
        own = [curve for curve in members if (curve.framework, curve.label) == (framework, label)]
        steps, returns = aligned_curves(own)
        low, high = bootstrap_interval(returns)
        colour = COLOURS.get(framework, OTHER)
        dashes = (0, (4, 2)) if framework == "legacy" else "-"
        axes.fill_between(steps, low, high, color=colour, alpha=0.18, linewidth=0)
        axes.plot(
            steps, returns.mean(axis=0), color=colour, linewidth=1.8, linestyle=dashes, label=label
        )  # fmt: skip


def mean_curve(curves: Sequence[Curve]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return (steps, mean return) of `aligned_curves`. Any: numpy's shape parameter."""
    steps, returns = aligned_curves(curves)
    return steps, np.mean(returns, axis=0)


def aligned_curves(
    curves: Sequence[Curve],
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return steps (points,) and returns (seeds, points) by linear interpolation, up to the end of the longest run.

    A run that reached its goal stops there; its last value counts on, or the mean would fall as good runs leave it.

    Returns:
        Two arrays. Any: numpy's shape parameter.
    """
    start = max(curve.steps[0] for curve in curves)
    stop = max(curve.steps[-1] for curve in curves)
    steps = np.unique(np.concatenate([np.asarray(curve.steps) for curve in curves]))
    steps = steps[(steps >= start) & (steps <= stop)]
    return steps, np.stack([np.interp(steps, curve.steps, curve.returns) for curve in curves])


def _draw_row(axes: Any, height: int, measurement: Measurement, unit: str) -> None:  # noqa: ANN401
    """Draw one variant. Any: matplotlib is optional and not imported here."""
    spread = summarize(measurement.values)
    colour = COLOURS.get(measurement.framework, OTHER)
    if axes.get_xscale() == "linear":
        # Lengths from zero can be compared; on a logarithmic axis a line from its edge would mean nothing.
        axes.plot([0, spread.median], [height, height], color=colour, linewidth=1.4, alpha=0.5)
    else:
        axes.axhline(height, color=LINE, linewidth=0.8, zorder=0)
    axes.plot(
        measurement.values,
        [height] * len(measurement.values),
        "o",
        color=colour,
        markersize=3,
        alpha=0.4,
        markeredgewidth=0,
    )
    axes.plot(
        [spread.low, spread.high],
        [height, height],
        color=colour,
        linewidth=5,
        solid_capstyle="butt",
        alpha=0.55,
    )
    axes.plot([spread.median], [height], "o", color=colour, markersize=7)
    edge = axes.get_yaxis_transform()  # x as a fraction of the width, y in rows
    axes.text(0, height + 0.27, measurement.label, transform=edge, va="bottom", fontsize=10.5)
    text = format_value(spread.median, unit)
    axes.text(
        1,
        height + 0.27,
        text,
        transform=edge,
        va="bottom",
        ha="right",
        fontsize=10.5,
        fontweight="bold",
    )


def _scale(axes: Any, values: np.ndarray[Any, Any], unit: str, *, logarithmic: bool) -> None:  # noqa: ANN401
    """Set the axis. Any: matplotlib is optional and not imported here."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    if logarithmic:
        axes.set_xscale("log")
        axes.set_xlim(values.min() / 1.8, values.max() * 1.4)
        axes.xaxis.set_major_locator(LogLocator(numticks=6))
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.set_xlim(0, values.max() * 1.06)
        axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value, unit)))
    axes.set_yticks([])
    axes.grid(visible=True, axis="x")
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="x", length=0, labelsize=9)


def _tick(value: float, unit: str) -> str:
    """Return a tick label: round numbers without needless decimals."""
    if value == 0:
        return "0"
    if unit == "bytes":
        return f"{value / 1e6:,.4g} MB" if value >= 1e6 else f"{value / 1e3:,.4g} kB"
    if unit.startswith("s"):
        factor, name = (1.0, "s") if value >= 1 else (1e3, "ms") if value >= 1e-3 else (1e6, "µs")
        return f"{value * factor:,.4g} {name}"
    return f"{value:,.4g}" if value < 1000 else f"{value:,.0f}"


def _svg(figure: Any, name: str) -> str:  # noqa: ANN401
    """Return the figure without prologue, metadata and foreign addresses, its ids made unique by `name`.

    Any: matplotlib is optional and not imported here.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\sxmlns(:xlink)?="[^"]*"', "", svg)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'href="#', f'href="#{name}-', svg).replace("xlink:href", "href")
    svg = svg.replace("url(#", f"url(#{name}-")
    svg = re.sub(r"font: ([^;\"]*?)([\d.]+px)[^;\"]*", _font, svg)
    svg = re.sub(r"font-family: [^;\"]*;? ?", "", svg)
    # A rule for `*` would reach the whole page.
    svg = re.sub(r"<defs>\s*<style[^>]*>.*?</style>\s*</defs>", "", svg, flags=re.DOTALL)
    # The height follows from the view box and the width that the page gives it.
    svg = re.sub(r'<svg ([^>]*?)height="[^"]*"', r"<svg \1", svg, count=1)
    svg = re.sub(r'<svg ([^>]*?)width="[^"]*"', r'<svg aria-hidden="true" \1', svg, count=1)
    for marker, variable in MARKERS.items():
        svg = svg.replace(marker, variable)
    return re.sub(r"\s*\n\s*", "\n", svg).strip()


def _font(match: re.Match[str]) -> str:
    """Return the size and weight of a matplotlib font declaration; the family is the page's."""
    weight = "; font-weight: 600" if re.search(r"\b(bold|[6-9]00)\b", match.group(1)) else ""
    return f"font-size: {match.group(2)}{weight}"
