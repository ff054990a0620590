"""The Rust program of the docs reads our JSON and computes the recorded outputs; skipped without a compiler."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from experience.ur_networks import HIDDEN_SIZES
from experience.ur_weights import GAME_LAYOUT, TORCH_LAYOUT, split_weights, write_ur_weights
from parity_tests import FIXTURES

ROOT = Path(__file__).resolve().parents[3]
GOLDEN = json.loads((FIXTURES / "ur_golden.json").read_text(encoding="utf-8"))
COMPILER = shutil.which("rustc")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(COMPILER is None, reason="there is no Rust compiler"),
]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rust") / "ur_inference"
    source = ROOT / "docs/examples/ur_inference.rs"
    subprocess.run([str(COMPILER), "-O", "-D", "warnings", "-o", path, source], check=True)
    return path


def write_golden_weights(path: Path, layout: str) -> None:
    """Write the weights of the recording, its list read in a layout."""
    weights: dict[str, NDArray[np.floating]] = {}
    for shift, (name, count) in enumerate((("value", 81_921), ("policy", 82_119))):
        flat = 0.05 * np.sin(0.37 * np.arange(count) + shift)
        parts = split_weights(flat, name, hidden_sizes=HIDDEN_SIZES, layout=layout)
        weights |= {f"{name}/{part}": array for part, array in parts.items()}
    write_ur_weights(path, weights, layout=layout)


@pytest.mark.parametrize(
    ("layout", "reading"), [(GAME_LAYOUT, "rust"), (TORCH_LAYOUT, "torch")], ids=["game", "torch"]
)
def test_rust_reproduces_the_golden_outputs(
    program: Path, tmp_path: Path, layout: str, reading: str
) -> None:
    write_golden_weights(tmp_path / "w.json", layout)
    rows = [np.pad(GOLDEN["positions"][number]["features"], (0, 72)) for number in (4, 10)]
    lines = "\n".join(" ".join(map(repr, row.tolist())) for row in rows)

    done = subprocess.run(
        [program, tmp_path / "w.json"], input=lines, capture_output=True, text=True, check=True
    )

    found = [[float(word) for word in line.split()] for line in done.stdout.splitlines()]
    outputs = GOLDEN["network_forward"]["outputs"]
    for number, row in zip((4, 10), found, strict=True):
        for network, part in (("value", row[:1]), ("policy", row[1:])):
            expected = outputs[f"{network}_pos{number}_{reading}_layout"]
            np.testing.assert_allclose(part, expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"weight_layout": "other"}', "none of the two that are known"),
        ('{"a": [1, 2', "the file ends too early|needed ','"),
        ("[" * 1000, "nested too deeply"),
        ('{"a": NaN}', "no finite number"),
    ],
    ids=["layout", "cut", "deep", "nan"],
)
def test_rust_refuses_damaged_files_in_one_line(
    program: Path, tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "bad.json").write_text(text)

    done = subprocess.run(
        [program, tmp_path / "bad.json"], input="", capture_output=True, text=True, check=False
    )

    assert done.returncode == 3
    assert re.search(message, done.stderr)
    assert done.stderr.count("\n") == 1
