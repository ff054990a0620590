"""The commands on legacy files, called as typer calls them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import converters.convert
import torchward
from converters.commands import cli
from converters.readers.hdf5 import processes
from parity_tests import FIXTURES

MODEL = FIXTURES / "k231_dqn_cartpole" / "model.h5"


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Return the number of threads that each child was to have when it was started."""
    started: list[str] = []

    class Watched(processes.Worker):
        def __init__(self) -> None:
            super().__init__()
            started.append(os.environ["OPENBLAS_NUM_THREADS"])

    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    monkeypatch.setattr(processes, "Worker", Watched)
    monkeypatch.setattr(processes, "_idle", [])
    yield started
    processes.stop_workers()


def test_conversion_reads_with_the_one_child_that_it_started_ahead(
    children: list[str], tmp_path: Path
) -> None:
    code = torchward.main(["convert", str(MODEL), "-o", str(tmp_path / "m.pth"), "--quiet"])

    assert code == 0
    assert (tmp_path / "m.pth").exists()
    assert len(children) == len(processes._idle) == 1


def test_child_is_there_before_the_conversion_begins(
    children: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []

    def convert(*_: object, **__: object) -> None:
        found.append(len(children))
        raise KeyboardInterrupt

    monkeypatch.setattr(converters.convert, "convert", convert)

    torchward.main(["convert", str(MODEL), "-o", str(tmp_path / "m.pth")])

    assert found == [1]


def test_threads_that_the_user_asks_for_stay(
    children: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    cli.inspect(MODEL, as_json=True)

    assert children == ["2"]
    assert '"model.h5"' in capsys.readouterr().out


def test_folder_of_checkpoints_is_told_from_a_folder_of_files(tmp_path: Path) -> None:
    shutil.copy(MODEL, tmp_path)
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "saved_model.pb").touch()

    assert cli._is_batch(tmp_path, None)
    assert not cli._is_batch(tmp_path / "saved", None)
    assert cli._is_batch(tmp_path / "saved", "auto")
