"""`torchward train --alg ...`: the agents of the RRD suite, with the flags of the original.

Arguments in, tables and exit status out; the run itself is `experience.suite_training`. TensorFlow or PyTorch is
chosen as `experience.agents` says.
"""

from __future__ import annotations

import os
import shlex
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import typer

from experience.arguments import Arguments, names_suite, parse_arguments, read_arguments
from experience.run_checkpoints import RunCheckpointError
from experience.suite_training import ARGUMENTS_NAME, SuiteResult, SuiteRun
from parity_tests.resumed_runs import resumed_folder
from parity_tests.train_command import EXIT_INTERRUPTED
from parity_tests.train_plan import TrainingUsageError
from parity_tests.train_worker import StopOnInterrupt


def is_for_suite(argv: Sequence[str]) -> bool:
    """Return whether `torchward train` with these arguments is about the RRD suite."""
    return names_suite(argv) or resumed_folder(argv, ARGUMENTS_NAME) is not None


def train_suite_agent(argv: Sequence[str]) -> None:
    """Train an agent, or go on with a run.

    Args:
        argv: behind `torchward train`.

    Raises:
        TrainingUsageError: The run cannot be begun or resumed as asked.
        SystemExit: 2 with a usage line for flags that are not understood; 130 if interrupted.
    """
    # TensorFlow says less; it reads this when it is imported.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    arguments = choose_arguments(argv)
    try:
        run = SuiteRun(arguments)
    except (ValueError, ImportError) as error:
        raise TrainingUsageError(str(error)) from error
    stop = StopOnInterrupt()
    try:
        with _on_interrupt(stop):
            result = run.train(None if arguments.quiet else typer.echo, lambda: stop.wished)
    except RunCheckpointError as error:
        raise TrainingUsageError(str(error)) from error
    finally:
        run.close()
    _show_end(result)


def choose_arguments(argv: Sequence[str]) -> Arguments:
    """Return the arguments of the command line, or those of the run that it resumes.

    Raises:
        TrainingUsageError: The run's own arguments cannot be read.
    """
    folder = resumed_folder(argv, ARGUMENTS_NAME)
    if folder is None:
        return parse_arguments(argv)
    try:
        stored = read_arguments(folder / ARGUMENTS_NAME)
    except ValueError as error:
        raise TrainingUsageError(str(error)) from error
    others = [part for part in argv if part not in ("--resume", str(folder), f"--resume={folder}")]
    if set(others) - {"--quiet", "-q"}:
        msg = f"--resume continues the run as it was begun; leave out {' '.join(others)}"
        raise TrainingUsageError(msg)
    return replace(stored, run_folder=str(folder), resume=True, quiet=bool(others))


def _show_end(result: SuiteResult) -> None:
    if not result.complete:
        command = f"torchward train --resume {shlex.quote(str(result.run_folder))}"
        typer.echo(f"stopped at step {result.steps:,}; saved. Continue with:  {command}", err=True)
        raise SystemExit(EXIT_INTERRUPTED)
    last = f"; last mean return {result.returns[-1][1]:.2f}" if result.returns else ""
    where = f"; returns in {result.returns_file}" if result.returns_file else ""
    typer.echo(f"trained for {result.steps:,} steps, {result.updates:,} updates{last}{where}")


@contextmanager
def _on_interrupt(stop: StopOnInterrupt) -> Iterator[None]:
    """Handle Ctrl-C this way for a while."""
    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
