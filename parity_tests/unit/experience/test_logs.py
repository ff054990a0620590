from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from experience.logs import EpisodeFigures, EvaluationFigures, RunLog

EVALUATION = EvaluationFigures(
    episode=2, step=14, episodes=3, mean_return=5.5, deviation=0.5, minimum=5.0, maximum=6.0
)


def figures(episode: int, loss: float | None = 0.25) -> EpisodeFigures:
    return EpisodeFigures(episode, 7 * episode, 1.5 * episode, 7, loss, 0.9)


def test_the_table_has_a_row_per_episode_and_an_empty_cell_without_a_loss(tmp_path: Path) -> None:
    with RunLog(tmp_path) as log:
        log.on_episode(figures(1, None))
        log.on_evaluation(EVALUATION)
        log.on_episode(figures(2))

    with (tmp_path / "progress.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["loss"] for row in rows] == ["", "0.25"]
    assert [float(row["episode_return"]) for row in rows] == [1.5, 3.0]


def test_the_lines_are_json_with_the_seconds_of_the_run(tmp_path: Path) -> None:
    times = iter([100.0, 101.5, 104.0])
    with RunLog(tmp_path, clock=lambda: next(times)) as log:
        log.on_episode(figures(1, None))
        log.on_evaluation(EVALUATION)

    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(line["kind"], line["seconds"]) for line in lines] == [
        ("episode", 1.5),
        ("evaluation", 4.0),
    ]
    assert lines[0]["loss"] is None
    assert lines[1]["mean_return"] == 5.5


def test_a_log_that_goes_on_forgets_what_came_after_its_position(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for folder in (whole, broken):
        folder.mkdir()
    with RunLog(whole, clock=lambda: 0.0) as log:
        for episode in (1, 2, 3):
            log.on_episode(figures(episode))
    with RunLog(broken, clock=lambda: 0.0) as log:
        log.on_episode(figures(1))
        position = log.position()
        log.on_episode(figures(2, 99.0))

    with RunLog(broken, position=position, clock=lambda: 0.0) as log:
        for episode in (2, 3):
            log.on_episode(figures(episode))

    for name in ("progress.csv", "metrics.jsonl"):
        assert (broken / name).read_bytes() == (whole / name).read_bytes()


def test_seconds_add_up_over_processes(tmp_path: Path) -> None:
    first, second = iter([10.0, 13.0]), iter([500.0, 504.0])
    with RunLog(tmp_path, clock=lambda: next(first)) as log:
        position = log.position()

    with RunLog(tmp_path, position=position, clock=lambda: next(second)) as log:
        assert log.seconds() == 7.0


def test_a_file_that_was_shortened_is_refused(tmp_path: Path) -> None:
    with RunLog(tmp_path) as log:
        log.on_episode(figures(1))
        position = log.position()
    (tmp_path / "progress.csv").write_text("episode\n")

    with pytest.raises(ValueError, match=r"progress\.csv: has 8 bytes"):
        RunLog(tmp_path, position=position)


def test_tensorboard_reads_the_guides_scalars_back(tmp_path: Path) -> None:
    loading = pytest.importorskip("tensorboard.backend.event_processing.event_file_loader")
    with RunLog(tmp_path, tensorboard=True) as log:
        for episode in (1, 2):
            log.on_episode(figures(episode))
        log.on_evaluation(EVALUATION)

    (path,) = tmp_path.glob("events.out.tfevents.*")
    found = {
        (value.tag, event.step): value.tensor.float_val[0]
        for event in loading.EventFileLoader(str(path)).Load()
        for value in event.summary.value
    }
    assert found[("Reward/Episode", 1)] == 3.0
    assert found[("Loss/Episode", 0)] == 0.25
    assert found[("Epsilon", 0)] == pytest.approx(0.9)
    assert found[("Evaluation/Return", 1)] == 5.5


@pytest.mark.slow
def test_writing_events_imports_no_framework(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    code = (
        "import sys; from pathlib import Path; from experience.logs import TensorBoardWriter\n"
        f"writer = TensorBoardWriter(Path({str(tmp_path)!r})); writer.add_scalars(0, {{'a': 1.0}}); writer.close()\n"
        "print([m for m in ('torch', 'tensorflow', 'keras') if m in sys.modules])"
    )

    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert found.stdout.strip() == "[]"
    assert list(tmp_path.glob("events.out.tfevents.*"))


def test_without_tensorboard_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto", None)

    with pytest.raises(ImportError, match=r"pip install 'torchward\[rl\]'"):
        RunLog(tmp_path, tensorboard=True)
