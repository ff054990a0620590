from __future__ import annotations

import sys
from pathlib import Path

import pytest
from torch import nn

from converters.errors import UsageError
from converters.into.user_module import make_user_module

MODULE = """
from __future__ import annotations

from dataclasses import dataclass

from torch import nn


@dataclass
class Sizes:
    hidden: int = 3


def make(inputs: int) -> nn.Module:
    return nn.Linear(inputs, Sizes().hidden)
"""


def test_a_file_may_define_dataclasses_whose_annotations_are_text(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(MODULE)

    made = make_user_module(f"{tmp_path / 'net.py'}:make", {"inputs": 2})

    assert isinstance(made, nn.Linear)
    assert made.weight.shape == (3, 2)


def test_a_name_that_is_not_there_comes_with_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(MODULE)

    with pytest.raises(UsageError, match="there is no 'Size' in it; nearest: Sizes"):
        make_user_module(f"{tmp_path / 'net.py'}:Size", {})


def test_a_file_that_fails_leaves_no_module_behind(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("raise ImportError('no such thing')\n")
    before = set(sys.modules)

    with pytest.raises(UsageError, match="no such thing"):
        make_user_module(f"{tmp_path / 'net.py'}:Net", {})

    assert set(sys.modules) == before
