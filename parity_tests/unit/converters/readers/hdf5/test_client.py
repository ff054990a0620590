"""The parent against workers that crash, hang or lie."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import h5py
import numpy as np
import pytest

from converters.errors import ConversionError, UnreadableFileError, UnsafeFileError
from converters.limits import Limits
from converters.readers.files.source import OpenFile
from converters.readers.hdf5 import client, processes


@pytest.fixture
def file(tmp_path: Path) -> OpenFile:
    with h5py.File(tmp_path / "a.h5", "w") as written:
        written["a"] = np.arange(12.0).reshape(4, 3)
    return OpenFile(tmp_path / "a.h5")


@pytest.mark.parametrize("chunks", [None, (2, 3)], ids=["in place", "chunked"])
def test_pairs_of_bytes_are_numbers_of_bfloat16(
    tmp_path: Path, chunks: tuple[int, ...] | None
) -> None:
    numbers = np.array([[0.0, -1.5, 3.140625], [2.0**100, -0.0, np.inf]], np.float32)
    halves = (numbers.view(np.uint32) >> 16).astype("<u2").view("V2")
    with h5py.File(tmp_path / "b.h5", "w") as written:
        written.create_dataset("b", data=halves, chunks=chunks)

    index = client.read_hdf5_index(OpenFile(tmp_path / "b.h5"), "b.h5", Limits())

    assert index.arrays["b"].dtype == np.float32
    np.testing.assert_array_equal(index.arrays["b"].read(), numbers)


@pytest.fixture
def install_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    """Return a function that puts a script in the worker's place."""

    def install(script: str) -> None:
        path = tmp_path / "worker.py"
        path.write_text(textwrap.dedent(script))
        monkeypatch.setattr(processes, "WORKER", path)
        monkeypatch.setattr(processes, "_idle", [])

    return install


def answering(answer: object, more: bytes = b"") -> str:
    line = json.dumps(answer).encode() + b"\n" + more
    return f"""
        import sys
        sys.stdin.buffer.readline()
        sys.stdout.buffer.write({line!r})
        sys.stdout.buffer.flush()
    """


def index_with(**entry: object) -> object:
    dataset = {"path": "a", "shape": [4, 3], "dtype": "<f8", "offset": 2048, **entry}
    return {"index": {"groups": [""], "attributes": {}, "datasets": [dataset], "decoded": []}}


@pytest.mark.parametrize(
    ("script", "error", "message"),
    [
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
            UnreadableFileError,
            "broke down on it .signal 11",
        ),
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGXCPU)",
            UnsafeFileError,
            "takes far longer",
        ),
        ("raise SystemExit(0)", UnreadableFileError, "broke down on it"),
        ("print('garbage')", UnreadableFileError, "broke down on it"),
        ("print('[' * 100_000)", UnreadableFileError, "broke down on it"),
    ],
    ids=["segmentation fault", "processor time", "gone", "garbage", "nesting"],
)
def test_worker_that_breaks_is_one_error(
    file: OpenFile, install_worker: object, script: str, error: type[ConversionError], message: str
) -> None:
    install_worker(script)  # type: ignore[operator]

    with pytest.raises(error, match=f"a.h5: .*{message}"):
        client.read_hdf5_index(file, "a.h5", Limits())


@pytest.mark.slow
def test_worker_that_hangs_is_stopped(
    file: OpenFile, install_worker: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_worker("import time; time.sleep(60)")  # type: ignore[operator]
    monkeypatch.setattr(client, "_START_SECONDS", 0.05)

    with pytest.raises(UnsafeFileError, match="takes far longer"):
        client.read_hdf5_index(file, "a.h5", Limits())


@pytest.mark.parametrize(
    "entry",
    [
        {"offset": -8},
        {"offset": 2**40},
        {"offset": None},
        {"offset": True, "shape": [4, -3]},
        {"shape": [2**62, 2**62]},
        {"shape": "43"},
        {"dtype": "|O8"},
        {"dtype": "<f8,<f8"},
        {"path": 7},
    ],
    ids=str,
)
def test_index_that_points_outside_is_not_believed(
    file: OpenFile, install_worker: object, entry: dict[str, object]
) -> None:
    install_worker(answering(index_with(**entry)))  # type: ignore[operator]

    with pytest.raises(UnreadableFileError, match="makes no sense"):
        client.read_hdf5_index(file, "a.h5", Limits())


@pytest.mark.parametrize(
    "change",
    [
        {"groups": [1]},
        {"groups": None},
        {"attributes": {"": {"layer_names": [1]}}},
        {"attributes": []},
        {"decoded": [5]},
    ],
    ids=str,
)
def test_index_of_the_wrong_form_is_not_believed(
    file: OpenFile, install_worker: object, change: dict[str, object]
) -> None:
    answer = index_with()
    answer["index"].update(change)  # type: ignore[index]
    install_worker(answering(answer))  # type: ignore[operator]

    with pytest.raises(UnreadableFileError, match="makes no sense"):
        client.read_hdf5_index(file, "a.h5", Limits())


@pytest.mark.parametrize("count", [0, 97, 2**40], ids=["empty", "too long", "enormous"])
def test_decoded_data_of_the_wrong_size_is_not_believed(
    file: OpenFile, install_worker: object, count: int
) -> None:
    answer = index_with(offset=None)
    answer["index"]["decoded"] = [0]  # type: ignore[index]
    install_worker(answering(answer, count.to_bytes(8, "little") + bytes(200)))  # type: ignore[operator]

    with pytest.raises(UnreadableFileError, match="makes no sense"):
        client.read_hdf5_index(file, "a.h5", Limits())


def test_worker_serves_one_file_after_another(
    file: OpenFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_idle", [])
    client.read_hdf5_index(file, "a.h5", Limits())
    (first,) = processes._idle

    index = client.read_hdf5_index(file, "a.h5", Limits())

    assert processes._idle == [first]
    assert np.array_equal(index.arrays["a"].read(), np.arange(12.0).reshape(4, 3))
    processes.stop_workers()


def test_worker_is_not_used_again_after_a_refusal(
    file: OpenFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_idle", [])

    with pytest.raises(UnsafeFileError, match="at most 5 are read"):
        client.read_hdf5_index(file, "a.h5", Limits(max_array_bytes=5))

    assert processes._idle == []
