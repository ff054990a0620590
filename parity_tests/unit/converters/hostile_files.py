"""What the suites of hostile files share: the fixtures they spoil, and a worker without a process."""

from __future__ import annotations

import io
import json
import os
import zipfile
from pathlib import Path

import h5py

from converters.checkpoint import Checkpoint
from converters.readers import read_checkpoint
from converters.readers.hdf5 import worker
from parity_tests import FIXTURES

CONTAINER = FIXTURES / "k315_actor_critic" / "model.weights.h5"
WHOLE = FIXTURES / "k231_dqn_cartpole" / "model.h5"
ARCHIVE = FIXTURES / "k315_actor_critic" / "model.keras"
VICTIM = "layers/dense/vars/0"


class InProcess:
    """The worker's own functions in the place of its process, for many small files."""

    def __init__(self) -> None:
        self.process = self
        self.stdin = self
        self.stdout = io.BytesIO()
        self.returncode = None
        self.owner = os.getpid()

    def write(self, line: bytes) -> None:
        self.line = line

    def flush(self) -> None:
        output = io.BytesIO()
        worker.answer(json.loads(self.line), output)
        self.stdout = io.BytesIO(output.getvalue())

    def poll(self) -> None:
        return None

    def wait(self, timeout: float | None = None) -> None:
        pass

    def close(self) -> None:
        pass

    kill = close


def read_everything(path: Path) -> Checkpoint:
    checkpoint = read_checkpoint(path)
    slots = checkpoint.optimizer.variables if checkpoint.optimizer else ()
    layers = [array for layer in checkpoint.layers for array in layer.arrays.values()]
    for array in [*layers, *slots, *checkpoint.extras]:
        array.read()
    return checkpoint


def external_link(file: h5py.File) -> None:
    del file[VICTIM]
    file[VICTIM] = h5py.ExternalLink("other.h5", "/secret")


def members() -> dict[str, bytes]:
    with zipfile.ZipFile(ARCHIVE) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_zip(path: Path, content: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
