"""Modules with the user's own rules, as --rules names them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from converters.errors import UnsupportedError
from converters.rule_modules import import_rules


def test_a_module_of_the_working_folder_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rules_of_the_folder.py").write_text("LOADED = True\n")
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)

    import_rules(["rules_of_the_folder"])

    assert sys.modules.pop("rules_of_the_folder").LOADED
    assert sys.path == before


def test_a_missing_module_is_named() -> None:
    with pytest.raises(UnsupportedError, match="--rules no_such_rules: no module named"):
        import_rules(["no_such_rules"])


def test_the_name_of_a_file_gets_the_name_of_the_module_as_a_hint() -> None:
    with pytest.raises(UnsupportedError) as caught:
        import_rules(["no_such_rules.py"])

    assert caught.value.hint == "--rules no_such_rules"


def test_a_module_that_misses_another_says_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rules_that_import.py").write_text("import no_such_dependency\n")
    monkeypatch.chdir(tmp_path)

    with pytest.raises(ModuleNotFoundError, match="no_such_dependency"):
        import_rules(["rules_that_import"])
