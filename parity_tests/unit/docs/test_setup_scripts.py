from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).resolve().parents[3] / "docs"


def load(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)  # dataclasses look it up
    spec.loader.exec_module(module)
    return module


def test_torch_is_that_of_the_constraints(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = (DOCS.parent / "constraints.txt").read_text("utf-8").splitlines()

    assert load("time_setup", monkeypatch).torch_requirement() in lines


def test_environments_are_made_in_turns_and_both_parts_are_counted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = load("time_setup", monkeypatch)
    made: list[str] = []

    def set_up(wheels: list[Path], folder: Path, setup: object) -> None:
        made.append(wheels[0].name)
        setup.environment.append(float(len(made)))  # type: ignore[attr-defined]
        setup.installation.append(10.0)  # type: ignore[attr-defined]

    monkeypatch.setattr(script, "build_wheels", lambda requirement, _: [Path(requirement)])
    monkeypatch.setattr(script, "set_up", set_up)
    monkeypatch.setattr(sys, "argv", ["time_setup.py", "one", "other"])

    script.main()

    assert made == ["one", "other"] * 3
    assert "one               13.0 s (11.0 to 15.0; the empty environment 3.0), 1 packages" in (
        capsys.readouterr().out
    )


def test_a_package_is_counted_with_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    script = load("count_packages", monkeypatch)
    found: dict[str, str] = {}

    script.collect("pytest", found)

    assert {"pytest", "pluggy", "packaging", "iniconfig"} <= set(found)
    assert "torch" not in found
