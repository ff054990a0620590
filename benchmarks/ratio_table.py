"""The ratios of a stored benchmark result as a Markdown table, as the documentation shows them.

python -m benchmarks.ratio_table --update docs/converted-modules.md
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from benchmarks.compare import compare
from benchmarks.measure import summarize
from benchmarks.report import format_spread, format_value
from benchmarks.results import BenchResult, Measurement, WorkloadResult, read_result
from parity_tests.page_tables import NOT_STORED, fill_page

STORED = Path(__file__).parents[1] / "docs" / "results" / "converted.json"
COLUMNS = {
    "converted": "converted",
    "by-hand": "written by hand",
    "keras-torch": "Keras on torch",
}
"""Headings of the variants whose times are shown."""
RATIOS = (("converted", "by-hand"), ("keras-torch", "converted"))
"""How many times as long the first of each pair takes as the second."""
_BUSY = re.compile(r"([\d.]+) processes on (\d+) cores")


def format_ratios(result: BenchResult, name: str) -> list[str]:
    """Return the lines of a table: for every case the times of the variants, and the ratios of `RATIOS`.

    Each cell is a median with the middle half behind it. Values at the same place were measured next to each other, so each
    round gives a ratio of its own. Where others used all cores only the ratios are shown: they meet both sides.

    Args:
        result: what was measured.
        name: of the workload.

    Raises:
        ValueError: The result lacks the workload, or one of `COLUMNS` was not measured in a case.
    """
    workload = result.find(name)
    if workload is None:
        msg = f"the result has no workload '{name}'"
        raise ValueError(msg)
    shown = () if was_busy(result) else tuple(COLUMNS)
    ratios = [f"{COLUMNS[subject]} / {COLUMNS[reference]}" for subject, reference in RATIOS]
    head = ["network", *(COLUMNS[variant] for variant in shown), *ratios]
    lines = [_row(head), _row(["---"] * len(head))]
    for case in workload.cases():
        found = {variant: _measured(workload, variant, case) for variant in COLUMNS}
        times = [_time(found[variant], workload.unit) for variant in shown]
        factors = [_ratio(found[subject], found[reference]) for subject, reference in RATIOS]
        lines.append(_row([case, *times, *factors]))
    return lines


def was_busy(result: BenchResult) -> bool:
    """Return whether more processes than cores wanted to run when the measuring began."""
    found = _BUSY.match(result.environment.get("busy at start", ""))
    return found is not None and float(found[1]) > int(found[2])


def converted_tables(path: Path) -> dict[str, list[str]]:
    """Return the table of docs/converted-modules.md, from the stored result of `torchward bench converted`."""
    if not path.exists():
        return {"converted": NOT_STORED}
    result = read_result(path)
    lines = format_ratios(result, "converted")
    if was_busy(result):
        lines += ["", "Ratios only: others were using the machine, which makes times say nothing."]
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
        reason = f" ({found.problem})" if found is not None and found.problem else ""
        msg = f"'{variant}' was not measured in '{case}'{reason}"
        raise ValueError(msg)
    return found


def _time(measurement: Measurement, unit: str) -> str:
    spread = summarize(measurement.values)
    return _with_spread(format_value(spread.median, unit), format_spread(spread, unit))


def _ratio(subject: Measurement, reference: Measurement) -> str:
    spread = compare(subject, reference, better="lower")
    if spread is None:
        msg = f"'{subject.variant}' or '{reference.variant}' has no values"
        raise ValueError(msg)
    digits = 2 if spread.median < 10 else 1
    middle = (
        "" if spread.low == spread.high else f"{spread.low:.{digits}f} to {spread.high:.{digits}f}"
    )
    return _with_spread(f"{spread.median:.{digits}f}", middle)


def _with_spread(median: str, middle: str) -> str:
    return f"{median} ({middle})" if middle else median


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
