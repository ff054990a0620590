"""One offline training run: planned from a pair, a data set and the user's settings, run, written down.

`train_plan.py` has the plan's type; `train_run.py` hands plans with a data set over to here. Nothing is printed.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from converters.errors import UnreadableFileError
from experience.compiling import UPDATES_THAT_PAY, plan_compiling
from experience.environments import MissingExtraError, make_environment
from experience.evaluation import play_episodes
from experience.offline_data import DEFAULT_LIMIT, Episode, ReplayBuffer, make_episode
from experience.offline_training import (
    OfflineCheckpoint,
    OfflineResult,
    OfflineSettings,
    read_offline_checkpoint,
    train_offline,
)
from experience.run_checkpoints import RunCheckpointError
from parity_tests.pairs import PAIRS, find_pair, load_pairs
from parity_tests.run_figures import RESULT_FILE, Observer, evaluate_finally, write_json
from parity_tests.train_plan import (
    RUN_FILE,
    RunPlan,
    TrainingUsageError,
    machine_settings,
    parse_setting,
)

DEFAULT_STEPS = 10_000
EVALUATION_SEED = 1_000_000
_BUFFER: Mapping[str, object] = {"faithful": False, "limit": DEFAULT_LIMIT}
_FIELDS = ("observations", "actions", "rewards", "terminations", "truncations")


def plan_offline_run(
    pair: str,
    dataset: str,
    environment: str | None,
    settings: Sequence[str] = (),
    *,
    steps: int | None = None,
    pairs: str | None = None,
    **others: Any,  # noqa: ANN401  fields of RunPlan, passed on
) -> RunPlan:
    """Return the plan of a run on recorded data.

    Args:
        pair: name of an offline pair.
        dataset: as for `read_dataset`.
        environment: to evaluate in; None: the one that the data set names, if it does.
        settings: "name=value" with a JSON value (or text), of the agent, the loop or the buffer.
        steps: updates; None: 10,000.
        pairs: "module:NAME" of the user's own pairs.
        others: further fields of the plan.

    Raises:
        TrainingUsageError: A name or value is not known, or the pair does not learn from recorded data.
    """
    try:
        found = find_pair(pair, load_pairs(pairs) if pairs else PAIRS)
    except ValueError as error:
        raise TrainingUsageError(str(error)) from error
    if not found.offline:
        names = ", ".join(each.name for each in PAIRS if each.offline)
        msg = f"{pair} learns in an environment, not from --dataset; those that do: {names}"
        raise TrainingUsageError(msg)
    training = {**asdict(OfflineSettings()), **_BUFFER}
    agent: dict[str, Any] = {}
    for text in settings:
        name, value = parse_setting(text)
        (training if name in training else agent)[name] = value
    if agent.get("compiled") == "auto":
        del agent["compiled"]
    steps = steps or DEFAULT_STEPS
    compiled = plan_compiling(steps, pays_from=UPDATES_THAT_PAY, may_end_early=False)
    plan = RunPlan(
        pair=pair,
        pairs=pairs,
        environment=environment or _named_environment(dataset) or "",
        steps=steps,
        agent=agent,
        training=training,
        dataset=dataset,
        compiled=compiled if pairs is None else None,
        **others,
    )
    _loop_settings(plan)
    return plan


def read_dataset(dataset: str) -> list[Episode]:
    """Return the episodes of a Minari data set, or of an .npz file.

    Args:
        dataset: id or folder of a Minari data set; or a file with flat arrays "observations" (steps + episodes rows),
            "actions", "rewards", "terminations", "truncations" and "lengths", the steps of every episode.

    Raises:
        UnreadableFileError: It is missing, damaged or of another form.
    """
    try:
        if dataset.endswith(".npz"):
            return _read_archive(Path(dataset))
        datasets = importlib.import_module("experience.datasets")
        episodes: list[Episode] = datasets.load_episodes(dataset)
    except (OSError, ValueError, KeyError, ImportError) as error:
        if isinstance(error, UnreadableFileError):
            raise
        raise UnreadableFileError(str(error)) from error
    return episodes


def run_offline_training(
    plan: RunPlan,
    run_folder: Path,
    *,
    resume: bool,
    observer: Observer,
    should_stop: Callable[[], bool] | None = None,
) -> dict[str, Any]:  # Any: JSON
    """Train, evaluate in the environment if there is one, write the run folder and return the figures.

    Raises:
        TrainingUsageError: The settings do not fit the agent, the data or the environment.
        UnreadableFileError: The data or the run cannot be read.
        OSError: The folder cannot be written.
    """
    episodes = read_dataset(str(plan.dataset))
    try:
        buffer = ReplayBuffer(
            episodes, int(plan.training["limit"]), faithful=bool(plan.training["faithful"])
        )
        checkpoint = read_offline_checkpoint(run_folder) if resume else None
    except RunCheckpointError as error:
        raise UnreadableFileError(str(error)) from error
    except ValueError as error:
        raise TrainingUsageError(str(error)) from error
    make = partial(make_environment, plan.environment) if plan.environment else None
    agent, updates = _build(plan, buffer, make, checkpoint)
    facts = {
        "plan": asdict(plan),
        "run_folder": str(run_folder),
        "device": str(agent.get_device_info()["device_type"]),
        "how_updates_run": updates,
        "episodes": len(episodes),
        "steps": len(buffer),
    }
    resumed = {"episode": len(episodes), "step": checkpoint.updates} if checkpoint else None
    observer.on_start(facts | {"resumed_at": resumed})
    run_folder.mkdir(parents=True, exist_ok=resume)
    write_json(run_folder / RUN_FILE, asdict(plan))
    result = train_offline(
        agent,
        buffer,
        steps=plan.steps or DEFAULT_STEPS,
        generator=np.random.default_rng(plan.seed),
        settings=_loop_settings(plan),
        evaluate=_evaluation(plan, agent, make),
        run_folder=run_folder,
        should_stop=should_stop,
        checkpoint=checkpoint,
    )
    return facts | _finish(plan, run_folder, agent, result, make)


def _evaluation(
    plan: RunPlan,
    agent: Any,  # noqa: ANN401  of either framework
    make: Callable[[], Any] | None,
) -> Callable[[], dict[str, float]] | None:
    """Return the function that measures the agent during training, None without an environment."""
    if make is None:
        return None

    def evaluate() -> dict[str, float]:
        episodes = plan.evaluation_episodes
        returns = play_episodes(agent, make, episodes=episodes, seed=EVALUATION_SEED)
        return {"evaluation_return": float(returns.mean())}

    return evaluate


def _finish(
    plan: RunPlan,
    run_folder: Path,
    agent: Any,  # noqa: ANN401  of either framework
    result: OfflineResult,
    make: Callable[[], Any] | None,  # Any: a gymnasium environment
) -> dict[str, Any]:  # Any: JSON
    """Save the agent and evaluate it, unless the run was interrupted, and return the figures."""
    figures: dict[str, Any] = {
        "reason": result.reason,
        "updates": result.updates,
        "best_return": None,
        "best_episode": None,
        "metrics": result.history[-1] if result.history else {},
    }
    if result.reason == "interrupted":
        return figures
    agent.save(run_folder / "agent")
    figures["agent"] = sorted(str(path) for path in run_folder.glob("agent*"))
    if make is not None:
        figures |= evaluate_finally(agent, make, episodes=plan.final_episodes)
    write_json(run_folder / RESULT_FILE, figures)
    return figures


def _build(
    plan: RunPlan,
    buffer: ReplayBuffer,
    make: Callable[[], Any] | None,  # Any: a gymnasium environment
    checkpoint: OfflineCheckpoint | None,
) -> tuple[Any, str | None]:  # Any: an agent of either framework
    """Return the agent, new or as of the checkpoint, and a line on how updates run."""
    pair = find_pair(plan.pair, load_pairs(plan.pairs) if plan.pairs else PAIRS)
    module, _, name = (pair.torch if plan.framework == "torch" else pair.legacy).partition(":")
    try:
        agent_class = getattr(importlib.import_module(module), name)
        machine, updates = machine_settings(plan, agent_class, pays_from=UPDATES_THAT_PAY)
        if checkpoint is not None:
            return agent_class.load(checkpoint.agent_path, **machine), updates
        # What was said of `compiled` is in `machine` already, if the agent takes it.
        own = {k: v for k, v in plan.agent.items() if k != "compiled" or k not in machine}
        settings = {**measure_data(buffer, make, discrete=agent_class.discrete), **own}
        return agent_class(**settings, seed=plan.seed, **machine), updates
    except (ValueError, TypeError, MissingExtraError) as error:
        raise TrainingUsageError(str(error)) from error
    except ModuleNotFoundError as error:
        extra = "legacy" if plan.framework == "tensorflow" else "offline"
        hint = f"pip install 'torchward[{extra}]'"
        msg = f"{plan.framework} agents need the package {error.name}, which is not installed"
        raise TrainingUsageError(msg, hint=hint) from error


def measure_data(
    buffer: ReplayBuffer,
    make: Callable[[], Any] | None = None,  # Any: a gymnasium environment
    *,
    discrete: bool,
) -> dict[str, Any]:  # Any: arguments of an agent
    """Return obs_dim and action_dim of the data, and bounds of continuous actions.

    The environment knows how many actions there are and where they end; without one, the data's largest and smallest
    say it (d3rlpy's MinMaxActionScaler does the same).

    Raises:
        ValueError: Observations are no vectors, or the actions are of the other kind.
    """
    transitions = buffer.transitions
    if transitions.observation.ndim != 2:
        msg = f"observations of shape {transitions.observation.shape[1:]}; offline agents need vectors"
        raise ValueError(msg)
    numbered = np.issubdtype(transitions.action.dtype, np.integer)
    if bool(numbered) != discrete:
        kinds = {True: "numbers of actions", False: "continuous actions"}
        msg = f"the data have {kinds[not discrete]}, the algorithm learns {kinds[discrete]}"
        raise ValueError(msg)
    size = transitions.observation.shape[1]
    space = None
    if make is not None:
        environment = make()
        space = environment.action_space
        environment.close()
    if numbered:
        count = int(space.n) if space is not None else int(transitions.action.max()) + 1
        return {"obs_dim": size, "action_dim": count}
    low = transitions.action.min(axis=0) if space is None else space.low
    high = transitions.action.max(axis=0) if space is None else space.high
    return {
        "obs_dim": size,
        "action_dim": transitions.action.shape[1],
        "action_low": np.asarray(low, np.float64).tolist(),
        "action_high": np.asarray(high, np.float64).tolist(),
    }


def _loop_settings(plan: RunPlan) -> OfflineSettings:
    """Return the loop's settings. Raises TrainingUsageError for values of another type or out of range."""
    names = {field.name for field in fields(OfflineSettings)}
    try:
        return OfflineSettings(**{k: v for k, v in plan.training.items() if k in names})
    except (TypeError, ValueError) as error:
        raise TrainingUsageError(str(error)) from error


def _named_environment(dataset: str) -> str | None:
    """Return the environment that a Minari data set names, None if it names none or cannot be read."""
    if dataset.endswith(".npz"):
        return None
    try:
        datasets = importlib.import_module("experience.datasets")
        found: str | None = datasets.describe_dataset(dataset).environment or None
    except (OSError, ValueError, ImportError):
        return None  # reading the episodes says what is wrong
    return found


def _read_archive(path: Path) -> list[Episode]:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in (*_FIELDS, "lengths")}
    lengths = arrays["lengths"].astype(np.int64)
    ends = np.cumsum(lengths)
    episodes = []
    for index, (end, length) in enumerate(zip(ends, lengths, strict=True)):
        steps = slice(end - length, end)
        rows = slice(steps.start + index, steps.stop + index + 1)
        parts = [arrays[name][rows if name == "observations" else steps] for name in _FIELDS]
        episodes.append(make_episode(*parts))
    return episodes
