"""Learning curves from the run folders that `torchward train` leaves (`experience.logs` writes them)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.results import Curve

LINES_NAME = "metrics.jsonl"
RUN_NAME = "run.json"
RESULT_NAME = "result.json"
LABELS = {"legacy": "TensorFlow", "torch": "PyTorch"}
SMOOTHED_EPISODES = 20
"""Single episodes are too noisy to compare: without evaluations, this many are averaged."""

Point = tuple[float, float]


def read_curves(folder: Path) -> tuple[Curve, ...]:
    """Return one curve for every run below `folder`, in the order of their paths.

    A run's curve are its evaluations; a run without at least two of them is drawn by its training episodes,
    each the mean of the last 20.

    Raises:
        ValueError: There is no run, or one has no curve in it; the message names the file.
    """
    files = sorted(folder.rglob(LINES_NAME))
    if not files:
        message = f"{folder}: no {LINES_NAME} below it; torchward train writes one a run"
        raise ValueError(message)
    return tuple(_read_curve(path, folder) for path in files)


def _read_curve(path: Path, folder: Path) -> Curve:
    evaluations: list[Point] = []
    episodes: list[Point] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            row = json.loads(line)
            if row["kind"] == "evaluation":
                evaluations.append((float(row["step"]), float(row["mean_return"])))
            elif row["kind"] == "episode":
                episodes.append((float(row["step"]), float(row["episode_return"])))
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            message = f"{path}: line {number} is not a line of a run: {error}"
            raise ValueError(message) from error
    points = evaluations if len(evaluations) > 1 else smooth(episodes)
    if not points:
        message = f"{path}: neither evaluations nor episodes in it"
        raise ValueError(message)
    framework, seed = _identify(path.parent, folder)
    ended = _read_settings(path.parent / RESULT_NAME)
    return Curve(
        framework=framework,
        label=LABELS.get(framework, framework),
        seed=seed,
        steps=tuple(step for step, _ in points),
        returns=tuple(value for _, value in points),
        final=_number(ended.get("mean_return")),
        threshold=_number(ended.get("threshold")),
    )


def smooth(points: Sequence[Point], width: int = SMOOTHED_EPISODES) -> list[Point]:
    """Return every point with the mean of its value and the up to `width - 1` before it."""
    values = np.asarray([value for _, value in points], dtype=np.float64)
    return [
        (step, float(values[max(0, index + 1 - width) : index + 1].mean()))
        for index, (step, _) in enumerate(points)
    ]


def _identify(run: Path, folder: Path) -> tuple[str, str]:
    """Return (framework, seed): what the run says of itself, else what its folders are called."""
    said = _read_settings(run / RUN_NAME)
    names = "/".join(run.relative_to(folder).parts) or run.name
    framework = {"tensorflow": "legacy"}.get(said.get("framework", ""), said.get("framework"))
    if framework is None:
        framework = "legacy" if re.search(r"legacy|tensorflow|\btf\b", names) else "torch"
    number = re.search(r"(\d+)\D*$", names)
    return framework, said.get("seed", number.group(1) if number else names)


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def _read_settings(path: Path) -> Mapping[str, str]:
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        message = f"{path}: not JSON: {error}"
        raise ValueError(message) from error
    return {str(name): str(value) for name, value in content.items()}
