"""One training run as plain data: planned from a pair, a preset and the user's settings, run, written down.

The command runs it in its own process for torch and in a child for TensorFlow; nothing is printed here.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from converters.errors import ConversionError, OutputError, UnreadableFileError
from experience.environments import MissingExtraError, make_environment, measure_spaces
from experience.evaluation import play_episodes
from experience.logs import Listener, RunLog
from experience.presets import Preset, find_preset
from experience.run_checkpoints import RunCheckpoint, RunCheckpointError, read_run_checkpoint
from experience.schedules import LinearSchedule
from experience.trainable import TrainableAgent, check_trainable
from experience.training import Evaluation, TrainingResult, TrainingSettings, train
from parity_tests.pairs import PAIRS, find_pair, load_pairs

RUN_FILE = "run.json"
RESULT_FILE = "result.json"
FINAL_SEED = 5_000_000
"""Of the first final evaluation episode; those that choose the weights start at 1,000,000."""
_SET_BY_RUN = {"state_size", "action_size", "seed", "device"}
"""Arguments of an agent that come from the environment or have an option of their own."""
FRAMEWORKS = ("torch", "tensorflow")


class TrainingUsageError(ConversionError):
    """A training run that was asked for in a way that cannot be."""

    exit_code = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """Everything that decides a run; stored in run.json.

    Attributes:
        pair: name of the agent pair.
        pairs: "module:NAME" of the user's own pairs, None: ours.
        framework: "torch" or "tensorflow".
        environment: as for `make_environment`.
        seed: of weights, exploration, samples and episodes.
        episodes: budget, None: no limit.
        steps: budget in environment steps, None: no limit.
        agent: arguments of the agent's constructor.
        training: fields of `TrainingSettings`; exploration as [start, end, steps].
        evaluation_episodes: of an evaluation during training.
        final_episodes: of the final figure.
        tensorboard: also write TensorBoard's events.
        device: of a torch agent.
        dataset: recorded data that an offline pair learns from, as for `offline_run.read_dataset`; None: it acts.
    """

    pair: str
    pairs: str | None = None
    framework: str = "torch"
    environment: str
    seed: int = 0
    episodes: int | None = None
    steps: int | None = None
    agent: Mapping[str, Any]  # Any: JSON
    training: Mapping[str, Any]  # Any: JSON
    evaluation_episodes: int = 20
    final_episodes: int = 100
    tensorboard: bool = False
    device: str = "auto"
    dataset: str | None = None


class Observer(Listener, Protocol):
    """Whoever shows a run."""

    def on_start(self, facts: Mapping[str, object]) -> None:
        """Take note of what has been set up."""
        ...


def plan_run(
    pair: str,
    environment: str | None,
    settings: Sequence[str] = (),
    *,
    episodes: int | None = None,
    steps: int | None = None,
    pairs: str | None = None,
    **others: Any,  # noqa: ANN401  fields of RunPlan, passed on
) -> RunPlan:
    """Return the plan: the preset of pair and environment, changed by what the user said.

    Args:
        pair: name.
        environment: None: the pair's own.
        settings: "name=value" with a JSON value (or text), of the agent or of the loop.
        episodes: replaces the preset's budget of either kind.
        steps: the same.
        pairs: "module:NAME" of the user's own pairs.
        others: further fields of the plan.

    Raises:
        TrainingUsageError: A name or value is not known.
    """
    try:
        found = find_pair(pair, load_pairs(pairs) if pairs else PAIRS)
    except ValueError as error:
        raise TrainingUsageError(str(error)) from error
    if found.offline:
        msg = f"{pair} learns from recorded data; name it with --dataset ID_OR_FOLDER"
        raise TrainingUsageError(msg)
    environment = environment or found.env
    preset = find_preset(pair, environment)
    training = _training_to_plain(preset)
    agent = dict(preset.agent)
    for text in settings:
        name, value = parse_setting(text)
        (training if name in training else agent)[name] = value
    if episodes is None and steps is None:
        episodes, steps = preset.episodes, preset.steps
    plan = RunPlan(
        pair=pair,
        pairs=pairs,
        environment=environment,
        episodes=episodes,
        steps=steps,
        agent=agent,
        training=training,
        evaluation_episodes=preset.evaluation_episodes,
        **others,
    )
    _training_settings(plan)
    return plan


def choose_run_folder(plan: RunPlan, parent: Path = Path("runs")) -> Path:
    """Return a folder name of the run that is not taken."""
    environment = (plan.dataset or plan.environment).strip("/").replace("/", "-")
    name = f"{plan.pair}-{environment}-{plan.framework}-seed{plan.seed}"
    candidates = (parent / (f"{name}-{n}" if n > 1 else name) for n in range(1, 10_000))
    return next(path for path in candidates if not path.exists())


def read_plan(run_folder: Path) -> RunPlan:
    """Return the plan of a run that was begun.

    Raises:
        UnreadableFileError: The folder holds none.
    """
    path = run_folder / RUN_FILE
    try:
        return RunPlan(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        msg = f"{run_folder}: not a run folder, {RUN_FILE} is missing"
        raise UnreadableFileError(msg) from error
    except (OSError, ValueError, TypeError) as error:
        msg = f"{path}: {error}"
        raise UnreadableFileError(msg) from error


def run_training(
    plan: RunPlan,
    run_folder: Path,
    *,
    resume: bool,
    observer: Observer,
    should_stop: Callable[[], bool] | None = None,
) -> dict[str, Any]:
    """Train, evaluate the best agent, write it to the run folder and return the figures as plain data.

    Raises:
        TrainingUsageError: The settings do not fit the agent or the environment.
        UnreadableFileError: The run cannot be continued.
        OutputError: The folder cannot be written.
    """
    if plan.dataset is not None:
        return _run_on_data(plan, run_folder, resume, observer, should_stop)
    make = partial(make_environment, plan.environment)
    checkpoint = _read_checkpoint(run_folder) if resume else None
    agent, environment = _build(plan, make, checkpoint)
    facts = {
        "plan": asdict(plan),
        "run_folder": str(run_folder),
        "device": _describe_device(agent, plan.device),
    }
    observer.on_start(facts | {"resumed_at": checkpoint.state["counters"] if checkpoint else None})
    try:
        run_folder.mkdir(parents=True, exist_ok=resume)
        write_json(run_folder / RUN_FILE, asdict(plan))
        position = checkpoint.state["log"] if checkpoint else None
        with RunLog(run_folder, tensorboard=plan.tensorboard, position=position) as log:
            result = train(
                agent,
                environment,
                rng=np.random.default_rng(plan.seed),
                episodes=plan.episodes,
                steps=plan.steps,
                settings=_training_settings(plan),
                evaluation=Evaluation(make, plan.evaluation_episodes),
                run_folder=run_folder,
                log=log,
                listeners=[observer],
                should_stop=should_stop,
                checkpoint=checkpoint,
            )
            seconds = log.seconds()
        environment.close()
        return facts | _finish(plan, run_folder, agent, result, make) | {"seconds": seconds}
    except (RunCheckpointError, MissingExtraError) as error:
        raise UnreadableFileError(str(error)) from error
    except OSError as error:
        msg = f"{run_folder}: {error.strerror or error}"
        raise OutputError(msg) from error


def _run_on_data(
    plan: RunPlan,
    run_folder: Path,
    resume: bool,
    observer: Observer,
    should_stop: Callable[[], bool] | None,
) -> dict[str, Any]:
    """Do what `run_training` does for a plan with a data set."""
    from parity_tests.offline_run import run_offline_training  # which imports this module

    start = time.perf_counter()
    try:
        result = run_offline_training(
            plan, run_folder, resume=resume, observer=observer, should_stop=should_stop
        )
    except OSError as error:
        msg = f"{run_folder}: {error.strerror or error}"
        raise OutputError(msg) from error
    return result | {"seconds": time.perf_counter() - start}


def _finish(
    plan: RunPlan,
    run_folder: Path,
    agent: TrainableAgent,
    result: TrainingResult,
    make: Callable[[], Any],  # Any: a gymnasium environment
) -> dict[str, Any]:
    """Evaluate what came out, unless the run was interrupted, and return the figures."""
    figures: dict[str, Any] = {
        "reason": result.reason,
        "episodes": result.episodes,
        "steps": result.steps,
        "updates": result.updates,
        "best_return": result.best_return,
        "best_episode": result.best_episode,
    }
    if result.reason == "interrupted":
        return figures
    if result.best_path is not None:
        agent = type(agent).load(result.best_path)
    agent.save(run_folder / "agent")
    returns = play_episodes(agent, make, episodes=plan.final_episodes, seed=FINAL_SEED)
    threshold = _reward_threshold(make)
    figures |= {
        "final_episodes": len(returns),
        "mean_return": float(returns.mean()),
        "deviation": float(returns.std()),
        "minimum": float(returns.min()),
        "maximum": float(returns.max()),
        "threshold": threshold,
        "solved": None if threshold is None else bool(returns.mean() >= threshold),
        "agent": sorted(str(path) for path in run_folder.glob("agent*")),
    }
    write_json(run_folder / RESULT_FILE, figures)
    return figures


def _build(
    plan: RunPlan, make: Callable[[], Any], checkpoint: RunCheckpoint | None
) -> tuple[TrainableAgent, Any]:  # Any: a gymnasium environment
    """Return agent and environment, both new or both as of the checkpoint."""
    pair = find_pair(plan.pair, load_pairs(plan.pairs) if plan.pairs else PAIRS)
    module, _, name = (pair.torch if plan.framework == "torch" else pair.legacy).partition(":")
    try:
        environment = make()
        state_size, action_size = measure_spaces(environment)
        agent_class = getattr(importlib.import_module(module), name)
        known = set(inspect.signature(agent_class).parameters)
        _check_names(plan.agent, known - _SET_BY_RUN)
        # TensorFlow places its operations itself; its agents take no device.
        place = {"device": plan.device} if "device" in known else {}
        if checkpoint is not None:
            return agent_class.load(checkpoint.agent_path, **place), environment
        agent = agent_class(state_size, action_size, **plan.agent, seed=plan.seed, **place)
        check_trainable(agent, _training_settings(plan))
        return agent, environment
    except (ValueError, TypeError, MissingExtraError) as error:
        raise TrainingUsageError(str(error)) from error
    except ModuleNotFoundError as error:
        extra = "legacy" if plan.framework == "tensorflow" else "rl"
        hint = f"pip install 'torchward[{extra}]'"
        msg = f"{plan.framework} agents need the package {error.name}, which is not installed"
        raise TrainingUsageError(msg, hint=hint) from error


def _check_names(settings: Mapping[str, object], known: set[str]) -> None:
    """Raise TrainingUsageError for settings that neither the agent nor the loop has."""
    unknown = [name for name in settings if name not in known]
    if not unknown:
        return
    names = sorted(known | {field.name for field in fields(TrainingSettings)})
    nearest = difflib.get_close_matches(unknown[0], names, n=3, cutoff=0.5)
    msg = f"no setting named {', '.join(unknown)}; there are: {', '.join(names)}"
    raise TrainingUsageError(msg, hint=f"nearest: {', '.join(nearest)}" if nearest else None)


def parse_setting(text: str) -> tuple[str, Any]:  # Any: JSON
    """Return name and value of "name=value"; the value is JSON, or text where it is none."""
    name, separator, value = text.partition("=")
    if not (name and separator):
        msg = f"--set {text!r}: write name=value, for example --set learning_rate=0.0005"
        raise TrainingUsageError(msg)
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _training_to_plain(preset: Preset) -> dict[str, Any]:  # Any: JSON
    """Return all fields of the loop's settings as JSON would have them."""
    plain = asdict(preset.training)
    line = preset.training.exploration
    plain["exploration"] = None if line is None else [line.start, line.end, line.steps]
    return plain


def _training_settings(plan: RunPlan) -> TrainingSettings:
    """Return the loop's settings. Raises TrainingUsageError for values of another type or out of range."""
    values = dict(plan.training)
    try:
        line = values.get("exploration")
        values["exploration"] = None if line is None else LinearSchedule(*line)
        return TrainingSettings(**values)
    except (TypeError, ValueError) as error:
        raise TrainingUsageError(str(error)) from error


def _read_checkpoint(run_folder: Path) -> RunCheckpoint:
    try:
        return read_run_checkpoint(run_folder)
    except RunCheckpointError as error:
        raise UnreadableFileError(str(error)) from error


def _describe_device(agent: object, wanted: str) -> str:
    """Return "cpu (no CUDA found)" or the like."""
    describe = getattr(agent, "get_device_info", None)
    if describe is None:
        return "the agent does not say"
    info = describe()
    if info.get("is_cuda"):
        return f"{info['device_type']} ({info.get('gpu_name', 'GPU')})"
    return f"{info['device_type']} ({'no CUDA found' if wanted == 'auto' else 'as asked'})"


def _reward_threshold(make: Callable[[], Any]) -> float | None:
    """Return the mean return from which Gymnasium calls the environment solved, None if it names none."""
    environment = make()
    try:
        return environment.spec.reward_threshold if environment.spec else None
    finally:
        environment.close()


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Write the file as a whole or not at all."""
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    temporary.replace(path)
