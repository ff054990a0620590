from __future__ import annotations

import importlib.util
import platform
from typing import Any

import pytest
import torch

from benchmarks.doctor import ABILITIES, examine, format_examination


def test_what_data_sets_need_is_listed_with_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec

    def without_pillow(name: str, *arguments: Any) -> Any:
        return None if name == "PIL" else real(name, *arguments)

    monkeypatch.setattr(importlib.util, "find_spec", without_pillow)

    data = examine()

    assert data["abilities"]["dataset"]["missing"] == ["PIL"]  # type: ignore[index]
    [line] = [line for line in format_examination(data) if line.startswith("dataset")]
    assert "pip install 'torchward[offline]'" in line


def test_what_to_type_stands_in_one_column(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda *_: None)

    lines = [line for line in format_examination(examine()) if "pip install" in line]

    assert len(lines) == len(ABILITIES)
    assert len({line.index("  pip install") for line in lines}) == 1


@pytest.mark.parametrize(
    ("cuda", "mps", "line"),
    [
        (True, True, "cuda: Some GPU, CUDA 12.8"),
        (False, True, "mps"),
        (False, False, "cpu: no CUDA, no MPS found"),
    ],
    ids=["CUDA", "MPS", "CPU"],
)
def test_versions_and_the_device_are_shown(
    cuda: bool, mps: bool, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Some GPU")
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    lines = [text.split(maxsplit=1) for text in format_examination(examine())]

    assert ["device", line] in lines
    assert any(f"torch {torch.__version__}" in text for _, text in lines)
    assert any(f"python {platform.python_version()}" in text for _, text in lines)
