"""A training run as plain data: planned from a pair, a preset and the user's settings.

`train_run.py` and `offline_run.py` run what is planned here; nothing is printed or written.
"""

from __future__ import annotations

import difflib
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from converters.errors import ConversionError, UnreadableFileError
from experience.agents import AGENTS
from experience.compiling import (
    DQN_UPDATES_THAT_PAY,
    Compiled,
    describe_compiling,
    plan_compiling,
)
from experience.presets import Preset, find_preset
from experience.schedules import LinearSchedule
from experience.training import TrainingSettings
from parity_tests.pairs import PAIRS, find_pair, load_pairs

RUN_FILE = "run.json"
FRAMEWORKS = ("torch", "tensorflow")
SUITE_AGENTS = {f"torch_impl.{module}:{name}": alg for alg, (module, name) in AGENTS.items()}
"""Class of an agent that `suite_command` trains, to its --alg."""
_SET_BY_RUN = {"state_size", "action_size", "seed", "device"}
"""Arguments of an agent that come from the environment or have an option of their own."""


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
        compiled: how a torch agent that can compile updates does them on a CPU, unless `agent` says it; None: as its
            own default is.
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
    compiled: Compiled | None = None


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
    if found.torch in SUITE_AGENTS:
        alg = SUITE_AGENTS[found.torch]
        msg = f"{pair} is of the RRD suite, which is trained with flags of its own"
        raise TrainingUsageError(msg, hint=f"torchward train --alg {alg} --help shows them")
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
    loop = training_settings(plan)
    if pairs is not None:
        return plan
    compiled = plan_compiling(
        None if steps is None else loop.count_updates(steps),
        pays_from=DQN_UPDATES_THAT_PAY,
        may_end_early=loop.goal is not None or episodes is not None,
    )
    return replace(plan, compiled=compiled)


def machine_settings(
    plan: RunPlan, agent_class: Callable[..., object], *, pays_from: int
) -> tuple[dict[str, Any], str | None]:  # Any: arguments of an agent
    """Return those arguments of an agent that its files leave out: where it computes, and how.

    Args:
        plan: of the run.
        agent_class: of either framework.
        pays_from: updates from which compiling pays.

    Returns:
        The arguments, and a line on how updates run; None for an agent that leaves no choice.

    Raises:
        ValueError: The device is not there.
    """
    known = inspect.signature(agent_class).parameters
    # TensorFlow places and compiles its operations itself; its agents take neither.
    settings: dict[str, Any] = {"device": plan.device} if "device" in known else {}
    compiled = plan.agent.get("compiled", plan.compiled)
    if "compiled" not in known or compiled is None:
        return settings, None
    if compiled and "compiled" not in plan.agent:
        from torch_impl.devices import find_device

        if find_device(plan.device).type != "cpu":
            line = "in eager PyTorch; on a GPU they are compiled only with --set compiled=true"
            return {**settings, "compiled": False}, line
    line = describe_compiling(compiled, pays_from=pays_from)
    return {**settings, "compiled": compiled}, line


def check_names(settings: Mapping[str, object], agent_class: Callable[..., object]) -> None:
    """Raise TrainingUsageError for settings that neither the agent nor the loop has."""
    parameters = inspect.signature(agent_class).parameters
    check_numbers(settings, {name: each.default for name, each in parameters.items()})
    known = set(parameters) - _SET_BY_RUN
    unknown = [name for name in settings if name not in known]
    if not unknown:
        return
    names = sorted(known | {field.name for field in fields(TrainingSettings)})
    nearest = difflib.get_close_matches(unknown[0], names, n=3, cutoff=0.5)
    msg = f"no setting named {', '.join(unknown)}; there are: {', '.join(names)}"
    raise TrainingUsageError(msg, hint=f"nearest: {', '.join(nearest)}" if nearest else None)


def check_numbers(settings: Mapping[str, object], defaults: Mapping[str, object]) -> None:
    """Raise TrainingUsageError for text and lists where the default is a number, or true or false."""
    for name, value in settings.items():
        default = defaults.get(name)
        kind = (bool,) if isinstance(default, bool) else (int, float)
        if not isinstance(default, int | float) or value is None or isinstance(value, kind):
            continue
        needed = "true or false" if isinstance(default, bool) else "a number"
        msg = f"--set {name}={value}: needed {needed}, such as {json.dumps(default)}"
        raise TrainingUsageError(msg)


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
    except OSError as error:
        msg = f"{run_folder}: not a run folder: {error.strerror}"
        raise UnreadableFileError(msg) from error
    except (ValueError, TypeError) as error:
        msg = f"{path}: {error}"
        raise UnreadableFileError(msg) from error


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


def training_settings(plan: RunPlan) -> TrainingSettings:
    """Return the loop's settings. Raises TrainingUsageError for values of another type or out of range."""
    values = dict(plan.training)
    check_numbers(values, {field.name: field.default for field in fields(TrainingSettings)})
    try:
        line = values.get("exploration")
        values["exploration"] = None if line is None else LinearSchedule(*line)
        return TrainingSettings(**values)
    except (TypeError, ValueError) as error:
        raise TrainingUsageError(str(error)) from error
