"""A converted file for the tests of the way back."""

from __future__ import annotations

from pathlib import Path

import pytest

import torchward
from parity_tests import FIXTURES


@pytest.fixture
def converted(tmp_path: Path) -> Path:
    """Return a converted file of Keras 2.15 with Adam's state."""
    torchward.convert(FIXTURES / "tf215_dqn_seed" / "model.h5", tmp_path / "agent.pth")
    return tmp_path / "agent.pth"
