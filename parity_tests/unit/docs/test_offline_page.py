"""What docs/offline-rl.md shows is what happens; the notebook of the offline guide runs from top to bottom."""

from __future__ import annotations

import ast
import re
import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from experience.environments.glucose import GlucoseMealsEnv, behaviour_policy
from experience.recording import record_episodes
from parity_tests import FIXTURES
from parity_tests.unit.docs.pages import DOCS, ROOT, run_page

PAGE = DOCS / "offline-rl.md"
SOURCE = DOCS / "lessons" / "offline_glucose.py"
FIXTURE = FIXTURES / "d3rlpy" / "discrete_cql" / "model.d3"
pytest.importorskip("minari")


@pytest.mark.slow
def test_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copyfile(FIXTURE, tmp_path / "model.d3")
    monkeypatch.chdir(tmp_path)

    run_page(PAGE)


@pytest.mark.slow
def test_the_table_of_days_with_meals_is_what_comes_out() -> None:
    def by_glucose(row: np.ndarray, _: np.random.Generator) -> int:
        return 2 if row[0] > 1.4 else 1 if row[0] > 1.1 else 0

    text = PAGE.read_text(encoding="utf-8")
    shown = re.findall(r"^\| (.+) \| (-\d+\.\d) \+- (\d+\.\d) \|$", text, re.MULTILINE)[-6:]
    environment = GlucoseMealsEnv()
    policies = [
        behaviour_policy(name, environment)
        for name in ("random", "moderate", "always 0", "always 1", "always 2")
    ]

    for (name, mean, deviation), policy in zip(shown, [*policies, by_glucose], strict=True):
        returns = record_episodes(policy, environment, episodes=20, seed=123).returns
        assert f"{returns.mean():.1f} {returns.std():.1f}" == f"{mean} {deviation}", name


@pytest.mark.slow
def test_nothing_here_imports_d3rlpy_scipy_or_scikit_learn() -> None:
    folders = ("experience", "torch_impl", "legacy_tf", "converters")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]

    imported = {
        (name.split(".")[0], path.name)
        for path in [*files, ROOT / "torchward.py"]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names]
        )
    }

    assert len(files) > 100
    assert not {entry for entry in imported if entry[0] in ("d3rlpy", "scipy", "sklearn")}


@pytest.mark.slow
def test_the_notebook_of_the_guide_runs_from_top_to_bottom(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QUICK", "1")

    runpy.run_path(str(SOURCE))

    said = capsys.readouterr().out
    assert "4 episodes, 1920 transitions" in said
    assert "the loaded agent acts alike" in said
    assert "episodes speak for it" in said


def test_the_notebook_is_made_of_its_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SOURCE.parent))
    from build_notebook import build_notebook  # type: ignore[import-not-found]

    monkeypatch.delitem(sys.modules, "build_notebook")
    made = build_notebook(SOURCE.read_text(encoding="utf-8"))

    assert SOURCE.with_suffix(".ipynb").read_text(encoding="utf-8") == made
