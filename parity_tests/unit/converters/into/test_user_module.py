from __future__ import annotations

import sys
from pathlib import Path

import pytest

from converters.into.user_module import find_named


@pytest.mark.parametrize("known", [True, False], ids=["searched-before", "only-here"])
def test_a_module_of_the_working_folder_leaves_the_search_path_as_it_was(
    known: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"layers_of_user_{known}".lower()
    (tmp_path / f"{name}.py").write_text("SCALE = 3\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path] if known else list(sys.path))
    before = list(sys.path)

    found = find_named(f"{name}:SCALE")

    assert found == 3
    assert sys.path == before
    del sys.modules[name]
