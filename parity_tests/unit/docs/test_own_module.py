"""What docs/own-module.md shows is what happens."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from parity_tests import FIXTURES
from parity_tests.unit.docs.pages import run_page

ROOT = Path(__file__).parents[3]


def test_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fixtures = FIXTURES
    shutil.copyfile(
        fixtures / "k315_subclassed_dqn" / "model.weights.h5", tmp_path / "agent.weights.h5"
    )
    shutil.copyfile(fixtures / "tf215_dueling_lambda" / "model.h5", tmp_path / "dueling.h5")
    monkeypatch.chdir(tmp_path)

    run_page(ROOT / "docs" / "own-module.md")
