"""What a benchmark run found, as plain data with stable names: the JSON file is exactly this.

Everything that is shown (table, HTML) is made from a `BenchResult` alone, so a stored JSON file can be drawn again.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

FORMAT = "torchward-bench"
FORMAT_VERSION = 1
OPERATIONS = "operations a round"
"""Name of the detail that says how many operations the shortest round had."""


class ResultFileError(ValueError):
    """The file is not a benchmark result that this version reads."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One variant in one case: every measured value, or the reason why there is none.

    Attributes:
        variant: key of `variants.VARIANTS` ("legacy-fit", "torch-compile"), or a file format in "size".
        case: what was varied within the workload ("batch 1"), "" if nothing was.
        values: one a round, in the workload's unit, in the order of the rounds: values at the same place
            of two variants were measured next to each other.
        details: counts and side figures ("operations per round": 512), shown in the report as they are.
        problem: one line, if the variant could not be measured; then `values` is empty.
    """

    variant: str
    framework: str  # "legacy", "torch" or "other"
    label: str
    case: str
    values: tuple[float, ...]
    details: Mapping[str, str | float | int] = field(default_factory=dict)
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Requirement:
    """A promise about two variants of one case: how many times better `subject` has to be than `reference`."""

    subject: str
    reference: str
    case: str
    at_least: float
    text: str


@dataclass(frozen=True, slots=True)
class WorkloadResult:
    """All measurements of one workload, in one unit."""

    name: str
    title: str
    what: str  # one or two sentences: what was measured and how
    unit: str
    better: str  # "higher" or "lower"
    measurements: tuple[Measurement, ...]
    requirements: tuple[Requirement, ...] = ()
    notes: tuple[str, ...] = ()

    def cases(self) -> tuple[str, ...]:
        """Return the cases in order of appearance."""
        return tuple(dict.fromkeys(measurement.case for measurement in self.measurements))

    def of(self, variant: str, case: str) -> Measurement | None:
        """Return the measurement of that variant in that case, None if there is none."""
        for measurement in self.measurements:
            if measurement.variant == variant and measurement.case == case:
                return measurement
        return None


@dataclass(frozen=True, slots=True)
class Curve:
    """Evaluation return over environment steps of one training run.

    Attributes:
        final: mean return of the kept weights over the run's last evaluation, None where the run has none.
        threshold: the return from which its environment counts as solved.
        task: what was learnt, and `algorithm`, what learnt it: runs that share both differ in framework and seed only.
            "" where a run does not say so.
    """

    framework: str
    label: str
    seed: str
    steps: tuple[float, ...]
    returns: tuple[float, ...]
    final: float | None = None
    threshold: float | None = None
    task: str = ""
    algorithm: str = ""


@dataclass(frozen=True, slots=True)
class BenchResult:
    """One run of `torchward bench`.

    Attributes:
        environment: machine, threads and versions by name, see `environment.describe`.
        settings: the options that shaped the run.
        parity: the parity report's own JSON, shown as a table, or None.
    """

    command: str
    environment: Mapping[str, str]
    settings: Mapping[str, str | int | bool]
    workloads: tuple[WorkloadResult, ...]
    curves: tuple[Curve, ...] = ()
    parity: Mapping[str, object] | None = None

    def to_json(self) -> str:
        """Return the result as JSON text, fields in the order of the types."""
        body = {"format": FORMAT, "format_version": FORMAT_VERSION, **dataclasses.asdict(self)}
        return json.dumps(body, indent=2, ensure_ascii=False) + "\n"

    def find(self, name: str) -> WorkloadResult | None:
        """Return the workload of that name, None if it was not run."""
        return next((workload for workload in self.workloads if workload.name == name), None)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the result that `to_json` wrote. Raises ResultFileError."""
        try:
            body = json.loads(text)
        except json.JSONDecodeError as error:
            message = f"not JSON: {error}"
            raise ResultFileError(message) from error
        found = body.get("format") if isinstance(body, dict) else None
        if found != FORMAT or body.get("format_version") != FORMAT_VERSION:
            message = (
                f"found format {found!r}, needed {FORMAT!r} version {FORMAT_VERSION}: "
                "give the JSON file that torchward bench wrote"
            )
            raise ResultFileError(message)
        try:
            return cls(
                command=body["command"],
                environment=body["environment"],
                settings=body["settings"],
                workloads=tuple(_workload(entry) for entry in body["workloads"]),
                curves=tuple(_curve(entry) for entry in body["curves"]),
                parity=body["parity"],
            )
        except (KeyError, TypeError, AttributeError) as error:
            message = f"a field is missing or of another kind: {error}"
            raise ResultFileError(message) from error


def read_result(path: Path) -> BenchResult:
    """Return the result stored in `path`. Raises ResultFileError, with the file's name."""
    try:
        return BenchResult.from_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        message = f"{path}: cannot be read: {error.strerror}"
        raise ResultFileError(message) from error
    except UnicodeDecodeError as error:
        message = f"{path}: not JSON: it is no text"
        raise ResultFileError(message) from error
    except ResultFileError as error:
        message = f"{path}: {error}"
        raise ResultFileError(message) from error


def _workload(entry: Mapping[str, list[dict[str, object]]]) -> WorkloadResult:
    fields = dict(entry)
    measurements = tuple(
        Measurement(**{**item, "values": tuple(item["values"])})  # type: ignore[arg-type]  # checked by __init__
        for item in fields.pop("measurements")
    )
    requirements = tuple(Requirement(**item) for item in fields.pop("requirements"))  # type: ignore[arg-type]
    notes = tuple(fields.pop("notes"))
    return WorkloadResult(
        **fields,  # type: ignore[arg-type]  # JSON: the names are checked by __init__
        measurements=measurements,
        requirements=requirements,
        notes=notes,  # type: ignore[arg-type]
    )


def _curve(entry: Mapping[str, list[float]]) -> Curve:
    fields = dict(entry)
    steps, returns = tuple(fields.pop("steps")), tuple(fields.pop("returns"))
    return Curve(**fields, steps=steps, returns=returns)  # type: ignore[arg-type]  # as above
