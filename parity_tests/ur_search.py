"""`torchward train ur --search N`: which settings learn best, tried by Optuna, with a table of all trials."""

from __future__ import annotations

import importlib
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from experience.environments.royal_ur.samples import Samples
from experience.ur_plan import UrPlan
from experience.ur_training import EpochFigures, Progress, train_networks
from parity_tests.train_plan import TrainingUsageError

if TYPE_CHECKING:
    import optuna

TRAINERS = {"torch": "torch_impl.ur", "tensorflow": "legacy_tf.ur"}
SIZES = ("32,16", "64,32", "128,64,32", "256,128,64,32", "512,256,128,64")
BATCH_SIZES = (32, 64, 128, 256)


@dataclass(frozen=True, slots=True)
class Trial:
    """One way to train, and what came of it.

    Attributes:
        plan: with the settings of the trial.
        loss: lowest validation loss.
        epochs: trained; fewer than planned if the trial was given up, or nothing improved.
        given_up: it was behind the middle of the others.
    """

    plan: UrPlan
    loss: float
    epochs: int
    given_up: bool


def search_settings(
    plan: UrPlan, samples: Samples, trials: int, *, say: Callable[[str], None] = lambda line: None
) -> list[Trial]:
    """Return all trials, the one with the lowest validation loss first.

    Learning rate, batch size, dropout and hidden sizes are searched; losses and targets stay, since others could not
    be compared. The same seed gives the same trials.

    Args:
        plan: what every trial has in common.
        samples: trained on in every trial.
        trials: at least 1.
        say: told every trial.

    Raises:
        TrainingUsageError: Optuna is not installed.
    """
    try:
        import optuna
    except ModuleNotFoundError as error:
        msg = "--search needs optuna, which is not installed: pip install 'torchward[search]'"
        raise TrainingUsageError(msg) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=plan.seed),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=2),
    )
    found: list[Trial] = []
    for _ in range(trials):
        trial = study.ask()
        tried = _try(_suggest(plan, trial), samples, trial)
        found.append(tried)
        state = optuna.trial.TrialState
        study.tell(
            trial,
            None if tried.given_up else tried.loss,
            state=state.PRUNED if tried.given_up else None,
        )
        say(f"trial {len(found):3}/{trials}  {_describe(tried)}")
    return sorted(found, key=lambda each: each.loss)


def format_trials(trials: Sequence[Trial]) -> list[str]:
    """Return a Markdown table, best first, and the command that trains with the best settings."""
    lines = [
        "| validation loss | learning rate | batch size | dropout | hidden sizes | epochs | |",
        "|---|---|---|---|---|---|---|",
    ]
    for trial in trials:
        p = trial.plan
        sizes = "-".join(map(str, p.hidden_sizes))
        note = "given up" if trial.given_up else ""
        lines.append(
            f"| {trial.loss:.4f} | {p.learning_rate:.2g} | {p.batch_size} | {p.dropout:.2f} | {sizes} | {trial.epochs} | {note} |"
        )
    return [*lines, "", f"best: {best_command(trials[0].plan)}"]


def best_command(plan: UrPlan) -> str:
    """Return the command that trains with the settings of a trial."""
    sizes = ",".join(map(str, plan.hidden_sizes))
    words = ["torchward", "train", "ur", "--games", plan.games, "--epochs", plan.epochs, "--lr",
             f"{plan.learning_rate:.6g}", "--batch-size", plan.batch_size, "--dropout", f"{plan.dropout:.4g}",
             "--hidden-sizes", sizes, "--output", plan.output]  # fmt: skip
    return shlex.join(map(str, words))


def _suggest(plan: UrPlan, trial: optuna.Trial) -> UrPlan:
    sizes = trial.suggest_categorical("hidden_sizes", SIZES)
    return replace(
        plan,
        learning_rate=trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True),
        batch_size=trial.suggest_categorical("batch_size", BATCH_SIZES),
        dropout=trial.suggest_float("dropout", 0.0, 0.3),
        hidden_sizes=tuple(int(size) for size in sizes.split(",")),
    )


def _try(plan: UrPlan, samples: Samples, trial: optuna.Trial) -> Trial:
    trainer = importlib.import_module(TRAINERS[plan.framework]).UrTrainer(**plan.trainer_settings())
    progress = Progress()

    def report(figures: EpochFigures) -> None:
        trial.report(figures.validation["loss"], figures.epoch)

    def should_stop() -> bool:
        return bool(progress.history) and trial.should_prune()

    complete = train_networks(
        trainer, samples, plan, progress=progress, on_epoch=report, should_stop=should_stop
    )
    best = progress.best_epoch
    loss = float("inf") if best is None else best.validation["loss"]
    return Trial(plan, loss, len(progress.history), not complete)


def _describe(trial: Trial) -> str:
    plan = trial.plan
    sizes = "-".join(map(str, plan.hidden_sizes))
    settings = (
        f"lr {plan.learning_rate:.2g}, batch {plan.batch_size}, dropout {plan.dropout:.2f}, {sizes}"
    )
    return f"validation {trial.loss:.4f}  {settings}{'  given up' if trial.given_up else ''}"
