"""`torchward train ur`: arguments, a whole small run, resume after a kill, files that stay and files that go."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from experience.environments.royal_ur.data_files import write_samples
from experience.environments.royal_ur.samples import Samples
from experience.ur_plan import PRESETS
from experience.ur_weights import GAME_LAYOUT, read_ur_weights
from parity_tests.train_plan import TrainingUsageError
from parity_tests.ur_command import build_parser, is_for_ur, make_plan, train_ur
from torchward import main

SMALL = ["--data", "data.npz", "--hidden-sizes", "6,4", "--device", "cpu", "--output", "w.json"]
EPOCH_LINE = re.compile(
    r"epoch +(\d/\d)  loss [\d.]+  validation ([\d.]+) \(([+-][\d.]+);.*  ETA \d+:\d\d"
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder with samples in it; a run may set the number of threads, which is put back."""
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    rng = np.random.default_rng(0)
    count = 8 * 12
    squares = rng.uniform(-1, 1, size=(count, 150)).astype(np.float32)
    data = Samples(
        squares,
        rng.uniform(-0.3, 0.3, count).astype(np.float32),
        np.eye(7, dtype=np.float32)[rng.integers(7, size=count)],
        np.repeat(np.arange(8), 12).astype(np.int32),
    )
    write_samples(data, tmp_path / "data.npz")
    yield tmp_path
    torch.set_num_threads(threads)


def plan_of(*arguments: str) -> Any:
    return make_plan(build_parser().parse_args(arguments))


def test_positional_arguments_are_those_of_the_guide_s_script() -> None:
    plan = plan_of("1500", "60", "0.002", "64", "4", "custom.json")

    figures = (
        plan.games,
        plan.epochs,
        plan.learning_rate,
        plan.batch_size,
        plan.depth,
        plan.output,
    )
    assert figures == (1500, 60, 0.002, 64, 4, "custom.json")


def test_fewer_positions_leave_the_preset_s_values() -> None:
    plan = plan_of("7", "--preset", "production")

    assert plan.games == 7
    assert plan.depth == PRESETS["production"].depth


def test_faithful_gives_way_to_options() -> None:
    plan = plan_of("--faithful", "--policy-loss", "kl")

    assert (plan.mode, plan.policy_loss, plan.split) == ("faithful", "kl", "order")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["many"], "games is 'many', needed a number"),
        (["5", "--games", "6"], "games is given twice"),
        (["1"] * 7, "7 positional arguments"),
        (["--depth", "9"], "the depth must be 0 to 4"),
    ],
)
def test_wrong_arguments_are_refused(arguments: list[str], message: str) -> None:
    with pytest.raises(TrainingUsageError, match=message):
        plan_of(*arguments)


def test_help_shows_defaults_and_presets(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        train_ur(["ur", "--help"])

    text = " ".join(capsys.readouterr().out.split())
    for shown in (
        "of self-play; 1000",
        "at most; 50",
        "Adam; 0.001",
        "0 to 4; 3",
        "production 2000/75/4",
    ):
        assert shown in text


def test_other_agents_are_trained_elsewhere(tmp_path: Path) -> None:
    assert is_for_ur(["ur", "--games", "3"])
    assert not is_for_ur(["dqn"])
    assert not is_for_ur(["--resume", str(tmp_path)])


def test_run_writes_weights_with_true_figures_and_leaves_nothing_else(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["train", "ur", *SMALL, "--epochs", "3", "--layout", GAME_LAYOUT])

    assert code == 0
    assert sorted(path.name for path in folder.iterdir()) == ["data.npz", "w.json"]
    found = read_ur_weights(folder / "w.json")
    assert found.layout == GAME_LAYOUT
    assert found.hidden_sizes == (6, 4)
    keys = {"num_games": 8, "num_training_samples": 96, "epochs": 3, "batch_size": 32, "seed": 42}
    assert keys.items() <= found.metadata.items()
    assert found.metadata["best_validation_loss"] is not None
    lines = capsys.readouterr().out.splitlines()
    epochs = [EPOCH_LINE.match(line) for line in lines if line.startswith("epoch ")]
    numbers, losses, trends = zip(*(found.groups() for found in epochs if found), strict=True)
    assert numbers == ("1/3", "2/3", "3/3")
    steps = np.diff([float(loss) for loss in losses])
    np.testing.assert_allclose([float(trend) for trend in trends[1:]], steps, atol=2e-4)
    assert any("device: cpu" in line for line in lines)


def test_equal_seeds_give_equal_weights(folder: Path) -> None:
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        train_ur(["ur", *SMALL, "--output", f"{name}.json", "--epochs", "2", "--seed", seed, "-q"])

    weights = [json.loads((folder / f"{name}.json").read_text())["value_weights"] for name in "abc"]
    assert weights[0] == weights[1]
    assert weights[0] != weights[2]


def test_killed_run_goes_on_to_the_same_weights(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import experience.ur_training as training

    train_ur(["ur", *SMALL, "--epochs", "4", "-q"])
    whole = json.loads((folder / "w.json").read_text())
    (folder / "w.json").unlink()
    write = training.write_progress

    def write_and_die(trainer: Any, progress: Any, run_folder: Path) -> None:
        write(trainer, progress, run_folder)
        if len(progress.history) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training, "write_progress", write_and_die)
        with pytest.raises(SystemExit) as stopped:
            train_ur(["ur", *SMALL, "--epochs", "4", "-q"])
    assert main(["train", "ur", "--resume", ".w.run", "-q"]) == 0

    resumed = json.loads((folder / "w.json").read_text())
    assert stopped.value.code == 130
    assert resumed["value_weights"] == whole["value_weights"]
    assert resumed["policy_weights"] == whole["policy_weights"]
    assert not (folder / ".w.run").exists()


def test_failed_run_leaves_no_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "data.npz").write_bytes(b"no samples")

    code = main(["train", "ur", *SMALL])

    assert code == TrainingUsageError.exit_code
    assert capsys.readouterr().err.count("\n") == 1
    assert [path.name for path in folder.iterdir()] == ["data.npz"]


@pytest.mark.slow
@pytest.mark.parametrize(("given", "threads"), [(None, 1), ("2", 2)])
def test_a_step_takes_one_thread_unless_omp_num_threads_says_otherwise(
    given: str | None, threads: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(2)  # as torch begins with that variable, or with two cores
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if given is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", given)

    train_ur(["ur", *SMALL, "--epochs", "1", "-q"])

    assert torch.get_num_threads() == threads


def test_existing_output_is_kept_without_force(folder: Path) -> None:
    (folder / "w.json").write_text("old")

    with pytest.raises(TrainingUsageError, match="exists already; add --force"):
        train_ur(["ur", *SMALL])

    assert (folder / "w.json").read_text() == "old"


def test_tensorboard_events_stay_beside_the_weights(folder: Path) -> None:
    pytest.importorskip("tensorboard")

    train_ur(["ur", *SMALL, "--epochs", "2", "--tensorboard", "-q"])

    [events] = (folder / "w.events").glob("events.out.tfevents.*")
    for name in (b"train/loss", b"validation/loss", b"validation/policy_loss", b"learning_rate"):
        assert events.read_bytes().count(name) == 2


@pytest.mark.slow
def test_games_are_played_and_weights_are_evaluated(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "8",
        "1",
        "0.001",
        "32",
        "1",
        "played.json",
        "--workers",
        "1",
        "--hidden-sizes",
        "4",
    ]

    train_ur(["ur", *arguments, "--keep-data", "kept.json", "--evaluate", "4"])

    text = capsys.readouterr().out
    assert "samples/s" in text
    assert sum("network against" in line for line in text.splitlines()) == 5
    sample = json.loads((folder / "kept.json").read_text())[0]
    assert {key: np.size(value) for key, value in sample.items()} == {
        "features": 150,
        "value_target": 1,
        "policy_target": 7,
    }


@pytest.mark.tf
def test_keras_trains_and_writes_the_same_kind_of_file(folder: Path) -> None:
    arguments = [argument for argument in SMALL if argument not in ("--device", "cpu")]

    train_ur(["ur", *arguments, "--epochs", "2", "--framework", "tensorflow", "-q"])

    assert read_ur_weights(folder / "w.json").hidden_sizes == (6, 4)
