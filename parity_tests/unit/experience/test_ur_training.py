"""Plan and epochs of the Ur networks with a trainer of one number: split, early stopping, rates, exact resume."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
from numpy.typing import NDArray

from experience.environments.royal_ur.samples import Samples
from experience.ur_networks import UrBatch
from experience.ur_plan import FAITHFUL, PRESETS, UrPlan, read_plan
from experience.ur_training import (
    Progress,
    make_batch,
    read_progress,
    split_samples,
    train_networks,
)


class NumberTrainer:
    """A trainer of one weight, whose validation losses are given; it notes what it is asked."""

    def __init__(self, losses: Sequence[float] = ()) -> None:
        self.losses, self.epoch, self.weight = list(losses), 0, 0.0
        self.rates: list[float] = []
        self.orders: list[NDArray[np.int64]] = []

    def train_epoch(self, samples: UrBatch, order: NDArray[np.int64]) -> dict[str, float]:
        self.orders.append(order)
        # Depends on the order of the rows and on what was before, as a real step does.
        for value in samples.value_target[order]:
            self.weight = 0.9 * self.weight + float(value)
        self.epoch += 1
        return self._figures(abs(self.weight))

    def measure(self, samples: UrBatch) -> dict[str, float]:
        return self._figures(self.losses[self.epoch - 1] if self.losses else abs(self.weight))

    def set_learning_rate(self, learning_rate: float) -> None:
        self.rates.append(learning_rate)

    def get_weights(self) -> dict[str, NDArray[np.floating]]:
        return {"value/fc1/bias": np.array([self.weight])}

    def set_weights(self, weights: Mapping[str, NDArray[np.floating]]) -> None:
        self.weight = float(weights["value/fc1/bias"][0])

    def save(self, path: Path) -> None:
        path.with_suffix(".json").write_text(json.dumps([self.weight, self.epoch]))

    @classmethod
    def load(cls, path: Path, **settings: Any) -> Self:
        trainer = cls()
        trainer.weight, trainer.epoch = json.loads(path.with_suffix(".json").read_text())
        return trainer

    def _figures(self, loss: float) -> dict[str, float]:
        return {"loss": loss, "value_loss": loss / 2, "policy_loss": loss / 2}


def samples(games: int = 10, length: int = 7) -> Samples:
    rng = np.random.default_rng(0)
    count = games * length
    return Samples(
        rng.normal(size=(count, 150)).astype(np.float32),
        rng.uniform(-0.3, 0.3, count).astype(np.float32),
        np.eye(7, dtype=np.float32)[rng.integers(7, size=count)],
        np.repeat(np.arange(games), length).astype(np.int32),
    )


def plan(**changes: Any) -> UrPlan:
    return replace(UrPlan(epochs=6, batch_size=4, patience=0), **changes)


def test_presets_are_those_of_the_guide() -> None:
    figures = {name: (p.games, p.epochs, p.depth) for name, p in PRESETS.items()}

    assert figures == {
        "test": (100, 10, 3),
        "fast": (500, 25, 3),
        "standard": (1000, 50, 3),
        "production": (2000, 75, 4),
    }
    assert {(p.learning_rate, p.batch_size, p.patience) for p in PRESETS.values()} == {
        (0.001, 32, 20)
    }
    assert {name: Path(p.output).as_posix() for name, p in PRESETS.items()} == {
        "test": "ml/weights/test_pytorch_weights.json",
        "fast": "ml/weights/ml_ai_weights_pytorch_fast.json",
        "standard": "ml/weights/ml_ai_weights_pytorch.json",
        "production": "ml/weights/ml_ai_weights_pytorch_v1.json",
    }


def test_rate_drops_after_three_fifths_of_the_epochs_of_a_preset() -> None:
    assert {plan.lr_step / plan.epochs for plan in PRESETS.values()} == {0.6}


def test_faithful_plan_is_a_plan() -> None:
    faithful = replace(UrPlan(), **FAITHFUL)

    assert (faithful.policy_loss, faithful.split, faithful.restore_best, faithful.lr_step) == (
        "double_softmax",
        "order",
        False,
        0,
    )


def test_plan_survives_its_file(tmp_path: Path) -> None:
    given = plan(hidden_sizes=(8, 4), amp=True)
    (tmp_path / "plan.json").write_text(given.to_text())

    assert read_plan(tmp_path / "plan.json") == given


@pytest.mark.parametrize("text", ["[]", "{", '{"hidden_sizes": [3], "surprise": 1}', "{}"])
def test_file_that_is_no_plan_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "plan.json").write_text(text)

    with pytest.raises(ValueError, match="not the plan of a training run"):
        read_plan(tmp_path / "plan.json")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"depth": 5}, "depth must be 0 to 4"),
        ({"validation_split": 1.0}, "validation split"),
        ({"framework": "tensorflow", "amp": True}, "half precision"),
        ({"epochs": 0}, "at least 1"),
    ],
)
def test_plan_out_of_range_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plan(**changes)


def test_learning_rate_drops_after_the_thirtieth_epoch() -> None:
    rates = [plan(lr_step=30).learning_rate_at(epoch) for epoch in (1, 30, 31, 61)]

    assert rates == pytest.approx([1e-3, 1e-3, 1e-4, 1e-5])
    assert plan(lr_step=0).learning_rate_at(1_000) == 1e-3


def test_split_by_game_keeps_games_whole() -> None:
    data = samples()

    train, held = split_samples(data, share=0.2, split="game", seed=3)

    assert set(data.game[train]).isdisjoint(data.game[held])
    assert len(set(data.game[held])) == 2
    assert sorted([*train, *held]) == list(range(70))


def test_split_in_order_holds_the_last_positions() -> None:
    train, held = split_samples(samples(), share=0.25, split="order", seed=3)

    # 70 * 0.75 = 52.5: the 53rd position and all after it, in the middle of a game.
    assert train[-1] == 51
    assert held[0] == 52


def test_split_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"1 games with a split of 0.2"):
        split_samples(samples(games=1), share=0.2, split="game", seed=0)


def test_value_gain_stretches_targets_and_zero_leaves_them() -> None:
    data = samples()

    assert make_batch(data, 0.0).value_target is data.value_target
    np.testing.assert_allclose(
        make_batch(data, 4.0).value_target, np.tanh(4 * data.value_target), rtol=1e-6
    )


def test_training_stops_when_nothing_improves_and_restores_the_best_weights() -> None:
    trainer, progress = NumberTrainer([3, 1, 2, 2, 2, 0]), Progress()

    complete = train_networks(trainer, samples(), plan(patience=3), progress=progress)

    assert complete
    assert len(progress.history) == 5
    assert progress.best_epoch is not None
    assert progress.best_epoch.epoch == 2
    assert progress.best is not None
    assert trainer.weight == progress.best["value/fc1/bias"][0]


def test_original_keeps_the_last_weights() -> None:
    trainer, progress = NumberTrainer([3, 1, 2, 2, 2, 0]), Progress()

    train_networks(trainer, samples(), plan(patience=3, restore_best=False), progress=progress)

    assert progress.best is not None
    assert trainer.weight != progress.best["value/fc1/bias"][0]


def test_every_epoch_has_its_rate_and_an_order_of_its_own() -> None:
    trainer = NumberTrainer()

    train_networks(trainer, samples(), plan(lr_step=2, epochs=3), progress=Progress())

    assert trainer.rates == pytest.approx([1e-3, 1e-3, 1e-4])
    assert not np.array_equal(trainer.orders[0], trainer.orders[1])
    assert set(trainer.orders[0]) == set(trainer.orders[1])


def test_seed_decides_split_and_order() -> None:
    trainers = [NumberTrainer() for _ in range(3)]
    for trainer, seed in zip(trainers, (1, 1, 2), strict=True):
        train_networks(trainer, samples(), plan(seed=seed, epochs=1), progress=Progress())

    assert np.array_equal(trainers[0].orders[0], trainers[1].orders[0])
    assert not np.array_equal(trainers[0].orders[0], trainers[2].orders[0])


@pytest.mark.parametrize("killed_after", [1, 3])
def test_run_that_was_stopped_goes_on_as_if_it_had_not(tmp_path: Path, killed_after: int) -> None:
    whole, all_of_it = NumberTrainer(), Progress()
    train_networks(whole, samples(), plan(), progress=all_of_it)
    first, progress = NumberTrainer(), Progress()

    complete = train_networks(
        first,
        samples(),
        plan(),
        progress=progress,
        folder=tmp_path,
        should_stop=lambda: len(progress.history) == killed_after,
    )
    found = read_progress(tmp_path, NumberTrainer, {})
    assert found is not None
    trainer, resumed = found
    train_networks(trainer, samples(), plan(), progress=resumed, folder=tmp_path)

    assert not complete
    assert trainer.get_weights() == whole.get_weights()
    assert [f.validation for f in resumed.history] == [f.validation for f in all_of_it.history]
    assert len(list((tmp_path / "checkpoints").iterdir())) == 1


def test_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    train_networks(NumberTrainer(), samples(), plan(epochs=1), progress=Progress(), folder=tmp_path)
    (tmp_path / "checkpoints" / "epoch-00001" / "best.npz").write_bytes(b"PK")

    with pytest.raises(ValueError, match="not a checkpoint of the Ur networks"):
        read_progress(tmp_path, NumberTrainer, {})


def test_folder_without_a_checkpoint_starts_from_the_beginning(tmp_path: Path) -> None:
    assert read_progress(tmp_path, NumberTrainer, {}) is None
