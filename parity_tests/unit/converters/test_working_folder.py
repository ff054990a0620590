from __future__ import annotations

import sys
from pathlib import Path

import pytest

from converters.into.user_module import find_named
from converters.rule_modules import import_rules
from converters.working_folder import searched_last


@pytest.fixture
def search_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A working folder that is searched first, as after `python -m`."""
    monkeypatch.chdir(tmp_path)
    path = [str(tmp_path), *sys.path]
    monkeypatch.setattr(sys, "path", path)
    return list(path)


def test_a_folder_that_is_searched_already_keeps_its_place(search_path: list[str]) -> None:
    with searched_last():
        assert sys.path == search_path

    assert sys.path == search_path


def test_another_working_folder_is_searched_last_and_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)

    with searched_last():
        assert sys.path == [*before, str(tmp_path)]

    assert sys.path == before


def test_importing_modules_of_the_user_leaves_the_search_path(search_path: list[str]) -> None:
    Path("layers_found_here.py").write_text("SCALE = 3\n")

    import_rules(["layers_found_here"])
    found = find_named("layers_found_here:SCALE")

    assert found == 3
    assert sys.path == search_path
    del sys.modules["layers_found_here"]
