"""`torchward train`: plans a run, shows it, and prints what came of it.

Arguments in, text and exit status out. The run itself is `train_plan` and `train_run`; torch trains in this process, TensorFlow in a
child, whose noise is shown only when it fails.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from parity_tests.run_figures import Observer
    from parity_tests.train_plan import RunPlan

EXIT_INTERRUPTED = 130
_LABEL_WIDTH = 12


def train(
    pair: Annotated[
        str | None, typer.Argument(metavar="[PAIR]", help="Agent pair; dqn if none is named.")
    ] = None,
    env: Annotated[
        str | None,
        typer.Option(help="Gymnasium id, or LanguageLearning; by default the pair's own."),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            metavar="ID_OR_FOLDER",
            help="Recorded episodes that an offline pair learns from: Minari data set or .npz; "
            "--steps are updates then, 10,000 by default.",
        ),
    ] = None,
    framework: Annotated[str | None, typer.Option(help="torch (default) or tensorflow.")] = None,
    episodes: Annotated[int | None, typer.Option(help="Budget of the whole run.", min=1)] = None,
    steps: Annotated[
        int | None,
        typer.Option(help="Budget in environment steps; the last episode is finished.", min=1),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of weights, exploration and episodes; 0.", min=0)
    ] = None,
    run_folder: Annotated[
        Path | None, typer.Option(help="New folder for all files; by default under runs/.")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="RUN_FOLDER", help="Continue this run where it stopped.")
    ] = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Also write TensorBoard events.")
    ] = False,
    eval_episodes: Annotated[
        int | None, typer.Option(help="Greedy episodes of the final figure; 100.", min=1)
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto (default), cpu, cuda, ...")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Setting of agent or loop; repeatable."),
    ] = None,
    pairs_from: Annotated[
        str | None,
        typer.Option("--pairs", metavar="MODULE:NAME", help="Your own pairs in place of ours."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the verdict only.")] = False,
) -> None:
    """Train an agent, or go on with a run.

    Examples: torchward train dqn --env CartPole-v1 | torchward train --resume runs/dqn-CartPole-v1-torch-seed0 |
    torchward train dqn --env LanguageLearning --episodes 100 --set learning_rate=0.0005 --tensorboard |
    torchward train discrete_cql --dataset cartpole/mixed-v0 --steps 20000 --set lr=0.0003

    With --alg (ddpg, td3, sac, dqn, rrd, ircr) it trains an agent of the RRD suite, with flags of its own:
    torchward train --alg rrd --basis_alg sac --env Hopper-v5 | torchward train --alg rrd --help
    """
    from parity_tests.train_plan import FRAMEWORKS, TrainingUsageError, choose_run_folder, plan_run

    given = {
        "framework": framework,
        "seed": seed,
        "final_episodes": eval_episodes,
        "device": device,
        "tensorboard": tensorboard or None,
    }
    others = {name: value for name, value in given.items() if value is not None}
    if framework is not None and framework not in FRAMEWORKS:
        msg = f"--framework {framework}: needed {' or '.join(FRAMEWORKS)}"
        raise TrainingUsageError(msg)
    if resume is not None:
        fixed = {"PAIR": pair, "--env": env, "--dataset": dataset, "--framework": framework, "--seed": seed,
                 "--run-folder": run_folder, "--set": set_, "--pairs": pairs_from}  # fmt: skip
        plan, folder = _plan_resumed(resume, episodes, steps, others, fixed), resume
    else:
        if dataset is None:
            plan = plan_run(pair or "dqn", env, set_ or (), episodes=episodes, steps=steps,
                            pairs=pairs_from, **others)  # fmt: skip
        else:
            from parity_tests.offline_run import plan_offline_run

            plan = plan_offline_run(pair or "offline_dqn", dataset, env, set_ or (), steps=steps,
                                    pairs=pairs_from, **others)  # fmt: skip
        folder = run_folder or choose_run_folder(plan)
        if folder.exists():
            hint = f"torchward train --resume {shlex.quote(str(folder))}"
            msg = f"{folder}: exists already; continue it, or name another --run-folder"
            raise TrainingUsageError(msg, hint=hint)
    _run(plan, folder, resume=resume is not None, as_json=as_json, quiet=quiet)


def _plan_resumed(
    folder: Path,
    episodes: int | None,
    steps: int | None,
    others: Mapping[str, Any],  # Any: fields of RunPlan
    fixed: Mapping[str, object],
) -> RunPlan:
    """Return the stored plan with another budget, device or final evaluation, if given."""
    from parity_tests.train_plan import TrainingUsageError, read_plan

    refused = [name for name, value in fixed.items() if value not in (None, [])]
    if refused:
        msg = f"--resume continues the run as it was begun; leave out {', '.join(refused)}"
        raise TrainingUsageError(msg)
    plan = replace(read_plan(folder), **others)
    if episodes is not None or steps is not None:
        plan = replace(plan, episodes=episodes, steps=steps)
    return plan


def _run(plan: RunPlan, folder: Path, *, resume: bool, as_json: bool, quiet: bool) -> None:
    """Run the plan, show it, print the result, and end the command if it was interrupted."""
    from parity_tests.train_display import Display, format_result, format_verdict

    train_it = _train_here if plan.framework == "torch" else _train_in_child
    with Display(plan, shown=not (as_json or quiet)) as display:
        result = train_it(plan, folder, resume, display)
    if as_json:
        typer.echo(json.dumps(result, indent=1, sort_keys=True))
    elif not quiet:
        for label, text in format_result(result):
            typer.echo(f"{label:<{_LABEL_WIDTH}}{text}")
    if result["reason"] == "interrupted":
        where = f"stopped at step {result['steps']:,} (episode {result['episodes']:,}); saved."
        command = f"torchward train --resume {shlex.quote(str(folder))}"
        typer.echo(f"{where} Continue with:  {command}", err=True)
        raise typer.Exit(EXIT_INTERRUPTED)
    if not as_json:
        typer.echo(format_verdict(result))


def _train_here(plan: RunPlan, folder: Path, resume: bool, observer: Observer) -> dict[str, Any]:
    """Return the result of a run in this process."""
    from parity_tests.train_run import run_training
    from parity_tests.train_worker import StopOnInterrupt

    stop = StopOnInterrupt()
    with _on_interrupt(stop):
        return run_training(
            plan, folder, resume=resume, observer=observer, should_stop=lambda: stop.wished
        )


def _train_in_child(
    plan: RunPlan, folder: Path, resume: bool, observer: Observer
) -> dict[str, Any]:
    """Return the result of a run in a child process, whose standard error is shown if it fails."""
    from converters.errors import ConversionError

    request = {"plan": asdict(plan), "run_folder": str(folder), "resume": resume}
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as noise,
        subprocess.Popen(
            [sys.executable, "-m", "parity_tests.train_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=noise,
            text=True,
            encoding="utf-8",
            env=_child_environment(),
            start_new_session=True,  # interrupts reach it through us only, once each
        ) as child,
        _on_interrupt(lambda *_: child.send_signal(signal.SIGINT)),
    ):
        try:
            result = _listen(child, request, observer)
        finally:
            if sys.exc_info()[0] is not None:
                child.kill()
        child.wait()
        if result is None:
            noise.seek(0)
            last = noise.read()[-2_000:].strip()
            msg = f"the training process ended with exit status {child.returncode}:\n{last}"
            raise ConversionError(msg)
    return result


def _child_environment() -> dict[str, str]:
    """Return this process's environment; the child finds the packages where we did, and TensorFlow says less."""
    here = str(Path(__file__).resolve().parent.parent)
    search = [here, *filter(None, [os.environ.get("PYTHONPATH")])]
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": os.pathsep.join(search)}
    return {**os.environ, **quiet}


def _listen(
    child: subprocess.Popen[str], request: Mapping[str, object], observer: Observer
) -> dict[str, Any] | None:
    """Send the request, pass on what the child tells, and return its result; None if it died before."""
    from converters.errors import ConversionError
    from experience.logs import EpisodeFigures, EvaluationFigures

    if child.stdin is None or child.stdout is None:
        msg = "the training process has no pipes"
        raise ConversionError(msg)
    # A child that died early is found by its exit status; a broken pipe says nothing more.
    with suppress(BrokenPipeError):
        child.stdin.write(json.dumps(request) + "\n")
        child.stdin.close()
    result = None
    for line in child.stdout:
        ((kind, content),) = json.loads(line).items()
        if kind == "start":
            observer.on_start(content)
        elif kind == "episode":
            observer.on_episode(EpisodeFigures(**content))
        elif kind == "evaluation":
            observer.on_evaluation(EvaluationFigures(**content))
        elif kind == "error":
            error = ConversionError(content["message"], hint=content["hint"])
            error.exit_code = content["exit_code"]
            raise error
        else:
            result = content
    return result


@contextmanager
def _on_interrupt(handler: Callable[..., None]) -> Iterator[None]:
    """Handle Ctrl-C this way for a while."""
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
