"""The learning curves of the RRD suite on their page: a table, a figure a task, and the runs they are made of.

python -m benchmarks.learning_page --store runs/learning-suite/bench.json --update docs/rrd-training.md
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path

from benchmarks.figures import draw_learning, standalone
from benchmarks.learning import (
    METHOD,
    format_gains,
    format_table,
    grouped,
    summarize_gains,
    summarize_learning,
)
from benchmarks.results import BenchResult, read_result
from parity_tests.page_tables import NOT_STORED, fill_page

STORED = Path(__file__).parents[1] / "docs" / "results" / "learning-suite.json"
FIGURE_NAME = "learning-suite-{}.svg"
DIGITS = 2
"""Of a stored return."""


def learning_tables(result: BenchResult | None) -> dict[str, list[str]]:
    """Return the table of the page with what it means, and its figures as Markdown images."""
    if result is None:
        return {"learning": NOT_STORED}
    gains = [f"- {line}" for line in format_gains(summarize_gains(result.curves))]
    lines = [*format_table(summarize_learning(result.curves)), "", METHOD, "", *gains, ""]
    for number, task in enumerate(_tasks(result)):
        lines.append(f"![{task}](results/{FIGURE_NAME.format(number)})")
    environment = ", ".join(f"{name} {value}" for name, value in result.environment.items())
    return {"learning": [*lines, "", f"{environment}."]}


def compact(result: BenchResult) -> str:
    """Return the result as JSON, a line a curve, returns with two decimals: what a repository keeps."""
    curves = [
        dataclasses.replace(curve, returns=tuple(round(value, DIGITS) for value in curve.returns))
        for curve in result.curves
    ]
    body = json.loads(dataclasses.replace(result, curves=tuple(curves)).to_json())
    lines = [json.dumps(curve, separators=(",", ":")) for curve in body.pop("curves")]
    head = json.dumps(body, indent=1, ensure_ascii=False).removesuffix("\n}")
    return head + ',\n "curves": [\n' + ",\n".join(lines) + "\n ]\n}\n"


def write_figures(result: BenchResult, folder: Path) -> None:
    """Write one SVG file a task."""
    groups = grouped(result.curves)
    for number, task in enumerate(_tasks(result)):
        svg = draw_learning(f"learning-{number}", groups[task])
        (folder / FIGURE_NAME.format(number)).write_text(standalone(svg), encoding="utf-8")


def _tasks(result: BenchResult) -> list[str]:
    return [task for task in grouped(result.curves) if task]


def main(arguments: list[str] | None = None) -> int:
    """Store a result, draw it, put its table into the page, or print the table; return 0."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learning_page")
    parser.add_argument(
        "--stored",
        type=Path,
        default=STORED,
        help="where the result is kept; the figures lie beside it",
    )
    parser.add_argument(
        "--store", type=Path, help="JSON of torchward bench learning that is kept from now on"
    )
    parser.add_argument("--update", type=Path, help="put the table into this page")
    chosen = parser.parse_args(arguments)
    if chosen.store:
        result = read_result(chosen.store)
        chosen.stored.write_text(compact(result), encoding="utf-8")
        write_figures(result, chosen.stored.parent)
    tables = learning_tables(read_result(chosen.stored) if chosen.stored.exists() else None)
    if chosen.update:
        page = chosen.update.read_text(encoding="utf-8")
        chosen.update.write_text(fill_page(page, tables), encoding="utf-8")
    else:
        sys.stdout.write("\n".join([*tables["learning"], ""]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
