"""One training run: what `train_plan.py` has planned is run, evaluated and written down.

The command runs it in its own process for torch and in a child for TensorFlow; nothing is printed here.
"""

from __future__ import annotations

import importlib
import importlib.util
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from converters.errors import OutputError, UnreadableFileError
from experience.compiling import DQN_UPDATES_THAT_PAY
from experience.environments import MissingExtraError, make_environment, measure_spaces
from experience.logs import RunLog
from experience.run_checkpoints import RunCheckpoint, RunCheckpointError, read_run_checkpoint
from experience.trainable import TrainableAgent, check_trainable
from experience.training import Evaluation, TrainingResult, train
from parity_tests.offline_run import run_offline_training
from parity_tests.pairs import PAIRS, find_pair, load_pairs
from parity_tests.run_figures import RESULT_FILE, Observer, evaluate_finally, write_json
from parity_tests.train_plan import (
    RUN_FILE,
    RunPlan,
    TrainingUsageError,
    check_names,
    machine_settings,
    training_settings,
)


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
    if plan.tensorboard and importlib.util.find_spec("tensorboard") is None:
        msg = "--tensorboard needs the package tensorboard, which is not installed"
        raise TrainingUsageError(msg, hint="pip install 'torchward[rl]'")
    if plan.dataset is not None:
        return _run_on_data(plan, run_folder, resume, observer, should_stop)
    make = partial(make_environment, plan.environment)
    checkpoint = _read_checkpoint(run_folder) if resume else None
    agent, environment, updates = _build(plan, make, checkpoint)
    facts = {
        "plan": asdict(plan),
        "run_folder": str(run_folder),
        "device": _describe_device(agent, plan.device),
        "how_updates_run": updates,
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
                settings=training_settings(plan),
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
        kind = type(agent)
        machine, _ = machine_settings(plan, kind, pays_from=DQN_UPDATES_THAT_PAY)
        agent = kind.load(result.best_path, **machine)
    agent.save(run_folder / "agent")
    figures["agent"] = sorted(str(path) for path in run_folder.glob("agent*"))
    figures |= evaluate_finally(agent, make, episodes=plan.final_episodes)
    write_json(run_folder / RESULT_FILE, figures)
    return figures


def _build(
    plan: RunPlan, make: Callable[[], Any], checkpoint: RunCheckpoint | None
) -> tuple[TrainableAgent, Any, str | None]:  # Any: a gymnasium environment
    """Return agent and environment, both new or both as of the checkpoint, and a line on how updates run."""
    pair = find_pair(plan.pair, load_pairs(plan.pairs) if plan.pairs else PAIRS)
    module, _, name = (pair.torch if plan.framework == "torch" else pair.legacy).partition(":")
    try:
        environment = make()
        state_size, action_size = measure_spaces(environment)
        agent_class = getattr(importlib.import_module(module), name)
        check_names(plan.agent, agent_class)
        machine, updates = machine_settings(plan, agent_class, pays_from=DQN_UPDATES_THAT_PAY)
        if checkpoint is not None:
            return agent_class.load(checkpoint.agent_path, **machine), environment, updates
        settings = {**plan.agent, "seed": plan.seed, **machine}
        agent = agent_class(state_size, action_size, **settings)
        check_trainable(agent, training_settings(plan))
        return agent, environment, updates
    except (ValueError, TypeError, MissingExtraError) as error:
        raise TrainingUsageError(str(error)) from error
    except ModuleNotFoundError as error:
        extra = "legacy" if plan.framework == "tensorflow" else "rl"
        hint = f"pip install 'torchward[{extra}]'"
        msg = f"{plan.framework} agents need the package {error.name}, which is not installed"
        raise TrainingUsageError(msg, hint=hint) from error


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
