"""Graphs of TensorFlow, and what a file without one must not pay for them: most of a short command is imports."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from parity_tests import FIXTURES

CODE = """
import sys
from pathlib import Path
import converters.convert
converters.convert.convert(sys.argv[1], Path(sys.argv[2]) / "m.pth")
sys.exit("\\n".join(name for name in sys.modules if name.startswith(("converters.tensorflow_graphs.", "torch"))))
"""


@pytest.mark.slow
def test_keras_file_is_converted_without_what_reads_graphs_of_tensorflow(tmp_path: Path) -> None:
    model = FIXTURES / "k231_dqn_cartpole" / "model.h5"

    done = subprocess.run(
        [sys.executable, "-c", CODE, str(model), str(tmp_path)],
        check=False,
        capture_output=True,
        text=True,
    )

    assert done.stderr.split() == []
    assert (tmp_path / "m.pth").exists()
