from __future__ import annotations

import importlib.util
from typing import Any

import pytest

from benchmarks.doctor import examine, format_examination


def test_what_data_sets_need_is_listed_with_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec

    def without_pillow(name: str, *arguments: Any) -> Any:
        return None if name == "PIL" else real(name, *arguments)

    monkeypatch.setattr(importlib.util, "find_spec", without_pillow)

    data = examine()

    assert data["abilities"]["dataset"]["missing"] == ["PIL"]  # type: ignore[index]
    [line] = [line for line in format_examination(data) if line.startswith("dataset")]
    assert "pip install 'torchward[offline]'" in line
