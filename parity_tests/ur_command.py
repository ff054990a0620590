"""`torchward train ur`: play, train, write weights; the guide's presets and positional arguments.

Arguments in, lines and exit status out. Games are played by `experience.environments.royal_ur`, epochs are trained by
`experience.ur_training`, either framework's networks are `UrTrainer`.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import os
import shlex
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from experience.arguments import OneLineParser
from experience.ur_networks import POLICY_LOSSES, VALUE_LOSSES
from experience.ur_plan import (
    FAITHFUL,
    FRAMEWORKS,
    PLAN_FILE,
    PRESETS,
    SPLITS,
    UrPlan,
    read_plan,
    run_folder_of,
)
from experience.ur_weights import LAYOUTS
from parity_tests.resumed_runs import resumed_folder
from parity_tests.train_command import EXIT_INTERRUPTED
from parity_tests.train_plan import TrainingUsageError
from parity_tests.train_worker import StopOnInterrupt

NAME = "ur"
POSITIONS = ("games", "epochs", "learning_rate", "batch_size", "depth", "output")
"""The arguments of the guide's train-pytorch.sh, in its order."""


def is_for_ur(argv: Sequence[str]) -> bool:
    """Return whether `torchward train` with these arguments is about the Royal Game of Ur."""
    return argv[:1] == [NAME] or resumed_folder(argv, PLAN_FILE) is not None


def train_ur(argv: Sequence[str]) -> None:
    """Play games, train both networks on them, and write their weights; or go on with a run.

    Args:
        argv: behind `torchward train`.

    Raises:
        TrainingUsageError: The run cannot be begun or resumed as asked.
        SystemExit: 2 with a usage line for arguments that are not understood; 130 if interrupted.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    arguments = build_parser().parse_args(argv[1:] if argv[:1] == [NAME] else argv)
    plan, folder = _choose_plan(arguments)
    if plan.framework == "torch" and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        processes = importlib.import_module("torch_impl.ur_processes")
        with processes.joined_processes(plan.device):
            # Nobody makes the folder that another is still looking for.
            processes.wait_for_all()
            _run(
                arguments, plan, folder, is_first=processes.is_first(), wait=processes.wait_for_all
            )
        return
    _run(arguments, plan, folder)


def _run(
    arguments: argparse.Namespace,
    plan: UrPlan,
    folder: Path,
    *,
    is_first: bool = True,
    wait: Callable[[], None] = lambda: None,
) -> None:
    """Carry the plan out; errors as of `train_ur`."""
    from parity_tests.ur_run import UrRun  # Numba, for a command only

    stop = StopOnInterrupt()
    say: Callable[[str], None] = _say if not arguments.quiet else lambda line: None
    run = UrRun(
        plan, folder, resume=arguments.resume is not None, say=say, is_first=is_first, wait=wait
    )
    if arguments.search:
        run.search(arguments.search, say=_say)
        return
    try:
        with _on_interrupt(stop):
            complete = run.train(lambda: stop.wished)
    except KeyboardInterrupt:
        complete = False
    except BaseException:
        # Nothing can go on from here, and the samples in the folder are large.
        if arguments.resume is None:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    if not complete:
        command = f"torchward train ur --resume {shlex.quote(str(folder))}"
        sys.stderr.write(f"stopped; what is done is kept. Continue with:  {command}\n")
        raise SystemExit(EXIT_INTERRUPTED)
    if arguments.evaluate and is_first:
        run.evaluate(arguments.evaluate, say=_say)


def make_plan(arguments: argparse.Namespace) -> UrPlan:
    """Return the plan of a preset with the given arguments laid over it; options win over positions.

    Raises:
        TrainingUsageError: A value is out of range, or an argument is given twice.
    """
    given = dict(FAITHFUL) if arguments.faithful else {}
    named = {field.name for field in dataclasses.fields(UrPlan)}
    for name, text in zip(POSITIONS, arguments.positions, strict=False):
        if getattr(arguments, name) is not None:
            msg = f"{name} is given twice, as {text!r} by its place and with its option"
            raise TrainingUsageError(msg)
        given[name] = _parse_position(name, text)
    if len(arguments.positions) > len(POSITIONS):
        msg = f"{len(arguments.positions)} positional arguments; there are {', '.join(POSITIONS)}"
        raise TrainingUsageError(msg)
    options = {name: value for name, value in vars(arguments).items() if name in named}
    given |= {name: value for name, value in options.items() if value is not None}
    try:
        return dataclasses.replace(PRESETS[arguments.preset], **given)
    except ValueError as error:
        raise TrainingUsageError(str(error)) from error


def _choose_plan(arguments: argparse.Namespace) -> tuple[UrPlan, Path]:
    """Return the plan and the run's folder. Raises TrainingUsageError."""
    if arguments.resume is None:
        plan = make_plan(arguments)
        folder = run_folder_of(plan)
        if folder.exists():
            hint = f"torchward train ur --resume {shlex.quote(str(folder))}"
            msg = f"{folder}: an unfinished run for this output; continue it, or remove the folder"
            raise TrainingUsageError(msg, hint=hint)
        if Path(plan.output).exists() and not arguments.force:
            msg = f"{plan.output}: exists already; add --force to replace it, or name another --output"
            raise TrainingUsageError(msg)
        return plan, folder
    try:
        return read_plan(arguments.resume / PLAN_FILE), arguments.resume
    except ValueError as error:
        raise TrainingUsageError(str(error)) from error


def _parse_position(name: str, text: str) -> object:
    if name == "output":
        return text
    try:
        return float(text) if name == "learning_rate" else int(text)
    except ValueError as error:
        msg = f"{name} is {text!r}, needed a number; the order is {' '.join(POSITIONS)}"
        raise TrainingUsageError(msg) from error


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.strip("[]").split(","))


def build_parser() -> argparse.ArgumentParser:
    """Return the parser; every default is None, so that a preset's value shows through."""
    standard = PRESETS["standard"]
    parser = OneLineParser(
        prog="torchward train ur",
        usage="torchward train ur [GAMES EPOCHS LEARNING_RATE BATCH_SIZE DEPTH OUTPUT] [--FLAG VALUE ...]; --help shows all flags",
        description="Play the Royal Game of Ur, train a value and a policy network, write their weights as JSON.",
        epilog="Presets (games/epochs/depth): "
        + ", ".join(f"{n} {p.games}/{p.epochs}/{p.depth}" for n, p in PRESETS.items()),
    )

    def option(flag: str, what: str, shown: object = None, **more: Any) -> None:  # noqa: ANN401  argparse's own
        parser.add_argument(flag, help=what if shown is None else f"{what}; {shown}", **more)

    parser.add_argument(
        "positions", nargs="*", metavar="GAMES EPOCHS LEARNING_RATE BATCH_SIZE DEPTH OUTPUT",
        help="as of the guide's train-pytorch.sh, all optional",
    )  # fmt: skip
    option("--preset", "what is not given", "standard", choices=PRESETS, default="standard")
    option("--games", "of self-play", standard.games, type=int)
    option("--epochs", "at most", standard.epochs, type=int)
    option(
        "--lr", "learning rate of Adam", standard.learning_rate, type=float, dest="learning_rate"
    )
    option("--batch-size", "positions per step", standard.batch_size, type=int)
    option("--depth", "of the expert's search, 0 to 4", standard.depth, type=int)
    option("--output", "JSON weights", standard.output)
    option("--force", "replace the output", action="store_true")
    option("--seed", "of everything that is drawn", standard.seed, type=int)
    option("--workers", "processes that play; RAYON_NUM_THREADS, else all cores", type=int)
    option("--data", "train on this file of samples (.json or .npz) instead of playing")
    option("--keep-data", "write the samples to this file, too (.json or .npz)")
    option("--framework", "torch or tensorflow", standard.framework, choices=FRAMEWORKS)
    option("--device", "auto (CUDA, MPS, CPU), cpu, cuda, ...", standard.device)
    option("--amp", "networks in half precision", action="store_true", default=None)
    option("--hidden-sizes", "of both networks", "256,128,64,32", type=_sizes)
    option("--dropout", "rate", standard.dropout, type=float)
    option("--loss", "of the value", standard.value_loss, choices=VALUE_LOSSES, dest="value_loss")
    option("--policy-loss", "of the policy", standard.policy_loss, choices=POLICY_LOSSES)
    option(
        "--value-gain",
        "learn tanh(gain * target), 0: the target itself",
        standard.value_gain,
        type=float,
    )
    option("--validation-split", "share", standard.validation_split, type=float)
    option(
        "--split", "by whole games, or the last positions in order", standard.split, choices=SPLITS
    )
    option(
        "--patience",
        "epochs without progress before the end, 0: none end it",
        standard.patience,
        type=int,
    )
    option(
        "--keep-last",
        "keep the last weights, not the best",
        action="store_const",
        const=False,
        dest="restore_best",
    )
    option(
        "--lr-step",
        "epochs between drops of the learning rate, as StepLR(30, 0.1); 0: none",
        standard.lr_step,
        type=int,
    )
    option("--lr-gamma", "factor of a drop", standard.lr_gamma, type=float)
    option("--layout", "of the kernels in the output", standard.layout, choices=LAYOUTS)
    option("--faithful", "with the original's defects: " + ", ".join(FAITHFUL), action="store_true")
    option("--tensorboard", "write events beside the output", action="store_true", default=None)
    option(
        "--search",
        "try so many settings with Optuna instead, and show a table",
        type=int,
        metavar="TRIALS",
    )
    option(
        "--evaluate",
        "afterwards play so many games against each usual opponent",
        type=int,
        metavar="GAMES",
    )
    option("--resume", "continue the run in this folder", type=Path, metavar="FOLDER")
    parser.add_argument("--quiet", "-q", action="store_true", help="print errors only")
    return parser


@contextmanager
def _on_interrupt(stop: StopOnInterrupt) -> Iterator[None]:
    """Handle Ctrl-C this way for a while."""
    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
