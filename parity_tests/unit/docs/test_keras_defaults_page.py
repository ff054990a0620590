"""What docs/keras-defaults.md shows is what happens."""

from __future__ import annotations

from pathlib import Path

import pytest

from parity_tests.unit.docs.pages import DOCS, run_page


@pytest.mark.slow
def test_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    run_page(DOCS / "keras-defaults.md")
