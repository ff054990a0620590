from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from converters.errors import UnreadableFileError
from parity_tests.train_plan import (
    TrainingUsageError,
    choose_run_folder,
    machine_settings,
    plan_run,
    read_plan,
)

pytest.importorskip("gymnasium")


@pytest.mark.parametrize(
    "content", [None, "{", '{"pair": 1}'], ids=["missing", "cut", "incomplete"]
)
def test_a_folder_that_is_no_run_is_named(folder: Path, content: str | None) -> None:
    if content is not None:
        (folder / "run.json").write_text(content)

    with pytest.raises(UnreadableFileError, match=r"run\.json"):
        read_plan(folder)


def test_settings_go_where_their_name_belongs() -> None:
    plan = plan_run("dqn", None, ["target_every=7", "hidden_sizes=[8]", "loss=mse"], steps=10)

    assert (plan.environment, plan.episodes, plan.steps) == ("CartPole-v1", None, 10)
    assert plan.training["target_every"] == 7
    assert (plan.agent["hidden_sizes"], plan.agent["loss"]) == ([8], "mse")


@pytest.mark.parametrize(
    ("environment", "settings", "steps", "compiled"),
    [
        ("CartPole-v1", [], None, False),
        ("CartPole-v1", [], 1_000_000, "auto"),
        ("CartPole-v1", ["goal=null"], 50_000, False),
        ("CartPole-v1", ["goal=null"], 100_000, True),
        ("LanguageLearning", [], None, "auto"),
    ],
    ids=["preset", "long-with-goal", "short", "long", "unknown-length"],
)
def test_updates_are_compiled_where_so_many_are_planned_that_it_pays(
    environment: str, settings: list[str], steps: int | None, compiled: bool | str
) -> None:
    assert plan_run("dqn", environment, settings, steps=steps).compiled == compiled


class Compiling:
    def __init__(self, state_size: int, *, compiled: bool = False, device: str = "auto") -> None:
        """Not made here."""


@pytest.mark.parametrize(
    ("settings", "changes", "found", "said"),
    [
        ([], {"device": "cpu"}, {"compiled": True}, "compiled at the first call"),
        ([], {"compiled": None}, {}, None),
        (["compiled=false"], {}, {"compiled": False}, "in eager PyTorch"),
        ([], {"device": "meta"}, {"compiled": False}, "on a GPU they are compiled only with"),
        (["compiled=true"], {"device": "meta"}, {"compiled": True}, "compiled at the first"),
    ],
    ids=["planned", "run-of-before", "asked-not-to", "other-device", "asked-to"],
)
def test_an_agent_computes_as_planned_unless_the_user_says_how(
    settings: list[str], changes: dict[str, Any], found: dict[str, Any], said: str | None
) -> None:
    plan = replace(plan_run("dqn", None, ["goal=null", *settings], steps=200_000), **changes)

    machine, line = machine_settings(plan, Compiling, pays_from=40_000)

    assert machine == {"device": plan.device, **found}
    assert str(said) in str(line)


def test_an_agent_without_the_choice_is_not_told() -> None:
    plan = plan_run("dqn", None, ["goal=null"], steps=200_000)

    assert machine_settings(plan, lambda rate: rate, pays_from=1) == ({}, None)


@pytest.mark.parametrize("name", ["LanguageLearning", "torchward/LanguageLearning-v0"])
def test_the_guides_environment_is_trained_by_the_guides_settings(name: str) -> None:
    plan = plan_run("dqn", name)

    assert (plan.agent, plan.episodes) == ({}, 100)
    assert (plan.training["target_every"], plan.training["target_unit"]) == (10, "episodes")


def test_a_run_folder_that_is_taken_gets_a_number(tmp_path: Path) -> None:
    plan = plan_run("dqn", "CartPole-v1", seed=4)
    names = []
    for _ in range(3):
        names.append(choose_run_folder(plan, tmp_path))
        names[-1].mkdir()

    first = "dqn-CartPole-v1-torch-seed4"
    assert [path.name for path in names] == [first, f"{first}-2", f"{first}-3"]


def test_an_unknown_pairs_module_is_a_wrong_call() -> None:
    with pytest.raises(TrainingUsageError, match="no module named"):
        plan_run("dqn", None, pairs="not_there:PAIRS")
