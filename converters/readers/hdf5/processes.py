"""Child processes that run `worker.py`: started, handed out, kept for the next file, ended.

Light on purpose: a command starts the child here before it imports anything large, so that both load their libraries at
the same time, and the file is hashed meanwhile.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import subprocess
import sys
import threading
from pathlib import Path

from converters.readers.files.digest import hash_ahead
from converters.readers.hdf5 import header

WORKER = Path(__file__).with_name("worker.py")
_ENVIRONMENT = {
    "HDF5_PLUGIN_PRELOAD": "::",  # HDF5's own word for: load no plugins
    "HDF5_USE_FILE_LOCKING": "FALSE",
    "OPENBLAS_NUM_THREADS": "1",  # threads cost address space and start time, and nothing is calculated
    "OMP_NUM_THREADS": "1",
}
_ARCHIVE_SUFFIX = ".keras"
"""A zip of another name is hardly a model of Keras; a wrong guess costs a process that nobody asks anything."""


class Worker:
    """A running child process."""

    def __init__(self) -> None:
        environment = {**os.environ, **_ENVIRONMENT}
        self.process = subprocess.Popen(
            [sys.executable, "-I", str(WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        self.owner = os.getpid()  # a fork must not talk to its parent's child

    def close(self) -> None:
        """End the process and let go of its pipes."""
        self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        self.process.wait()


_lock = threading.Lock()
_idle: list[Worker] = []


def start_ahead(path: Path) -> None:
    """Start a child for a file that one will be asked about, and its hash; nothing happens for any other file, or none."""
    with contextlib.suppress(OSError, ValueError):  # whoever reads the file says what is wrong
        if not path.is_file():  # opening a pipe would block
            return
        with path.open("rb", buffering=0) as file:
            prefix = file.read(len(header.SIGNATURE))
        if header.is_hdf5(prefix) or path.suffix == _ARCHIVE_SUFFIX:
            start_worker()
            hash_ahead(path)


def start_worker() -> None:
    """Start a child ahead of the first file, so that it loads its library beside other work."""
    with _lock:
        if not any(worker.owner == os.getpid() for worker in _idle):
            _idle.append(Worker())


def take_worker() -> Worker:
    """Return a child that waits for a request, a new one if none does."""
    with _lock:
        while _idle:
            worker = _idle.pop()
            if worker.owner == os.getpid() and worker.process.poll() is None:
                return worker
    return Worker()


def keep_worker(worker: Worker) -> None:
    """Keep a child that has answered for the next file."""
    with _lock:
        _idle.append(worker)


@atexit.register
def stop_workers() -> None:
    """End idle children; the next file starts a new one."""
    with _lock:
        for worker in _idle:
            if worker.owner == os.getpid():
                worker.close()
        _idle.clear()
