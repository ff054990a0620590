"""What a parity run found, as text, JSON, Markdown and JUnit XML.

A failure says what, where, how much, how much was allowed and how to repeat it. Every form carries machine, versions
and seeds. Nothing here knows a framework: results come from the harness as plain data.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, cast

from parity_tests.compare import Comparison
from parity_tests.tolerances import Tolerance

NAME_WIDTH = 24
"""Column at which the findings of a failure start, unless a name is longer."""

SHORT_SHA256 = 12
"""Digits of a checksum in text for people."""


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """One probe of one pair in one configuration and dtype.

    Attributes:
        pair: name of the pair.
        config: name of the configuration.
        default_config: whether it is the pair's first one, which need not be named to repeat the run.
        probe: name of the probe.
        dtype: "float32" or "float64".
        seed: of weights and inputs.
        updates: length of a trajectory.
        recipe: name of the input recipe.
        inputs_sha256: of everything that was drawn.
        comparisons: what was compared.
        error: why the probe did not come to an end, None if it did.
        details: of the error: the traceback.
        skipped: why the probe does not apply, None if it does.
        seconds: the probe took.
        pairs_from: where a user's pair comes from, "my_module:PAIRS".
    """

    pair: str
    config: str
    default_config: bool
    probe: str
    dtype: str
    seed: int
    updates: int
    recipe: str
    inputs_sha256: str = ""
    comparisons: tuple[Comparison, ...] = ()
    error: str | None = None
    details: str = ""
    skipped: str | None = None
    seconds: float = 0.0
    pairs_from: str | None = None

    @property
    def in_parity(self) -> bool:
        """Whether the probe ended, compared something, and found everything within the limits."""
        if self.skipped is not None:
            return True
        compared = bool(self.comparisons) and self.error is None
        return compared and all(each.in_parity for each in self.comparisons)

    @property
    def title(self) -> str:
        """Name of the run for people."""
        config = "" if self.default_config else f" / {self.config}"
        return f"{self.pair}{config} / {self.probe} / {self.dtype} / seed {self.seed}"

    @property
    def worst(self) -> Comparison | None:
        """The comparison that is nearest to its limit or furthest over it, None if there is none."""
        return max(self.comparisons, key=_severity, default=None)

    @property
    def command(self) -> str:
        """The command that repeats this probe."""
        parts = ["torchward parity", self.pair]
        parts += [] if self.default_config else ["--config", self.config]
        parts += ["--probe", self.probe, "--dtype", self.dtype, "--seed", str(self.seed)]
        parts += ["--updates", str(self.updates)] if self.probe == "trajectory" else []
        parts += ["--pairs", self.pairs_from] if self.pairs_from else []
        return " ".join(parts)


@dataclass(frozen=True, slots=True)
class ParityReport:
    """All results of a run.

    Attributes:
        results: in the order of the run.
        environment: machine, versions and threads, by name.
    """

    results: tuple[ProbeResult, ...]
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def failures(self) -> tuple[ProbeResult, ...]:
        """The results that are not in parity."""
        return tuple(result for result in self.results if not result.in_parity)

    @property
    def in_parity(self) -> bool:
        """Whether there are results and all are in parity."""
        return bool(self.results) and not self.failures

    @property
    def verdict(self) -> str:
        """The last line of a report."""
        skipped = sum(result.skipped is not None for result in self.results)
        run = len(self.results) - skipped
        without = f", {skipped} not applicable" if skipped else ""
        if not run:
            return f"NOTHING COMPARED{without.replace(',', '  ', 1)}"
        if self.in_parity:
            return f"IN PARITY   {run} of {run} probes{without}"
        return f"NOT IN PARITY   {len(self.failures)} of {run} probes failed{without}"


def format_failure(result: ProbeResult) -> str:
    """Return a result that is not in parity, as in the style guide; the last line repeats it."""
    lines = [f"{result.title:<41}  NOT IN PARITY"]
    failed = [each for each in result.comparisons if not each.in_parity]
    width = max([NAME_WIDTH, *(len(each.name) + 2 for each in failed)])
    for each in failed:
        first, *others = each.lines()
        lines.append(f"  {each.name:<{width}}{first}")
        lines += [" " * (width + 2) + other for other in others]
    fine = len(result.comparisons) - len(failed)
    if fine:
        noun = "other comparison" if fine == 1 else "other comparisons"
        lines.append(f"  {fine} {noun} equal within limits")
    if result.error is not None:
        lines.append(f"  {result.error}")
    elif not result.comparisons:
        lines.append("  the probe compared nothing")
    lines.append(
        f"  inputs: inputs.py, recipe {result.recipe!r}, sha256 {result.inputs_sha256[:SHORT_SHA256]}"
    )
    lines.append(f"Repeat with: {result.command}")
    return "\n".join(lines)


def table_rows(results: Iterable[ProbeResult]) -> list[tuple[str, ...]]:
    """Return one row a result: pair, configuration, probe, dtype, worst, allowed, where, verdict."""
    rows: list[tuple[str, ...]] = []
    for result in results:
        worst, allowed, place = "", "", ""
        largest = result.worst
        if largest is not None:
            worst = largest.problem or f"{largest.worst_relative:.1e}"
            allowed = "equal" if _is_exact(largest) else str(largest.tolerance).partition(", ")[2]
            if largest.tolerance.absolute > 0:
                allowed = str(largest.tolerance)
            place = largest.name
        verdict = "ok" if result.in_parity else "FAIL"
        if result.skipped is not None:
            verdict, place = "n/a", result.skipped
        if result.error is not None:
            worst, place = "error", result.error
        rows.append(
            (result.pair, result.config, result.probe, result.dtype, worst, allowed, place, verdict)
        )
    return rows


TABLE_HEADER = ("pair", "config", "probe", "dtype", "worst relative", "allowed", "where", "")


def format_text(report: ParityReport) -> str:
    """Return the report for a terminal: table, failures, environment, verdict."""
    rows = [TABLE_HEADER, *table_rows(report.results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(TABLE_HEADER))]
    lines = [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    for result in report.failures:
        lines += ["", format_failure(result)]
    environment = ", ".join(f"{name} {value}" for name, value in report.environment.items())
    return "\n".join([*lines, "", environment, report.verdict])


def format_json(report: ParityReport) -> str:
    """Return the report as JSON with sorted keys; numbers that JSON lacks are the strings "inf" and "nan"."""
    content = {
        "in_parity": report.in_parity,
        "environment": dict(report.environment),
        "results": [result_to_plain(result) for result in report.results],
    }
    return json.dumps(content, indent=2, sort_keys=True, allow_nan=False)


def format_markdown(report: ParityReport) -> str:
    """Return the report as Markdown: verdict, table, failures, environment."""
    lines = ["# Parity", "", f"**{report.verdict}**", ""]
    lines += ["| " + " | ".join(TABLE_HEADER) + " |", "|" + " --- |" * len(TABLE_HEADER)]
    for row in table_rows(report.results):
        lines.append("| " + " | ".join(_escape_markdown(cell) for cell in row) + " |")
    for result in report.failures:
        lines += ["", "```", format_failure(result).replace("```", "'''"), "```"]
    lines += [
        "",
        *(f"* {name}: {_escape_markdown(value)}" for name, value in report.environment.items()),
    ]
    return "\n".join(lines) + "\n"


def format_junit(report: ParityReport) -> str:
    """Return the report as JUnit XML, one test case a probe."""
    skipped = sum(result.skipped is not None for result in report.results)
    errors = sum(result.error is not None for result in report.results)
    suite = ET.Element(
        "testsuite",
        name="torchward parity",
        tests=str(len(report.results)),
        failures=str(len(report.failures) - errors),
        errors=str(errors),
        skipped=str(skipped),
        time=f"{sum(result.seconds for result in report.results):.3f}",
    )
    properties = ET.SubElement(suite, "properties")
    for name, value in report.environment.items():
        ET.SubElement(properties, "property", name=name, value=_printable(value))
    for result in report.results:
        case = ET.SubElement(
            suite,
            "testcase",
            classname=_printable(f"parity.{result.pair}.{result.config}"),
            name=_printable(f"{result.probe} {result.dtype} seed {result.seed}"),
            time=f"{result.seconds:.3f}",
        )
        if result.skipped is not None:
            ET.SubElement(case, "skipped", message=_printable(result.skipped))
        elif not result.in_parity:
            kind = "failure" if result.error is None else "error"
            message = result.error or "not in parity"
            element = ET.SubElement(case, kind, message=_printable(message))
            element.text = _printable(format_failure(result))
    ET.indent(suite)
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(suite, encoding="unicode") + "\n"
    )


def result_to_plain(result: ProbeResult) -> dict[str, object]:
    """Return the result as JSON data, with its title, verdict and command beside the fields."""
    plain = cast("dict[str, object]", _plain(asdict(result)))
    return {**plain, "in_parity": result.in_parity, "command": result.command}


def result_from_plain(plain: Mapping[str, Any]) -> ProbeResult:
    """Return the result that `result_to_plain` described. Any: JSON."""
    known = {name: plain[name] for name in ProbeResult.__slots__}
    known["comparisons"] = tuple(_comparison_from_plain(each) for each in plain["comparisons"])
    return ProbeResult(**known)


def _comparison_from_plain(plain: Mapping[str, Any]) -> Comparison:
    numbers = {
        name: float(plain[name]) for name in ("worst_absolute", "worst_relative", "legacy", "torch")
    }
    limits = plain["tolerance"]
    tolerance = Tolerance(
        float(limits["absolute"]),
        float(limits["relative"]),
        limits["reason"],
        limits["elementwise"],
    )
    lists = {"index": tuple(plain["index"]), "sides": tuple(plain["sides"])}
    return Comparison(**{**plain, **numbers, **lists, "tolerance": tolerance})


def _plain(value: object) -> object:
    """Return the value with tuples as lists and infinities and NaN as text."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not abs(value) < float("inf"):
        return str(value)
    return value


def _severity(comparison: Comparison) -> tuple[bool, float]:
    """Return failed before passed, then how much of the limit is used."""
    if comparison.problem is not None:
        return True, float("inf")
    scale = (
        comparison.worst_absolute / comparison.worst_relative if comparison.worst_relative else 0.0
    )
    limit = comparison.tolerance.absolute + comparison.tolerance.relative * scale
    used = comparison.worst_absolute / limit if limit else comparison.worst_absolute
    return not comparison.in_parity, used


def _is_exact(comparison: Comparison) -> bool:
    return comparison.tolerance.absolute == 0 and comparison.tolerance.relative == 0


def _escape_markdown(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


def _printable(text: str) -> str:
    """Return the text without the control characters that XML cannot hold."""
    return "".join(each if each >= " " or each in "\n\t" else "?" for each in text)
