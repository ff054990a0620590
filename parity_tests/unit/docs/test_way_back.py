"""What docs/way-back.md shows is what happens."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from parity_tests import FIXTURES
from parity_tests.unit.docs.pages import DOCS, run_page


def test_the_page_prints_what_it_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fixture = FIXTURES / "k315_gru_policy" / "model.keras"
    shutil.copy(fixture, tmp_path / "agent.keras")
    monkeypatch.chdir(tmp_path)

    run_page(DOCS / "way-back.md")

    assert (tmp_path / "trained.keras").exists()
