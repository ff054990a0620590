from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import benchmarks.bundle_reading as reading
from benchmarks.bundle_file import write_bundle
from benchmarks.commands import run_command
from benchmarks.processes import WorkerError, clean_environment
from benchmarks.settings import Settings
from benchmarks.workloads import WORKLOADS
from converters.errors import UnreadableFileError


def test_every_number_of_the_guides_network_is_read(tmp_path: Path) -> None:
    write_bundle(tmp_path / "guide")

    assert reading.read_all(str(tmp_path / "guide")) == 12_165


def test_checksums_are_compared(tmp_path: Path) -> None:
    _, data = write_bundle(tmp_path / "guide")
    content = bytearray(data.read_bytes())
    content[1000] ^= 1
    data.write_bytes(content)

    with pytest.raises(UnreadableFileError, match="does not have its checksum"):
        reading.read_all(str(tmp_path / "guide"))


@pytest.mark.tf
def test_tensorflow_reads_the_same_checkpoint(tmp_path: Path) -> None:
    tensorflow = pytest.importorskip("tensorflow")
    write_bundle(tmp_path / "guide", (3, 200, 2))
    expected = np.random.default_rng(0)

    found = tensorflow.train.load_checkpoint(str(tmp_path / "guide"))

    for name in ("dense/bias", "dense/kernel", "dense_1/bias", "dense_1/kernel"):
        values = found.get_tensor(name)
        drawn = expected.standard_normal(values.shape, dtype=np.float32)
        np.testing.assert_array_equal(values, drawn)


@pytest.mark.slow
def test_the_program_that_is_timed_fails_where_the_checkpoint_does(tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match="ended with 1"):
        run_command(reading.read_command(tmp_path / "none"), clean_environment(1), tmp_path / "log")


@pytest.mark.slow
def test_readers_take_turns_and_are_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = [sys.executable, "-S", "-c"]
    slow = [*python, "import time; time.sleep(0.3)"]
    monkeypatch.setattr(reading, "tensorflow_command", lambda prefix: slow)
    monkeypatch.setattr(reading, "read_command", lambda prefix: [*python, "pass"])

    result = reading.measure_reading(
        WORKLOADS["checkpoint-reading"], Settings(repeats=3), tmp_path, lambda _: None
    )

    ours = result.of("bundle", reading.SMALL)
    tensorflow = result.of("load_checkpoint", reading.SMALL)
    assert ours is not None
    assert tensorflow is not None
    assert len(ours.values) == len(tensorflow.values) == 3
    assert min(tensorflow.values) > 0.3
    assert [each.at_least for each in result.requirements] == [10.0]
