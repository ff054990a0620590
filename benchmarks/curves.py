"""Learning curves from the run folders that `torchward train` leaves.

A DQN's run has its lines in metrics.jsonl (`experience.logs`), a run of the RRD suite its returns in the state of its last
checkpoint (`experience.suite_checkpoints`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.results import Curve
from experience.arguments import read_arguments

LINES_NAME = "metrics.jsonl"
RUN_NAME = "run.json"
RESULT_NAME = "result.json"
ARGUMENTS_NAME = "arguments.json"
"""Of a run of the RRD suite."""
EPISODIC = ", episodic reward"
_STATES = "checkpoints/steps-*/state.json"
LABELS = {"legacy": "TensorFlow", "torch": "PyTorch"}
SMOOTHED_EPISODES = 20
"""Single episodes are too noisy to compare: without evaluations, this many are averaged."""

Point = tuple[float, float]


def read_curves(folder: Path) -> tuple[Curve, ...]:
    """Return one curve for every run below `folder`, in the order of their paths.

    A run's curve are its evaluations; a run without at least two of them is drawn by its training episodes,
    each the mean of the last 20. Runs of the RRD suite that have not ended are left out: what they have reached cannot be
    compared with what others have.

    Raises:
        ValueError: There is no run, or one has no curve in it; the message names the file.
    """
    readers: Mapping[str, Callable[[Path, Path], Curve | None]] = {
        LINES_NAME: _read_lines_run,
        ARGUMENTS_NAME: _read_suite_run,
    }
    files = sorted(path for name in readers for path in folder.rglob(name))
    if not files:
        message = (
            f"{folder}: no {' and no '.join(readers)} below it; torchward train writes one a run"
        )
        raise ValueError(message)
    curves = [readers[path.name](path, folder) for path in files]
    ended = tuple(curve for curve in curves if curve is not None)
    if not ended:
        message = f"{folder}: none of its {len(curves)} runs has ended; go on with torchward train --resume"
        raise ValueError(message)
    return ended


def _read_suite_run(path: Path, folder: Path) -> Curve | None:
    """Return the curve of a run of the RRD suite from its last checkpoint, None if it has not ended.

    Args:
        path: of its arguments.
        folder: of all runs.
    """
    arguments = read_arguments(path)
    state = find_suite_state(path.parent)
    if state is None:
        return None
    try:
        progress = json.loads(state.read_text(encoding="utf-8"))["progress"]
        points = [(float(step), float(value)) for step, value in progress["returns"]]
        ended = progress["cycle"] >= arguments.epochs * arguments.cycles
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = f"{state}: not the state of a run: {error}"
        raise ValueError(message) from error
    if not ended:
        return None
    if not points:
        message = f"{state}: no test in it; the run had no --test_rollouts"
        raise ValueError(message)
    named, _ = _identify(path.parent, folder)
    framework = {None: named, True: "torch", False: "legacy"}[arguments.use_pytorch]
    episodic = arguments.env_type == "ep_rews"
    basis = arguments.basis.upper()
    return Curve(
        framework=framework,
        label=LABELS[framework],
        seed=str(arguments.seed),
        steps=tuple(step for step, _ in points),
        returns=tuple(value for _, value in points),
        task=arguments.env + (EPISODIC if episodic else ""),
        algorithm=basis if arguments.alg == arguments.basis else f"{arguments.alg.upper()}-{basis}",
    )


def _read_lines_run(path: Path, folder: Path) -> Curve:
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


def find_suite_state(run: Path) -> Path | None:
    """Return the state file of the last checkpoint of a run of the RRD suite, None if there is none."""
    return max(
        run.glob(_STATES), key=lambda path: int(path.parent.name.rpartition("-")[2]), default=None
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
