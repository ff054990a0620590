"""Children that are started before their file is read, and kept for the next."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from converters.limits import Limits
from converters.readers.files.source import OpenFile
from converters.readers.hdf5 import client, processes


@pytest.fixture(autouse=True)
def only_own_children(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(processes, "_idle", [])
    yield
    processes.stop_workers()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    with h5py.File(tmp_path / "a.h5", "w") as written:
        written["a"] = np.arange(12.0).reshape(4, 3)
    return tmp_path / "a.h5"


def test_started_worker_is_taken(file: Path) -> None:
    processes.start_worker()
    processes.start_worker()
    (started,) = processes._idle

    client.read_hdf5_index(OpenFile(file), "a.h5", Limits())

    assert processes._idle == [started]


def test_child_starts_ahead_of_an_hdf5_file_of_any_name(file: Path) -> None:
    processes.start_ahead(file.rename(file.with_name("agent.weights")))

    assert len(processes._idle) == 1


def test_child_starts_ahead_of_a_keras_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.keras", "w") as archive:
        archive.writestr("metadata.json", "{}")

    processes.start_ahead(tmp_path / "a.keras")

    assert len(processes._idle) == 1


def test_no_child_starts_for_another_format_a_folder_or_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_bytes(b"PK\x03\x04")

    for path in (tmp_path / "a.h5", tmp_path, tmp_path / "none.h5", Path("\0")):
        processes.start_ahead(path)

    assert processes._idle == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with a name")
def test_pipe_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.h5")

    processes.start_ahead(tmp_path / "pipe.h5")  # opening it would wait for a writer

    assert processes._idle == []


def test_starting_a_child_does_not_wait_for_numpy() -> None:
    code = "import sys, converters.readers.hdf5.processes; sys.exit('numpy' in sys.modules)"

    ended = subprocess.run([sys.executable, "-c", code], check=False)

    assert ended.returncode == 0
