"""Archives of named arrays: what is taken for dense layers, and what is not."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import torchward
from converters.errors import UnreadableFileError, UnsafeFileError, UnsupportedError
from converters.limits import Limits
from converters.readers import read_checkpoint

RANDOM = np.random.default_rng(5)
ARRAYS: dict[str, Any] = {
    "policy|w1": RANDOM.normal(size=(4, 6)).astype(np.float32),
    "policy|b1": RANDOM.normal(size=6).astype(np.float32),
    "w2": RANDOM.normal(size=(6, 3)).astype(np.float32),
    "b2": RANDOM.normal(size=(1, 3)).astype(np.float32),
    "w3": RANDOM.normal(size=(3, 2)).astype(np.float32),
}


def test_matrices_with_the_vectors_behind_them_are_a_chain_of_dense_layers(tmp_path: Path) -> None:
    np.savez(tmp_path / "params.npz", **ARRAYS)
    report = torchward.convert(tmp_path / "params.npz", tmp_path / "net.pth")
    x = RANDOM.normal(size=(5, 4)).astype(np.float32)

    with torch.no_grad():
        found = torchward.load(tmp_path / "net.pth")(torch.from_numpy(x)).numpy()

    hidden = np.maximum(x @ ARRAYS["policy|w1"] + ARRAYS["policy|b1"], 0)
    by_hand = np.maximum(hidden @ ARRAYS["w2"] + ARRAYS["b2"], 0) @ ARRAYS["w3"]
    np.testing.assert_allclose(found, by_hand, rtol=1e-5, atol=1e-5)
    assert "relu after 'policy_w1', 'w2', and nothing after 'w3'" in report.warnings[0]


@pytest.mark.parametrize(
    "arrays",
    [
        {**ARRAYS, "log_std": np.zeros(7, np.float32)},
        {**ARRAYS, "conv": np.zeros((3, 3, 2, 2), np.float32)},
        {"mean": np.zeros(4, np.float32)},
        {**ARRAYS, "w4": np.zeros((5, 5), np.float32)},
    ],
    ids=["vector", "images", "no matrix", "no chain"],
)
def test_other_named_arrays_are_refused(arrays: dict[str, Any], tmp_path: Path) -> None:
    np.savez(tmp_path / "params.npz", **arrays)

    with pytest.raises(UnsupportedError):
        torchward.convert(tmp_path / "params.npz", tmp_path / "net.pth")

    assert not (tmp_path / "net.pth").exists()


def test_header_that_has_no_end_is_refused_at_once(tmp_path: Path) -> None:
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (" + b"1" * 2000 + b"x), }"
    member = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header
    with zipfile.ZipFile(tmp_path / "params.npz", "w") as archive:
        archive.writestr("w.npy", member)

    with pytest.raises(UnreadableFileError, match="its header is not that of an array"):
        torchward.convert(tmp_path / "params.npz", tmp_path / "net.pth")


def test_packed_arrays_count_together(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "p.npz", *[np.zeros((100, 100), np.float32)] * 4)

    with pytest.raises(UnsafeFileError, match=r"at most 100,000 are read of all together \(120,"):
        read_checkpoint(tmp_path / "p.npz", limits=Limits(max_array_bytes=100_000))
