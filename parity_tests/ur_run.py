"""One run of `torchward train ur`: samples, trainer, epochs, weights, matches, and the folder it keeps meanwhile.

The folder lies beside the output and holds the plan, the samples and the last checkpoint. It is removed when the
weights are written; a run that is interrupted or killed goes on from it.
"""

from __future__ import annotations

import datetime
import importlib
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experience.environments.royal_ur.data_files import (
    SampleFileError,
    read_samples,
    write_samples,
)
from experience.environments.royal_ur.generation import Progress as PlayProgress
from experience.environments.royal_ur.generation import generate_samples
from experience.environments.royal_ur.matches import play_match
from experience.environments.royal_ur.network_players import network_player
from experience.environments.royal_ur.players import make_player
from experience.environments.royal_ur.samples import Samples
from experience.environments.royal_ur.workers import count_workers
from experience.ur_inference import UrInference
from experience.ur_plan import PLAN_FILE, UrPlan
from experience.ur_training import (
    EpochFigures,
    Progress,
    Trainer,
    read_progress,
    split_samples,
    train_networks,
)
from experience.ur_weights import VERSIONS, write_ur_weights
from parity_tests.train_plan import TrainingUsageError
from parity_tests.ur_search import TRAINERS, format_trials, search_settings

OPPONENTS = ("random", "heuristic", "expectiminimax-1", "expectiminimax-2", "expectiminimax-3")
DATA_FILE = "samples.npz"
_REPORT_EVERY = 10
"""Parts of the games between two lines of progress."""


class UrRun:
    """A run of one plan.

    Args:
        plan: what to do.
        folder: of the run.
        resume: go on from what the folder holds.
        say: gets every line for people.
        is_first: whether this process writes the files; False in the others that train with it.
        wait: returns when all processes that train together are here.
    """

    def __init__(
        self,
        plan: UrPlan,
        folder: Path,
        *,
        resume: bool,
        say: Callable[[str], None],
        is_first: bool = True,
        wait: Callable[[], None] = lambda: None,
    ) -> None:
        self._plan, self._folder, self._resume = plan, folder, resume
        self._say = say if is_first else lambda line: None
        self._is_first, self._wait = is_first, wait
        self._weights: dict[str, Any] = {}

    def train(self, should_stop: Callable[[], bool]) -> bool:
        """Train to the end and write the weights; False if it was stopped, the folder is left then.

        Raises:
            TrainingUsageError: Data, device or output are not as needed.
        """
        start = time.perf_counter()
        try:
            if self._is_first:
                self._folder.mkdir(parents=True, exist_ok=self._resume)
                (self._folder / PLAN_FILE).write_text(self._plan.to_text(), encoding="utf-8")
                samples = self._find_samples()
            self._wait()
            if not self._is_first:
                samples = read_samples(Path(self._plan.data or self._folder / DATA_FILE))
            trainer, progress = self._find_trainer()
            self._wait()
            self._describe(samples, trainer)
            complete = train_networks(
                trainer,
                samples,
                self._plan,
                progress=progress,
                folder=self._folder if self._is_first else None,
                on_epoch=lambda figures: self._say(_format_epoch(figures, self._plan, progress)),
                should_stop=should_stop,
            )
            if not complete:
                return False
            self._weights = trainer.get_weights()
            if not self._is_first:
                return True
            self._write(progress, samples, time.perf_counter() - start)
        except (ValueError, ImportError, OSError) as error:
            raise TrainingUsageError(str(error)) from error
        self._keep_events()
        shutil.rmtree(self._folder)
        return True

    def search(self, trials: int, *, say: Callable[[str], None]) -> None:
        """Try settings on the samples of this run, and leave the table beside the output. Nothing is kept of the trials.

        Raises:
            TrainingUsageError: Data, device or output are not as needed.
        """
        try:
            self._folder.mkdir(parents=True)
            samples = self._find_samples()
            _limit_threads(self._plan.framework)
            lines = format_trials(search_settings(self._plan, samples, trials, say=self._say))
            table = Path(self._plan.output).with_suffix(".search.md")
            table.write_text("\n".join(lines) + "\n", encoding="utf-8")
        except (ValueError, OSError) as error:
            raise TrainingUsageError(str(error)) from error
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)
        for line in (*lines, f"wrote {table}"):
            say(line)

    def evaluate(self, games: int, *, say: Callable[[str], None]) -> None:
        """Play the written weights, without hand-written bonuses, against the usual opponents."""
        player = network_player(UrInference.from_weights(self._weights))
        for name in OPPONENTS:
            result = play_match(
                player, make_player(name, mode="faithful"), games, seed=self._plan.seed
            )
            low, high = result.interval
            figures = (
                f"{100 * result.rate:5.1f} %   95 % interval {100 * low:.1f} to {100 * high:.1f}"
            )
            say(f"network against {name:18}{figures}   {games:,} games")

    def _find_samples(self) -> Samples:
        """Return the samples of the run's folder, of --data, or of games that are played now."""
        kept = self._folder / DATA_FILE
        plan = self._plan
        if self._resume and kept.is_file():
            return read_samples(kept)
        if plan.data is not None:
            try:
                return read_samples(Path(plan.data))
            except SampleFileError as error:
                raise TrainingUsageError(str(error)) from error
        workers = count_workers(plan.workers)
        who = f"expectiminimax of depth {plan.depth}, {plan.mode}"
        self._say(f"play      {plan.games:,} games of {who}, seed {plan.seed}, {workers} processes")
        samples = generate_samples(
            plan.games,
            depth=plan.depth,
            seed=plan.seed,
            workers=workers,
            mode="faithful" if plan.mode == "faithful" else "corrected",
            on_progress=self._show_play,
        )
        write_samples(samples, kept)
        if plan.keep_data is not None:
            write_samples(samples, Path(plan.keep_data))
        # What is trained on is what the file says, now and after a resume.
        return read_samples(kept)

    def _show_play(self, progress: PlayProgress) -> None:
        games, everything = progress.games, progress.all_games
        step = max(everything // _REPORT_EVERY, 1)
        if games == everything or games % step < 10 <= step:
            speed = f"{progress.samples_per_second:,.0f} samples/s"
            self._say(f"  {games:,}/{everything:,} games   {progress.samples:,} samples   {speed}")

    def _find_trainer(self) -> tuple[Trainer, Progress]:
        """Return the trainer and where it is: as new, or of the last checkpoint."""
        trainer_class = importlib.import_module(TRAINERS[self._plan.framework]).UrTrainer
        settings = self._plan.trainer_settings()
        _limit_threads(self._plan.framework)
        if self._resume:
            machine: dict[str, Any] = {
                name: settings[name] for name in ("device", "amp") if name in settings
            }
            found = read_progress(self._folder, trainer_class, machine)
            if found is not None:
                self._say(f"resumed   after epoch {len(found[1].history)}")
                return found
        return trainer_class(**settings), Progress()

    def _describe(self, samples: Samples, trainer: Any) -> None:  # noqa: ANN401  of either framework
        plan = self._plan
        train, held = split_samples(
            samples, share=plan.validation_split, split=plan.split, seed=plan.seed
        )
        self._say(
            f"train     {len(train):,} positions, {len(held):,} to validate with, of {samples.games:,} games"
        )
        device = trainer.get_device_info()
        name = device.get("gpu_name", device["device_type"])
        sizes = "-".join(map(str, (150, *plan.hidden_sizes)))
        half = ", half precision" if plan.amp else ""
        self._say(f"networks  {sizes}-1 and -7, {plan.framework}; device: {name}{half}")

    def _write(self, progress: Progress, samples: Samples, seconds: float) -> None:
        best = progress.best_epoch
        last = len(progress.history)
        output = Path(self._plan.output)
        output.parent.mkdir(parents=True, exist_ok=True)
        metadata = _describe_training(self._plan, progress, samples, seconds)
        write_ur_weights(output, self._weights, layout=self._plan.layout, metadata=metadata)
        kept = (
            f"epoch {best.epoch} of {last}" if best and self._plan.restore_best else f"epoch {last}"
        )
        self._say(f"trained   {last} epochs in {seconds:.0f} s; weights of {kept} are kept")
        self._say(f"wrote     {output}   {VERSIONS[self._plan.layout]}, {self._plan.layout}")

    def _keep_events(self) -> None:
        events = self._folder / "events"
        if events.is_dir():
            target = Path(self._plan.output).with_suffix(".events")
            shutil.rmtree(target, ignore_errors=True)
            shutil.move(events, target)
            self._say(f"          {target}   tensorboard --logdir {target}")


def _limit_threads(framework: str) -> None:
    """Compute on one thread unless OMP_NUM_THREADS says otherwise.

    Batches of 32 rows are too small to share: two threads took as long as one on two free cores, and many times as long
    on busy ones, where each waits for the other.
    """
    if framework == "torch" and "OMP_NUM_THREADS" not in os.environ:
        importlib.import_module("torch").set_num_threads(1)


def _describe_training(
    plan: UrPlan, progress: Progress, samples: Samples, seconds: float
) -> dict[str, object]:
    """Return the metadata of the weights: the original's keys, with what was really done."""
    best = progress.best_epoch
    done = [
        f"expert: {plan.mode} self-play"
        if plan.data is None
        else f"samples of {Path(plan.data).name}",
        f"policy loss {plan.policy_loss}, value loss {plan.value_loss}",
        f"validation {'by whole games' if plan.split == 'game' else 'on the last positions'}",
    ]
    if plan.value_gain:
        done.append(f"value target tanh({plan.value_gain:g} * score / 10000)")
    if plan.lr_step:
        done.append(f"learning rate times {plan.lr_gamma:g} every {plan.lr_step} epochs")
    if plan.restore_best:
        done.append("weights of the epoch with the lowest validation loss")
    return {
        "training_date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "num_games": samples.games,
        "num_training_samples": len(samples),
        "epochs": len(progress.history),
        "learning_rate": plan.learning_rate,
        "batch_size": plan.batch_size,
        "validation_split": plan.validation_split,
        "seed": plan.seed,
        "training_time_seconds": round(seconds, 3),
        "best_validation_loss": None if best is None else best.validation["loss"],
        "improvements": done,
    }


def _format_epoch(figures: EpochFigures, plan: UrPlan, progress: Progress) -> str:
    """Return one line: losses of training and validation, trend, time, and what is left at this pace."""
    mean = sum(each.seconds for each in progress.history) / len(progress.history)
    left = round(mean * (plan.epochs - figures.epoch))
    train, held = figures.train, figures.validation
    before = progress.history[-2].validation["loss"] if len(progress.history) > 1 else held["loss"]
    trend = f"{held['loss'] - before:+.4f}"
    return (
        f"epoch {figures.epoch:3}/{plan.epochs}  loss {train['loss']:.4f}  validation {held['loss']:.4f} "
        f"({trend}; value {held['value_loss']:.5f}, policy {held['policy_loss']:.4f})"
        f"{'  best' if figures.improved else '      '}  {figures.seconds:.1f} s  ETA {left // 60}:{left % 60:02}"
    )
