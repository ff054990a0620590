"""Trains the RRD suite for its learning curves: every group on both frameworks with five seeds, a few runs at a time.

One table says what is trained and how; both frameworks get the same flags. A run that was stopped goes on, a finished
one is not repeated. `torchward bench learning` draws the result.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from threading import Event

from benchmarks.curves import ARGUMENTS_NAME, find_suite_state
from parity_tests.train_command import EXIT_INTERRUPTED

SEEDS = (0, 1, 2, 3, 4)
FRAMEWORKS: Mapping[str, str] = {"legacy": "no", "torch": "yes"}
"""Framework to the value of --use_pytorch."""
Flags = Mapping[str, str | int | float]
_interrupted = Event()
"""Set in a worker whose run was interrupted: it does not begin another."""

_BEFORE_CHECKPOINTS = {ARGUMENTS_NAME, "checkpoints"}
"""What a run folder may hold when its process was killed before the first checkpoint was whole."""


@dataclass(frozen=True, slots=True)
class LearningGroup:
    """Runs that differ in framework and seed only.

    Attributes:
        name: of its folder.
        flags: of `torchward train`.
    """

    name: str
    flags: Flags = field(default_factory=dict)


_SMALL: Flags = {
    "epochs": 1, "timesteps": 100, "hidden_sizes": "64,64", "batch_size": 64, "pi_lr": 1e-3, "q_lr": 1e-3, "polyak": 0.995,
    "test_rollouts": 5, "buffer_size": 20_000, "checkpoint_every": 5, "obs_normalization": "no",
}  # fmt: skip
"""An update per step, as the original has it, with networks and batches a quarter as large and faster steps."""
_PENDULUM: Flags = {
    **_SMALL, "env": "Pendulum-v1", "env_type": "normal", "iterations": 5, "test_timesteps": 200, "warmup": 500, "gamma": 0.98,
}  # fmt: skip
_REACHER: Flags = {
    **_SMALL, "env": "Reacher-v5", "env_type": "normal", "iterations": 5, "test_timesteps": 50, "warmup": 500, "gamma": 0.98,
    "alpha_init": 0.1, "cycles": 8,
}  # fmt: skip
_CATCH: Flags = {
    "epochs": 1, "timesteps": 100, "iterations": 10, "env": "Catch", "frames": 2, "test_rollouts": 20, "test_timesteps": 100,
    "warmup": 1_000, "gamma": 0.95, "q_lr": 5e-4, "train_target": 200, "eps_decay": 8_000, "eps_r": 0.05, "batch_size": 32,
    "buffer_size": 20_000, "checkpoint_every": 5,
}  # fmt: skip
_SAC: Flags = {"alg": "sac", "alpha_lr": 1e-3}
_TD3: Flags = {"alg": "td3", "std_act": 0.3}
_DDPG: Flags = {"alg": "ddpg", "std_act": 0.3, "q_reg": 0}
_EPISODIC: Flags = {"env_type": "ep_rews"}
_RRD: Flags = {**_EPISODIC, "alg": "rrd", "r_lr": 1e-3}

GROUPS = (
    LearningGroup("pendulum-sac", {**_PENDULUM, **_SAC, "cycles": 12}),
    LearningGroup("pendulum-td3", {**_PENDULUM, **_TD3, "cycles": 16}),
    LearningGroup("pendulum-ddpg", {**_PENDULUM, **_DDPG, "cycles": 16}),
    LearningGroup("episodic-sac", {**_PENDULUM, **_SAC, **_EPISODIC, "cycles": 12}),
    LearningGroup(
        "episodic-rrd", {**_PENDULUM, **_SAC, **_RRD, "basis_alg": "sac", "cycles": 12}
    ),
    LearningGroup("reacher-sac", {**_REACHER, **_SAC}),
    LearningGroup("reacher-td3", {**_REACHER, **_TD3}),
    LearningGroup("reacher-ddpg", {**_REACHER, **_DDPG}),
    LearningGroup("catch-dqn", {**_CATCH, "alg": "dqn", "env_type": "normal", "cycles": 12}),
    LearningGroup(
        "catch-rrd",
        {**_CATCH, **_RRD, "basis_alg": "dqn", "r_lr": 5e-4, "rrd_batch_size": 128, "rrd_sample_size": 16, "cycles": 16},
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class LearningRun:
    """One run of a group."""

    group: LearningGroup
    framework: str
    seed: int

    def folder(self, root: Path) -> Path:
        """Return its run folder; the log lies beside it."""
        return root / self.group.name / f"{self.framework}-{self.seed}"

    def words(self, root: Path) -> list[str]:
        """Return what stands behind `torchward train` to begin the run."""
        own = {
            "use_pytorch": FRAMEWORKS[self.framework],
            "cuda": "no",
            "seed": self.seed,
            "run_folder": self.folder(root),
            "log_folder": root / "logs" / self.group.name / f"{self.framework}-{self.seed}",
        }
        flags = {**self.group.flags, **own}
        return [*(f"--{name}={value}" for name, value in flags.items()), "--quiet"]

    def is_complete(self, root: Path) -> bool:
        """Return whether every cycle is done."""
        state = find_suite_state(self.folder(root))
        if state is None:
            return False
        progress = json.loads(state.read_text(encoding="utf-8"))["progress"]
        return bool(progress["cycle"] >= int(self.group.flags["cycles"]))


def list_runs(groups: Sequence[LearningGroup] = GROUPS) -> list[LearningRun]:
    """Return all runs, a seed of every group before the next seed: what is there early says something of everything."""
    return [
        LearningRun(group, framework, seed)
        for seed in SEEDS
        for group in groups
        for framework in FRAMEWORKS
    ]


def train(run: LearningRun, root: Path) -> str | None:
    """Begin, continue or leave out a run, as `torchward train` does it; return one line if it failed."""
    from parity_tests.suite_command import train_suite_agent

    folder = run.folder(root)
    if run.is_complete(root):
        return None
    if _interrupted.is_set():
        return f"{folder}: not begun"
    words = run.words(root)
    if find_suite_state(folder) is not None:
        words = ["--resume", str(folder), "--quiet"]
    elif folder.is_dir() and {each.name for each in folder.iterdir()} <= _BEFORE_CHECKPOINTS:
        # It ended before its first checkpoint: there is nothing to go on from.
        shutil.rmtree(folder)
    try:
        with redirect_stdout(io.StringIO()):
            train_suite_agent(words)
    except (Exception, SystemExit) as error:
        if isinstance(error, SystemExit) and error.code == EXIT_INTERRUPTED:
            _interrupted.set()
        return f"{folder}: {type(error).__name__}: {error}"
    return None


def _train_all(runs: Sequence[LearningRun], root: Path, processes: int) -> Iterator[str | None]:
    """Say what came of every run, in the order in which they end; yield what was wrong with it."""
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        begun = {pool.submit(train, run, root): run for run in runs}
        try:
            for future in as_completed(begun):
                run, problem = begun[future], future.result()
                sys.stdout.write(
                    f"{run.group.name} {run.framework} {run.seed}: {problem or 'done'}\n"
                )
                sys.stdout.flush()
                yield problem
        except KeyboardInterrupt:
            # The workers were interrupted as well: each writes a checkpoint and ends.
            pool.shutdown(cancel_futures=True)
            sys.stderr.write("stopped; the same command goes on\n")
            yield "stopped"


def main(argv: Sequence[str] | None = None) -> int:
    """Train what the command line asks for; 1 if a run failed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.learning_suite", description=__doc__
    )
    parser.add_argument(
        "--runs", type=Path, default=Path("runs/learning-suite"), help="folder of all runs"
    )
    parser.add_argument(
        "--processes", type=int, default=2, help="runs at a time, of one thread each"
    )
    parser.add_argument(
        "--only", action="append", choices=[g.name for g in GROUPS], help="a group; may be repeated"
    )
    options = parser.parse_args(argv)
    groups = [group for group in GROUPS if options.only is None or group.name in options.only]
    # Read by what a worker imports; a worker starts once and then does many runs.
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    problems = list(_train_all(list_runs(groups), options.runs, options.processes))
    return int(any(problem is not None for problem in problems))


if __name__ == "__main__":
    sys.exit(main())
