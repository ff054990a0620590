from __future__ import annotations

import numpy as np
import pytest

from benchmarks.subjects import NotApplicableError
from benchmarks.subjects.agents import find_network, plan_build, takes
from benchmarks.subjects.scenarios import GUIDE, Scenario


class Plain:
    def __init__(self, *, units: int = 3, dtype: str = "float64") -> None:
        self.given = {"units": units, "dtype": dtype}
        self.critic = np.zeros(units)


class Passing:
    def __new__(cls, units: int, **_: object) -> Passing:
        """Return an object; what else there is goes to the constructor."""
        return super().__new__(cls)

    def __init__(self, units: int) -> None:
        self.units = units


class Open:
    def __init__(self, **given: object) -> None:
        self.given = given


SCENARIO = Scenario(
    ("actor", "critic"), {"units": 5, "dtype": "float32"}, GUIDE.draw_batch, GUIDE.make_environment
)


def test_an_agent_gets_only_the_arguments_that_it_takes() -> None:
    build = plan_build(Plain, SCENARIO, {"style": "fit", "device": "cpu"})

    assert build(batch_size=64).given == {"units": 5, "dtype": "float32"}


def test_options_win_over_the_scenario_and_the_task_over_both() -> None:
    build = plan_build(Open, SCENARIO, {"units": 6, "style": "fit"})

    assert build(style="function").given == {"units": 6, "dtype": "float32", "style": "function"}


@pytest.mark.parametrize(
    ("factory", "argument", "wanted"),
    [
        (Plain, "units", True),
        (Plain, "style", False),
        (Open, "style", True),
        (Passing, "style", False),
    ],
    ids=["named", "unknown", "any", "passed-on-to-a-constructor-without"],
)
def test_the_signature_says_what_is_taken(factory: type, argument: str, wanted: bool) -> None:
    assert takes(factory, argument) is wanted


def test_the_first_network_that_is_there_is_measured() -> None:
    assert find_network(Plain(units=2), SCENARIO).shape == (2,)


def test_an_agent_without_networks_is_named() -> None:
    with pytest.raises(NotApplicableError, match="Open has no actor or critic"):
        find_network(Open(), SCENARIO)
