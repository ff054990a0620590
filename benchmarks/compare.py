"""Ratios between variants of one run, taken round by round."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.measure import Spread, summarize
from benchmarks.results import Measurement, Requirement, WorkloadResult


@dataclass(frozen=True, slots=True)
class Verdict:
    """A requirement, what was found, and whether it holds. `factor` is None when a side was not measured."""

    requirement: Requirement
    factor: Spread | None

    @property
    def met(self) -> bool | None:
        """True or False by the median; None when it could not be measured."""
        return None if self.factor is None else self.factor.median >= self.requirement.at_least


def compare(legacy: Measurement, torch: Measurement, *, better: str) -> Spread | None:
    """Return how many times better `torch` is than `legacy`: above 1 it is, below 1 it is worse.

    Values of the same round are divided by each other, since they were measured next to each other; the spread
    is that of these ratios. Different numbers of rounds: the medians are divided.

    Args:
        legacy: the side that is compared against (any variant).
        torch: the side that is judged (any variant).
        better: "higher" (a rate) or "lower" (seconds, bytes).

    Returns:
        None if one of them has no values.
    """
    if better not in {"higher", "lower"}:
        message = f"better is 'higher' or 'lower', found {better!r}"
        raise ValueError(message)
    if not legacy.values or not torch.values:
        return None
    if len(legacy.values) != len(torch.values):
        pairs = [(summarize(legacy.values).median, summarize(torch.values).median)]
    else:
        pairs = list(zip(legacy.values, torch.values, strict=True))
    return summarize([new / old if better == "higher" else old / new for old, new in pairs])


def best(workload: WorkloadResult, case: str, framework: str) -> Measurement | None:
    """Return the measurement with the best median among those of one framework, None if there is none."""
    candidates = [
        measurement
        for measurement in workload.measurements
        if measurement.case == case and measurement.framework == framework and measurement.values
    ]
    if not candidates:
        return None
    pick = max if workload.better == "higher" else min
    return pick(candidates, key=lambda measurement: summarize(measurement.values).median)


def guide_style(workload: WorkloadResult, case: str) -> Measurement | None:
    """Return the measurement of the legacy style that the migration guide itself uses, None if not measured."""
    found = workload.of("legacy-fit", case)
    return found if found is not None and found.values else None


def judge(workload: WorkloadResult) -> list[Verdict]:
    """Return a verdict for every requirement of the workload."""
    verdicts = []
    for requirement in workload.requirements:
        subject = workload.of(requirement.subject, requirement.case)
        reference = workload.of(requirement.reference, requirement.case)
        factor = None
        if subject is not None and reference is not None:
            factor = compare(reference, subject, better=workload.better)
        verdicts.append(Verdict(requirement, factor))
    return verdicts
