"""A whole run of the RRD suite: epochs of cycles, each of which learns, tests, and shows a table.

`torchward train --alg ...` comes here. Which framework the agent is of is not known.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experience.agents import create_agent
from experience.arguments import Arguments, write_arguments
from experience.compiling import choose_precision, choose_steps, find_device_gap
from experience.environments.names import format_mapping
from experience.environments.suite import SuiteEnvironment, describe_spaces, make_suite_environment
from experience.learner import GreedyTester, Learner, SuiteAgent
from experience.suite_buffers import create_buffer
from experience.suite_checkpoints import read_suite_checkpoint, write_suite_checkpoint
from experience.suite_logs import Averages, SuiteLog

ARGUMENTS_NAME = "arguments.json"
"""In the run folder: what the run was told."""
MakeAgent = Callable[[Arguments], SuiteAgent]
MakeEnvironment = Callable[[Arguments], SuiteEnvironment]


@dataclass(frozen=True, slots=True)
class SuiteResult:
    """What came of a run."""

    complete: bool  # False: stopped before its end
    steps: int  # environment steps
    updates: int
    returns: list[tuple[int, float]]  # (environment step, mean return of the tests) of every cycle
    run_folder: Path
    returns_file: Path | None


def train_suite(
    arguments: Arguments,
    *,
    make_agent: MakeAgent = create_agent,
    make_environment: MakeEnvironment = make_suite_environment,
    echo: Callable[[str], None] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> SuiteResult:
    """Train as the arguments say, and return what came of it.

    Equal arguments give equal results, whether the run was interrupted and resumed or not. Between two checkpoints a
    killed run loses its work, not its course.

    Args:
        arguments: of the run; gets the sizes of its environment.
        make_agent: from the arguments.
        make_environment: from the arguments.
        echo: shows a line of text.
        should_stop: asked after every iteration; the run then ends with a checkpoint.

    Raises:
        RunCheckpointError: It cannot be resumed.
        ValueError: Arguments, agent and environment do not fit, or the run folder is in use.
    """
    run = SuiteRun(arguments, make_agent, make_environment)
    try:
        return run.train(echo, should_stop)
    finally:
        run.close()


class SuiteRun:
    """Everything that belongs to one run.

    Args:
        arguments: see `train_suite`, as for the others.
        make_agent: see there.
        make_environment: see there.
    """

    def __init__(
        self,
        arguments: Arguments,
        make_agent: MakeAgent = create_agent,
        make_environment: MakeEnvironment = make_suite_environment,
    ) -> None:
        self.run_folder = choose_run_folder(arguments)
        if self.run_folder.exists() and not arguments.resume:
            msg = f"{self.run_folder}: exists already; continue it with --resume, or name another --run_folder"
            raise ValueError(msg)
        self.arguments = arguments
        self._environments = [make_environment(arguments) for _ in range(arguments.num_envs + 1)]
        describe_spaces(arguments, self._environments[0])
        names = ("buffer", "episodes", "tests")
        seeds = np.random.SeedSequence(arguments.seed).spawn(len(names))
        self._generators = {
            name: np.random.default_rng(seed) for name, seed in zip(names, seeds, strict=True)
        }
        self.agent = make_agent(arguments)
        self.buffer = create_buffer(arguments, self._generators["buffer"])
        *training, testing = self._environments
        self.learner = Learner(
            arguments, training, self.agent, self.buffer, self._generators["episodes"]
        )
        self._tester = GreedyTester(arguments, testing, self.agent, self._generators["tests"])
        self._averages = Averages()
        self._returns: list[tuple[int, float]] = []
        self._cycle = 0  # counted over all epochs
        self._text_name: str | None = None

    def train(
        self, echo: Callable[[str], None] | None, should_stop: Callable[[], bool]
    ) -> SuiteResult:
        """Do what is left of the run."""
        arguments = self.arguments
        if arguments.resume:
            self._restore()
        total = arguments.epochs * arguments.cycles
        path = None
        with SuiteLog(
            arguments, echo=echo, text_name=self._text_name, steps=self.learner.steps
        ) as log:
            self._text_name = log.text_name
            # Precision first: what is compiled is what runs then.
            chosen = (find_device_gap, choose_precision, choose_steps)
            ways = [choose(arguments, self.agent) for choose in chosen]
            self._announce(log, ways)
            complete = True
            while self._cycle < total:
                complete = self._run_cycle(log, should_stop)
                if not complete:
                    break
                if self._cycle % arguments.cycles == 0 or self._cycle == total:
                    path = log.write_returns(self._returns)
                every = arguments.checkpoint_every
                if every and self._cycle % every == 0 and self._cycle < total:
                    self._checkpoint()
            self._checkpoint()
            path = path or log.write_returns(self._returns)
        return SuiteResult(
            complete, self.learner.steps, self.learner.updates, self._returns, self.run_folder, path
        )

    def close(self) -> None:
        """Release the environments."""
        for environment in self._environments:
            environment.close()

    def _run_cycle(self, log: SuiteLog, should_stop: Callable[[], bool]) -> bool:
        """Learn, test and show one cycle; return whether it is complete."""
        begin = time.perf_counter()
        if not self.learner.learn(self._averages, should_stop):
            return False
        learnt = time.perf_counter()
        mean_return = self._tester.play(self._averages)
        tested = time.perf_counter()
        if mean_return is not None:
            self._returns.append((self.learner.steps, mean_return))
        epoch, cycle = divmod(self._cycle, self.arguments.cycles)
        self._cycle += 1
        rows = {
            "Epoch": f"{epoch + 1}/{self.arguments.epochs}",
            "Cycle": f"{cycle + 1}/{self.arguments.cycles}",
            "Episodes": str(self.learner.episodes),
            "Timesteps": str(self.learner.steps),
            "TimeCost(sec)/train": f"{learnt - begin:.1f}",
            "TimeCost(sec)/test": f"{tested - learnt:.1f}",
        }
        log.show_cycle(rows, self._averages.means(), steps=self.learner.steps)
        self._averages.clear()
        return True

    def _announce(self, log: SuiteLog, ways: list[str | None]) -> None:
        for line in (format_mapping(self.arguments.env), *ways):
            if line:
                log.say(line)
        if self.arguments.resume:
            log.say(f"Resumed at step {self.learner.steps:,} from {self.run_folder}.")
        else:
            log.show_arguments()
            self.run_folder.mkdir(
                parents=True
            )  # not before: a run that cannot begin leaves nothing
            write_arguments(self.arguments, self.run_folder / ARGUMENTS_NAME)

    def _checkpoint(self) -> None:
        progress = {
            "cycle": self._cycle,
            "returns": self._returns,
            "sums": self._averages.sums,
            "counts": self._averages.counts,
            "text_name": self._text_name,
        }
        write_suite_checkpoint(
            self.run_folder,
            agent=self.agent,
            learner=self.learner,
            buffer=self.buffer,
            generators=self._generators,
            progress=progress,
        )

    def _restore(self) -> None:
        progress = read_suite_checkpoint(
            self.run_folder,
            agent=self.agent,
            learner=self.learner,
            buffer=self.buffer,
            generators=self._generators,
        )
        self._cycle = int(progress["cycle"])
        self._returns = [(int(step), float(value)) for step, value in progress["returns"]]
        self._averages = Averages(dict(progress["sums"]), dict(progress["counts"]))
        self._text_name = str(progress["text_name"])


def choose_run_folder(arguments: Arguments) -> Path:
    """Return where checkpoints lie: as the arguments say, or runs/<name>-seed<seed>."""
    named = arguments.run_folder or f"runs/{arguments.name}-seed{arguments.seed}"
    return Path(named)
