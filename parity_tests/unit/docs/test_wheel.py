"""The wheel works in an environment of its own; docs/check_wheel.py does the work."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "docs" / "check_wheel.py"


@pytest.mark.slow
def test_the_installed_command_works_beside_a_users_own_benchmarks(tmp_path: Path) -> None:
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("needs hatchling to build without a network; make wheel-test fetches it")

    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--share-packages"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "PASS   the two files hold the same model" in done.stdout
    assert done.stdout.splitlines()[-1].endswith(".whl works.")
