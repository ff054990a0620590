"""Learning curves from the run folders that `torchward train` leaves."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.results import Curve

PROGRESS_NAME = "progress.csv"
STEP_COLUMNS = ("step", "steps")
RETURN_COLUMNS = ("evaluation_return", "mean_return", "return")
"""Columns that may hold the return, the most telling first."""
LABELS = {"legacy": "TensorFlow", "torch": "PyTorch"}


def read_curves(folder: Path) -> tuple[Curve, ...]:
    """Return one curve for every run below `folder`, in the order of their paths.

    Raises:
        ValueError: There is no run, or one has no curve in it; the message names the file.
    """
    files = sorted(folder.rglob(PROGRESS_NAME))
    if not files:
        message = f"{folder}: no {PROGRESS_NAME} below it; torchward train writes one a run"
        raise ValueError(message)
    return tuple(_read_curve(path) for path in files)


def _read_curve(path: Path) -> Curve:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    columns = list(rows[0]) if rows else []
    step = next((name for name in STEP_COLUMNS if name in columns), None)
    value = next((name for name in RETURN_COLUMNS if name in columns), None)
    if step is None or value is None:
        message = f"{path}: found the columns {columns}, needed a step and a return"
        raise ValueError(message)
    points = list(_points(rows, step, value))
    settings = _settings(path.parent)
    framework = settings.get("framework", "torch")
    return Curve(
        framework=framework,
        label=LABELS.get(framework, framework),
        seed=settings.get("seed", path.parent.name),
        steps=tuple(point[0] for point in points),
        returns=tuple(point[1] for point in points),
    )


def _points(rows: list[dict[str, str]], step: str, value: str) -> Iterator[tuple[float, float]]:
    """Yield (step, return) of the rows that hold both."""
    for row in rows:
        if row[step] and row[value]:
            yield float(row[step]), float(row[value])


def _settings(folder: Path) -> Mapping[str, str]:
    """Return what the run says of itself, {} if it says nothing."""
    path = folder / "run.json"
    if not path.exists():
        return {}
    content = json.loads(path.read_text(encoding="utf-8"))
    return {str(name): str(value) for name, value in content.items()}
