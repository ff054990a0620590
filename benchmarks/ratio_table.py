"""The ratios of a stored benchmark result as a Markdown table, as the documentation shows them."""

from __future__ import annotations

from statistics import median

from benchmarks.results import BenchResult, Measurement, WorkloadResult


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


def _measured(workload: WorkloadResult, variant: str, case: str) -> Measurement:
    found = workload.of(variant, case)
    if found is None or not found.values:
        msg = f"'{variant}' was not measured in '{case}'"
        raise ValueError(msg)
    return found


def _seconds(measurement: Measurement) -> str:
    return f"{1000 * median(measurement.values):.3g} ms"
