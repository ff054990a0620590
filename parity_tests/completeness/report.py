"""The table of a run: passes by group, and every case that fails or says nothing, with its reason."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from parity_tests.completeness.result import Result

MAX_REASON = 200


def to_data(results: Sequence[Result]) -> dict[str, object]:
    """Return the results as plain data: totals by group, and every case."""
    return {
        "totals": {group: dict(counts) for group, counts in _counts(results).items()},
        "cases": [asdict(result) for result in results],
    }


def join_parts(paths: Sequence[Path]) -> list[Result]:
    """Return the results that runs of parts wrote as `to_data`; of a test file in several, those of the last run.

    A test may have several cases of one name, so that whole files are replaced.
    """
    found: dict[str, list[Result]] = {}
    for path in paths:
        own: dict[str, list[Result]] = {}
        for case in json.loads(path.read_text(encoding="utf-8"))["cases"]:
            own.setdefault(case["case"].partition(" ")[0], []).append(Result(**case))
        found |= own
    return [result for results in found.values() for result in results]


def format_table(results: Sequence[Result]) -> str:
    """Return the results as Markdown."""
    lines = ["| group | pass | of | % |", "|---|---|---|---|"]
    for group, counts in _counts(results).items():
        tried = counts["pass"] + counts["fail"]
        share = 100 * counts["pass"] / tried if tried else 100.0
        lines.append(f"| {group} | {counts['pass']} | {tried} | {share:.1f} |")
    for outcome, title in (("fail", "Failing"), ("excluded", "Say nothing about conversion")):
        listed = sorted(
            (result for result in results if result.outcome == outcome),
            key=lambda result: (result.class_name, result.case),
        )
        if listed:
            lines += [
                "",
                f"## {title} ({len(listed)})",
                "",
                "| class | case | reason |",
                "|---|---|---|",
            ]
            lines += [
                f"| {result.class_name} | {result.case} | {_one_line(result.reason)} |"
                for result in listed
            ]
    return "\n".join(lines) + "\n"


def _counts(results: Sequence[Result]) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {}
    for result in results:
        found.setdefault(result.group, Counter())[result.outcome] += 1
    return dict(sorted(found.items()))


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")[:MAX_REASON]
