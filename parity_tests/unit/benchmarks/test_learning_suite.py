from __future__ import annotations

import json
from pathlib import Path
from threading import Event

import pytest

from benchmarks import learning_suite
from benchmarks.curves import read_curves
from benchmarks.learning_suite import GROUPS, LearningGroup, LearningRun, list_runs, train
from experience.arguments import parse_arguments
from parity_tests.train_command import EXIT_INTERRUPTED

TINY = LearningGroup(
    "tiny",
    {
        "alg": "td3", "env": "Pendulum-v1", "env_type": "normal", "epochs": 1, "cycles": 2, "iterations": 1, "timesteps": 10,
        "test_rollouts": 1, "test_timesteps": 10, "warmup": 10, "train_batches": 1, "hidden_sizes": "4,4", "batch_size": 4,
        "buffer_size": 100,
    },
)  # fmt: skip


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
def test_flags_of_every_group_are_understood(group: LearningGroup, tmp_path: Path) -> None:
    both = [
        parse_arguments(LearningRun(group, framework, 3).words(tmp_path))
        for framework in ("legacy", "torch")
    ]

    assert [arguments.use_pytorch for arguments in both] == [False, True]
    assert {arguments.seed for arguments in both} == {3}
    assert len({arguments.run_folder for arguments in both}) == 2
    own = {"use_pytorch", "run_folder", "log_folder"}
    values = [{k: v for k, v in vars(arguments).items() if k not in own} for arguments in both]
    assert values[0] == values[1]


def test_every_group_runs_on_both_sides_with_five_seeds() -> None:
    runs = list_runs()

    assert len(runs) == len(GROUPS) * 2 * 5
    assert len({run.folder(Path()) for run in runs}) == len(runs)
    assert {run.seed for run in runs[: len(GROUPS) * 2]} == {0}


def test_episodic_groups_differ_in_the_algorithm_only() -> None:
    flags = {group.name: dict(group.flags) for group in GROUPS}
    plain, decomposed = flags["episodic-sac"], flags["episodic-rrd"]

    assert {name: decomposed[name] for name in plain if name != "alg"} == {
        name: value for name, value in plain.items() if name != "alg"
    }
    assert set(decomposed) - set(plain) == {"r_lr", "basis_alg"}


@pytest.fixture
def run_of_torch(tmp_path: Path) -> LearningRun:
    pytest.importorskip("gymnasium")
    return LearningRun(TINY, "torch", 1)


@pytest.mark.slow
def test_a_trained_run_is_complete_and_has_a_curve(
    run_of_torch: LearningRun, tmp_path: Path
) -> None:
    assert not run_of_torch.is_complete(tmp_path)

    assert train(run_of_torch, tmp_path) is None

    assert run_of_torch.is_complete(tmp_path)
    (curve,) = read_curves(tmp_path)
    assert (curve.framework, curve.seed, curve.task, curve.algorithm) == (
        "torch", "1", "Pendulum-v1", "TD3",
    )  # fmt: skip
    assert curve.steps == (10.0, 20.0)
    assert all(-200 < value < 0 for value in curve.returns)


@pytest.mark.slow
def test_a_finished_run_is_left_out(
    run_of_torch: LearningRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(run_of_torch, tmp_path)

    def refuse(*_: object) -> None:
        pytest.fail("trained again")

    monkeypatch.setattr("parity_tests.suite_command.train_suite_agent", refuse)
    assert train(run_of_torch, tmp_path) is None


def test_a_stopped_run_goes_on(
    run_of_torch: LearningRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = run_of_torch.folder(tmp_path)
    state = folder / "checkpoints/steps-000000010/state.json"
    state.parent.mkdir(parents=True)
    state.write_text(json.dumps({"progress": {"cycle": 1, "returns": []}}))
    words: list[list[str]] = []
    monkeypatch.setattr("parity_tests.suite_command.train_suite_agent", words.append)

    train(run_of_torch, tmp_path)

    assert words == [["--resume", str(folder), "--quiet"]]


@pytest.mark.slow
@pytest.mark.parametrize("left", ["arguments.json", "checkpoints"])
def test_a_run_that_ended_before_its_first_checkpoint_begins_anew(
    left: str, run_of_torch: LearningRun, tmp_path: Path
) -> None:
    folder = run_of_torch.folder(tmp_path)
    folder.mkdir(parents=True)
    if left == "checkpoints":
        (folder / left).mkdir()
    else:
        (folder / left).write_text("{}")

    assert train(run_of_torch, tmp_path) is None
    assert run_of_torch.is_complete(tmp_path)


def test_a_failed_run_says_why(tmp_path: Path) -> None:
    broken = LearningGroup("broken", {**TINY.flags, "env": "NoSuchTask-v0"})

    problem = train(LearningRun(broken, "torch", 0), tmp_path)

    assert problem is not None
    assert "NoSuchTask" in problem


def test_after_an_interrupt_no_further_run_is_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[list[str]] = []

    def stop(words: list[str]) -> None:
        calls.append(words)
        raise SystemExit(EXIT_INTERRUPTED)

    monkeypatch.setattr("parity_tests.suite_command.train_suite_agent", stop)
    monkeypatch.setattr(learning_suite, "_interrupted", Event())

    problems = [train(LearningRun(TINY, "torch", seed), tmp_path) for seed in (0, 1)]

    assert len(calls) == 1
    assert problems[1] is not None
    assert problems[1].endswith("not begun")


def test_only_known_groups_can_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        learning_suite.main(["--only", "pendulum-dqn"])

    assert "pendulum-sac" in capsys.readouterr().err
