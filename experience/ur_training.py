"""Epochs of the Ur networks: split, early stopping, checkpoints from which a killed run goes on exactly.

Either framework's `UrTrainer` is trained here; neither is known here. What an epoch draws depends on the seed and its
number alone, and a checkpoint after every epoch has the rest, so that a resumed run computes what an unbroken one does.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from experience.environments.royal_ur.samples import Samples
from experience.logs import TensorBoardWriter
from experience.run_checkpoints import write_folder
from experience.ur_networks import UrBatch
from experience.ur_plan import UrPlan

_CHECKPOINTS = "checkpoints"
_STATE = "state.json"
_BEST = "best.npz"
_TRAINER = "trainer"

Arrays = Mapping[str, NDArray[np.floating]]


class Trainer(Protocol):
    """What the epochs need of a `UrTrainer`."""

    def train_epoch(self, samples: UrBatch, order: NDArray[np.int64]) -> dict[str, float]:
        """Train once on the rows in this order and return the mean losses."""
        ...

    def measure(self, samples: UrBatch) -> dict[str, float]:
        """Return the mean losses without dropout."""
        ...

    def set_learning_rate(self, learning_rate: float) -> None:
        """Set the rate of the next steps."""
        ...

    def get_weights(self) -> dict[str, NDArray[np.floating]]:
        """Return copies of all weights."""
        ...

    def set_weights(self, weights: Arrays) -> None:
        """Set all weights."""
        ...

    def save(self, path: Path) -> None:
        """Write everything that training needs to go on."""
        ...


class TrainerClass(Protocol):
    """Loads a trainer."""

    def load(self, path: Path, **settings: Any) -> Trainer:  # noqa: ANN401  of the constructor
        """Return what `save` wrote."""
        ...


@dataclass(frozen=True, slots=True)
class EpochFigures:
    """One epoch.

    Attributes:
        epoch: from 1.
        learning_rate: of its steps.
        train: mean "loss", "value_loss", "policy_loss", with dropout, each before its step.
        validation: the same after the epoch, without dropout, of positions that are not trained on.
        seconds: it took.
        improved: whether the validation loss is the lowest so far.
    """

    epoch: int
    learning_rate: float
    train: Mapping[str, float]
    validation: Mapping[str, float]
    seconds: float
    improved: bool


@dataclass(slots=True)
class Progress:
    """Where a run is.

    Attributes:
        history: of all epochs so far.
        best: weights of the best epoch; None before the first.
    """

    history: list[EpochFigures] = field(default_factory=list)
    best: Arrays | None = None

    @property
    def best_epoch(self) -> EpochFigures | None:
        """The epoch with the lowest validation loss, the first of equal ones."""
        improved = [figures for figures in self.history if figures.improved]
        return improved[-1] if improved else None

    def is_stale(self, patience: int) -> bool:
        """Return whether the last `patience` epochs brought nothing."""
        best = self.best_epoch
        return bool(patience and best and len(self.history) - best.epoch >= patience)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Return the progress of a checkpoint. Raises ValueError for a damaged one."""
        try:
            state = json.loads((folder / _STATE).read_text("utf-8"))
            history = [EpochFigures(**figures) for figures in state["history"]]
            with np.load(folder / _BEST, allow_pickle=False) as arrays:
                best = {name.replace("|", "/"): arrays[name] for name in arrays.files}
        except (OSError, ValueError, TypeError, KeyError) as error:
            msg = f"{folder}: not a checkpoint of the Ur networks: {error}"
            raise ValueError(msg) from error
        return cls(history, best)

    def write(self, folder: Path) -> None:
        """Write the figures and the best weights into a folder."""
        text = json.dumps({"history": [asdict(figures) for figures in self.history]})
        (folder / _STATE).write_text(text, encoding="utf-8")
        best = {name.replace("/", "|"): array for name, array in (self.best or {}).items()}
        with (folder / _BEST).open("wb") as file:
            np.savez(file, allow_pickle=False, **best)


def split_samples(
    samples: Samples, *, share: float, split: str, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows to train on and the rows to validate with.

    Args:
        samples: of several games.
        share: of the games, or positions, to validate with.
        split: "game": whole games, so that no position of a game is on both sides; "order": the last positions.
        seed: of the choice of games.

    Raises:
        ValueError: One of the two sides would be empty.
    """
    rows = np.arange(len(samples))
    if split == "order":
        # As the original: of the positions as they lie, so that one game straddles.
        count = int(len(rows) * (1 - share))
        train, validation = rows[:count], rows[count:]
    else:
        games = np.unique(samples.game)
        chosen = np.random.default_rng([seed, 1]).permutation(games)[: round(len(games) * share)]
        held = np.isin(samples.game, chosen)
        train, validation = rows[~held], rows[held]
    if not len(train) or not len(validation):
        msg = f"{samples.games} games with a split of {share} leave no positions to train on or to validate with"
        raise ValueError(msg)
    return train, validation


def make_batch(samples: Samples, value_gain: float) -> UrBatch:
    """Return the samples as the networks learn them: values tanh(value_gain * target), or as they are for 0.

    The expert's score is a tenth of its range in most positions; a network that ends in tanh, and a player that adds
    value and policy, need values of their own size. The order of positions stays.
    """
    value = samples.value_target
    if value_gain:
        value = np.tanh(value_gain * value.astype(np.float64)).astype(np.float32)
    return UrBatch(samples.features, value, samples.policy_target)


def train_networks(
    trainer: Trainer,
    samples: Samples,
    plan: UrPlan,
    *,
    progress: Progress,
    folder: Path | None = None,
    on_epoch: Callable[[EpochFigures], None] = lambda figures: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> bool:
    """Train to the end of the plan, or until it stops early; return False if `should_stop` ended it.

    Args:
        trainer: as new, or of the checkpoint that `progress` is of; at the end it has the weights to keep.
        samples: all of them.
        plan: of the run.
        progress: goes on from; changed.
        folder: gets a checkpoint after every epoch, and TensorBoard's events; None: neither.
        on_epoch: told every epoch.
        should_stop: asked after every epoch.
    """
    batch = make_batch(samples, plan.value_gain)
    train, validation = split_samples(
        samples, share=plan.validation_split, split=plan.split, seed=plan.seed
    )
    held = batch.rows(validation)
    events = TensorBoardWriter(folder / "events") if plan.tensorboard and folder else None
    try:
        while len(progress.history) < plan.epochs and not progress.is_stale(plan.patience):
            if should_stop():
                return False
            figures = _train_epoch(trainer, batch, train, held, plan, progress)
            if folder is not None:
                write_progress(trainer, progress, folder)
            if events is not None:
                events.add_scalars(figures.epoch, _scalars(figures))
            on_epoch(figures)
    finally:
        if events is not None:
            events.close()
    if plan.restore_best and progress.best is not None:
        trainer.set_weights(progress.best)
    return True


def write_progress(trainer: Trainer, progress: Progress, folder: Path) -> None:
    """Write a checkpoint as a whole and remove the one before."""
    place = folder / _CHECKPOINTS

    def write(temporary: Path) -> None:
        trainer.save(temporary / _TRAINER)
        progress.write(temporary)

    written = write_folder(place / f"epoch-{len(progress.history):05}", write)
    for other in place.glob("epoch-*"):
        if other != written:
            shutil.rmtree(other, ignore_errors=True)


def read_progress(
    folder: Path, trainer_class: TrainerClass, settings: Mapping[str, Any]
) -> tuple[Trainer, Progress] | None:
    """Return trainer and progress of the last checkpoint in a run's folder; None if there is none.

    Args:
        folder: of the run.
        trainer_class: of the plan's framework.
        settings: of the machine: `device`, `amp`; Any: of several types.

    Raises:
        ValueError: It is damaged.
    """
    found = sorted((folder / _CHECKPOINTS).glob("epoch-*"))
    if not found:
        return None
    return trainer_class.load(found[-1] / _TRAINER, **settings), Progress.read(found[-1])


def _train_epoch(
    trainer: Trainer,
    batch: UrBatch,
    train: NDArray[np.int64],
    held: UrBatch,
    plan: UrPlan,
    progress: Progress,
) -> EpochFigures:
    start = time.perf_counter()
    epoch = len(progress.history) + 1
    rate = plan.learning_rate_at(epoch)
    trainer.set_learning_rate(rate)
    order = np.random.default_rng([plan.seed, 2, epoch]).permutation(train)
    losses = trainer.train_epoch(batch, order)
    measured = trainer.measure(held)
    best = progress.best_epoch
    improved = best is None or measured["loss"] < best.validation["loss"]
    seconds = time.perf_counter() - start
    figures = EpochFigures(epoch, rate, losses, measured, seconds, improved)
    progress.history.append(figures)
    if improved:
        progress.best = trainer.get_weights()
    return figures


def _scalars(figures: EpochFigures) -> dict[str, float]:
    losses = {
        f"{side}/{name}": value
        for side, found in (("train", figures.train), ("validation", figures.validation))
        for name, value in found.items()
    }
    return {**losses, "learning_rate": figures.learning_rate}
