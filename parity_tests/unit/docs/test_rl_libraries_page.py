"""The page on agents of RL libraries runs from top to bottom."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from parity_tests import FIXTURES
from parity_tests.unit.docs.pages import DOCS, run_page

AGENT = FIXTURES / "sb_ppo2_mlp_cartpole" / "model.zip"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_every_block_of_the_page_does_what_the_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("stable_baselines3")
    shutil.copy(AGENT, tmp_path / "agent.zip")
    monkeypatch.chdir(tmp_path)

    run_page(DOCS / "rl-libraries.md")
