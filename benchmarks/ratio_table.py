"""The ratios of a stored benchmark result as a Markdown table, as the documentation shows them.

python -m benchmarks.ratio_table --update docs/converted-modules.md
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from statistics import median

from benchmarks.results import BenchResult, Measurement, WorkloadResult, read_result
from parity_tests.page_tables import NOT_STORED, fill_page

STORED = Path(__file__).parents[1] / "docs" / "results" / "converted.json"


def format_ratios(result: BenchResult, name: str, subject: str, reference: str) -> list[str]:
    """Return the lines of a table: for every case the medians of both variants, and the median of their ratios.

    Values at the same place were measured next to each other, so each round gives a ratio of its own.

    Args:
        result: what was measured.
        name: of the workload.
        subject: the variant that is judged.
        reference: what it is judged by.

    Raises:
        ValueError: The result lacks the workload, or one of the two was not measured in a case.
    """
    found = [workload for workload in result.workloads if workload.name == name]
    if not found:
        msg = f"the result has no workload '{name}'"
        raise ValueError(msg)
    lines = ["| network | converted | written by hand | ratio |", "|---|---|---|---|"]
    for case in found[0].cases():
        ours, theirs = (_measured(found[0], variant, case) for variant in (subject, reference))
        ratios = [x / y for x, y in zip(ours.values, theirs.values, strict=True)]
        cells = [case, _seconds(ours), _seconds(theirs), f"{median(ratios):.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def converted_tables(path: Path) -> dict[str, list[str]]:
    """Return the table of docs/converted-modules.md, from the stored result of `torchward bench converted`."""
    if not path.exists():
        return {"converted": NOT_STORED}
    result = read_result(path)
    lines = format_ratios(result, "converted", "converted", "by-hand")
    environment = ", ".join(f"{name} {value}" for name, value in result.environment.items())
    return {"converted": [*lines, "", f"{environment}."]}


def main(arguments: list[str] | None = None) -> int:
    """Print the table of a stored result, or put it into the page; return 0."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ratio_table")
    parser.add_argument(
        "result", nargs="?", type=Path, default=STORED, help="JSON of torchward bench converted"
    )
    parser.add_argument("--update", type=Path, help="put the table into this page")
    chosen = parser.parse_args(arguments)
    tables = converted_tables(chosen.result)
    if chosen.update:
        page = chosen.update.read_text(encoding="utf-8")
        chosen.update.write_text(fill_page(page, tables), encoding="utf-8")
    else:
        sys.stdout.write("\n".join([*tables["converted"], ""]))
    return 0


def _measured(workload: WorkloadResult, variant: str, case: str) -> Measurement:
    found = workload.of(variant, case)
    if found is None or not found.values:
        msg = f"'{variant}' was not measured in '{case}'"
        raise ValueError(msg)
    return found


def _seconds(measurement: Measurement) -> str:
    return f"{1000 * median(measurement.values):.3g} ms"


if __name__ == "__main__":
    sys.exit(main())
