from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from experience.arguments import choose_defaults
from experience.compiling import (
    choose_precision,
    choose_steps,
    describe_compiling,
    find_device_gap,
    plan_compiling,
    planned_updates,
)

LONG = {"epochs": 1, "cycles": 2, "iterations": 100, "train_batches": 100}
SHORT = {**LONG, "cycles": 1}


class Agent:
    """Notes whether it was told to compile."""

    def __init__(self, device: str = "cpu", obstacle: str | None = None) -> None:
        self.is_cuda, self.obstacle, self.told = device == "cuda", obstacle, False

    def compile_steps(self) -> str | None:
        self.told = True
        return self.obstacle


def arguments(**flags: Any) -> Any:
    return choose_defaults(alg="sac", env="Pendulum-v1", **{"obs_dims": (3,), **flags})


@pytest.mark.parametrize(
    ("flags", "device", "told", "said"),
    [
        (LONG, "cpu", True, "Updates are compiled"),
        (SHORT, "cpu", False, "from 20,000 updates on, 10,000 are planned"),
        (LONG, "cuda", False, "only with --compiled yes"),
        ({**LONG, "obs_dims": (84, 84, 4)}, "cpu", False, "only with --compiled yes"),
        ({**LONG, "compiled": False}, "cpu", False, "eager PyTorch, as asked"),
        ({**SHORT, "compiled": True}, "cuda", True, "Updates are compiled"),
    ],
    ids=["long", "short", "gpu", "images", "no", "yes"],
)
def test_updates_are_compiled_where_asked_for_or_where_it_pays(
    flags: dict[str, Any], device: str, told: bool, said: str
) -> None:
    agent = Agent(device)

    line = choose_steps(arguments(**flags), agent)

    assert agent.told == told
    assert said in str(line)


def test_what_stands_against_compiling_is_said() -> None:
    line = choose_steps(arguments(**LONG), Agent(obstacle="no C++ compiler was found"))

    assert line == "Updates run in eager PyTorch: no C++ compiler was found."


def test_graphs_of_tensorflow_are_named_as_such() -> None:
    assert choose_steps(arguments(**LONG), object()).startswith("Updates run in a TensorFlow graph")


def test_default_run_plans_three_million_updates() -> None:
    assert planned_updates(choose_defaults(alg="sac")) == 3_000_000


@pytest.mark.parametrize(
    ("agent", "said"),
    [
        (object(), "TensorFlow's graphs are built without it"),
        (SimpleNamespace(use_mixed_precision=lambda: None), "layers are computed in bfloat16"),
        (SimpleNamespace(use_mixed_precision=lambda: "no GPU"), "computed in float32: no GPU"),
    ],
    ids=["tensorflow", "possible", "obstacle"],
)
def test_mixed_precision_says_in_one_line_what_it_does(agent: Any, said: str) -> None:
    line = choose_precision(arguments(amp=True), agent)

    assert said in str(line)
    assert "\n" not in str(line)
    assert choose_precision(arguments(), agent) is None


@pytest.mark.parametrize(
    ("cuda", "device", "said"),
    [(True, "cpu", True), (True, "cuda", False), (False, "cpu", False), (None, "cpu", False)],
)
def test_gpu_that_is_wished_for_and_not_there_is_said(
    cuda: bool | None, device: str, said: bool
) -> None:
    assert bool(find_device_gap(arguments(cuda=cuda), Agent(device))) == said


@pytest.mark.parametrize(
    ("planned", "may_end_early", "chosen"),
    [
        (99, False, False),
        (100, False, True),
        (199, True, False),
        (200, True, "auto"),
        (None, False, "auto"),
        (None, True, "auto"),
    ],
    ids=["short", "long", "short-or-less", "long-or-less", "unknown", "unknown-or-less"],
)
def test_compiling_begins_where_what_is_left_can_pay_for_it(
    planned: int | None, may_end_early: bool, chosen: bool | str
) -> None:
    assert plan_compiling(planned, pays_from=100, may_end_early=may_end_early) == chosen


def test_how_updates_run_is_said_with_the_number_that_decides() -> None:
    never, later, always = (
        describe_compiling(choice, pays_from=1_000) for choice in (False, "auto", True)
    )

    assert never.startswith("in eager PyTorch; compiling pays from about 1,000 on")
    assert later.startswith("in eager PyTorch, compiled once 1,000 are done")
    assert always.startswith("compiled at the first call")
